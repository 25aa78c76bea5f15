"""Seeds: one convention for the whole package (scientific-python SPEC 7)."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from hessium.errors import InputError

Rng: TypeAlias = int | np.random.Generator | None


def generator(rng: Rng) -> np.random.Generator:
    """The generator that `rng` means: a seed, a generator to go on with, or None for fresh entropy.

    Raises:
        InputError: if `rng` is a negative integer or of any other type.
    """
    if isinstance(rng, np.random.Generator):
        return rng
    if isinstance(rng, (bool, np.bool_)) or not (rng is None or isinstance(rng, (int, np.integer))):
        msg = f"rng: {rng!r} is neither an integer, a numpy.random.Generator nor None"
        raise InputError(msg)
    if rng is not None and rng < 0:
        msg = f"rng: {rng} is negative; a seed is a non-negative integer"
        raise InputError(msg)
    return np.random.default_rng(rng)

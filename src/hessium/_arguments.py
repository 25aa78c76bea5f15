"""Arguments that break a rule, said in one sentence: argument, value, rule."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

import numpy as np

from hessium.errors import InputError


def whole(name: str, value: Any, *, at_least: int) -> int:
    """An integer argument.

    Raises:
        InputError: if it is none, or too small.
    """
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < at_least:
        msg = f"{name}: {value!r}; an integer of at least {at_least} is required"
        raise InputError(msg)
    return int(value)


def number(name: str, value: Any, *, above: float = -math.inf, below: float = math.inf) -> float:
    """A real argument strictly between two bounds.

    Raises:
        InputError: if it is none, or lies outside.
    """
    real = isinstance(value, Real) and not isinstance(value, bool)
    if not real or not above < float(value) < below:
        bounds = [f"{above:g} <"] if above > -math.inf else []
        bounds += [name] + ([f"< {below:g}"] if below < math.inf else [])
        rule = " ".join(bounds) if len(bounds) > 1 else "a finite number"
        msg = f"{name}: {value!r}; {rule} is required"
        raise InputError(msg)
    return float(value)

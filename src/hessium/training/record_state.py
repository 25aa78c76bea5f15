"""Records as plain numbers and tensors, for the checkpoint of a training."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hessium.spectra import Bracket, Count, Inertia, Spectrum
from hessium.spectra.gauss_rule import GaussRule

_CLASSES = {kind.__name__: kind for kind in (Bracket, Count, Inertia, Spectrum, GaussRule)}
_CLASS = "class"


def stored(value: Any) -> Any:
    """A value of a record as what `torch.load(..., weights_only=True)` reads."""
    if dataclasses.is_dataclass(value) and type(value).__name__ in _CLASSES:
        fields = {one.name: stored(getattr(value, one.name)) for one in dataclasses.fields(value)}
        return {_CLASS: type(value).__name__, **fields}
    if isinstance(value, Mapping):
        return {name: stored(one) for name, one in value.items()}
    if isinstance(value, tuple):
        return tuple(stored(one) for one in value)
    if isinstance(value, np.ndarray):
        return torch.from_numpy(np.array(value))
    return value.item() if isinstance(value, np.generic) else value


def restored(value: Any) -> Any:
    """The value of `stored`."""
    if isinstance(value, Mapping):
        found = {name: restored(one) for name, one in value.items()}
        kind = found.get(_CLASS)
        if not isinstance(kind, str):  # a module may have this name
            return found
        del found[_CLASS]
        return _CLASSES[kind](**found)
    if isinstance(value, tuple):
        return tuple(restored(one) for one in value)
    return value.numpy() if isinstance(value, Tensor) else value

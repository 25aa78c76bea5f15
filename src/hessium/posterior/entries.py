"""Entries of named parameters in the flat vector."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hessium._typing import IntArray
from hessium.errors import InputError
from hessium.linalg.operator import NamedShapes
from hessium.problem import EmpiricalRisk

NAMED = 20
"""Entries that are looked at one by one without being asked for."""

_OF_LAYERS = ("weight", "bias")  # names of the parameters of layers


def names_of(risk: EmpiricalRisk, names: list[str] | None) -> tuple[str, ...]:
    """Names of the parameters that patterns select, in the order of the risk; all by default."""
    return risk.names if names is None else risk.layout.select(names).names


def entries_of(risk: EmpiricalRisk, names: list[str] | None) -> IntArray:
    """Positions of some parameters in the flat vector, in its order."""
    layout = risk.layout
    pieces = [np.arange(*_ends(layout.slice(name))) for name in names_of(risk, names)]
    return np.concatenate(pieces).astype(np.int64)


def labels_of(risk: EmpiricalRisk, names: list[str] | None) -> list[str]:
    """A label for each entry: its name, with its index if the parameter has several entries."""
    labels = []
    shapes = dict(zip(risk.layout.names, risk.layout.shapes, strict=True))
    for name in names_of(risk, names):
        if int(np.prod(shapes[name])) == 1:
            labels.append(name)
            continue
        labels += [f"{name}[{', '.join(map(str, at))}]" for at in np.ndindex(*shapes[name])]
    return labels


def named_shapes(risk: EmpiricalRisk) -> NamedShapes:
    """Names and shapes of parameters; the entries of a single tensor of at most 20 one by one."""
    known = risk.layout.named_shapes
    if len(known) == 1 and risk.dim <= NAMED:
        return tuple((label, (1,)) for label in labels_of(risk, None))
    return known


def scalar_names(risk: EmpiricalRisk) -> list[str]:
    """Parameters with one entry, at most 20; all parameters of a model with at most 20 entries.

    Weights and biases of layers are left out, as that of the last layer with one output.
    """
    if risk.dim <= NAMED:
        return list(risk.names)
    sizes = zip(risk.names, risk.layout.sizes, strict=True)
    scalars = [name for name, size in sizes if size == 1]
    return [name for name in scalars if name.rpartition(".")[2] not in _OF_LAYERS][:NAMED]


def _ends(where: slice) -> tuple[int, int]:
    return where.start, where.stop


def chosen_names(risk: EmpiricalRisk, names: Sequence[str] | None) -> list[str] | None:
    """Names of parameters that a list of patterns selects.

    Raises:
        InputError: if one matches none.
    """
    if names is None:
        return None
    if not isinstance(names, Sequence):
        msg = f"names: {names!r}; a non-empty list of parameter names or globs is required"
        raise InputError(msg)
    return list(risk.layout.select(names).names)

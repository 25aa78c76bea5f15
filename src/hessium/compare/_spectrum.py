"""What every comparison asks of a measure: its size, and nodes that sit on a law's atoms.

Nodes are put on a law's atoms once, where a spectrum comes in (`snapped`); behind that door a node
is on an atom if it equals it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hessium._typing import BoolArray, FloatArray
from hessium.errors import InputError
from hessium.measure import DiscreteMeasure
from hessium.theory import Law
from hessium.theory._arrays import ArrayLike


def as_measure(spectrum: DiscreteMeasure | ArrayLike) -> DiscreteMeasure:
    """A measure as it is, a list of eigenvalues with equal weights."""
    if isinstance(spectrum, DiscreteMeasure):
        return spectrum
    return DiscreteMeasure.uniform(spectrum)


def size_of(measure: DiscreteMeasure, size: int | None = None) -> int:
    """The side of the matrix that a spectrum belongs to.

    Raises:
        InputError: if the weights are unequal (a quadrature) and no size is given.
    """
    if size is not None:
        if size < 2:
            msg = f"size: {size}; the side of the matrix, at least 2, is required"
            raise InputError(msg)
        return int(size)
    if np.ptp(measure.weights) > 1e-9 * measure.weights[0]:
        msg = f"size: None; {measure!r} has unequal weights, so the side of its matrix is required"
        raise InputError(msg)
    return int(measure.nodes.size)


def require_beta(beta: int) -> None:
    """Raise InputError if beta is not that of real or complex matrices."""
    if isinstance(beta, bool) or beta not in (1, 2):
        msg = f"beta: {beta!r}; 1 (real symmetric) or 2 (complex Hermitian) is required"
        raise InputError(msg)


def eigenvalues_of(measure: DiscreteMeasure) -> FloatArray:
    """All eigenvalues of a whole spectrum.

    Raises:
        InputError: if the weights are unequal: a quadrature has nodes, not eigenvalues.
    """
    size_of(measure)
    return measure.nodes


def nonzero(spectrum: DiscreteMeasure | ArrayLike, tol: float = 1e-10) -> DiscreteMeasure:
    r"""The spectrum without its null space, $|\lambda| \le \mathrm{tol} \max|\lambda|$.

    Args:
        spectrum: eigenvalues or a measure.
        tol: relative threshold; the default is far above the rounding of a dense solver in
            float64. What is zero to the rounding of the spectrum's dtype goes in any case.

    Raises:
        InputError: if nothing is left.
    """
    measure = as_measure(spectrum)
    kept = ~zeros(measure, tol)
    if not kept.any():
        msg = f"spectrum: {measure!r} has no non-zero eigenvalue"
        raise InputError(msg)
    weights = measure.weights[kept]
    return replace(measure, nodes=measure.nodes[kept], weights=weights / weights.sum())


def zeros(measure: DiscreteMeasure, tol: float = 0.0) -> BoolArray:
    """Which nodes are zero to rounding, or to a fraction of the largest if that is more."""
    size = np.abs(measure.nodes)
    return np.asarray(size <= max(tol * float(size.max()), measure.resolution))


def snapped(measure: DiscreteMeasure, law: Law) -> DiscreteMeasure:
    """Nodes that rounding moved off an atom of the law, put back on it."""
    nodes = measure.nodes.copy()
    for atom in law.atoms:
        nodes[np.abs(nodes - atom) <= measure.resolution] = atom
    return replace(measure, nodes=nodes)

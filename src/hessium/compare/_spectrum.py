"""Checks and properties of spectra for the comparisons: size, zeros, atoms of a law.

Nodes within rounding of an atom of the law are set to it once (`snapped`); later comparisons with
atoms are exact.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from hessium import _arguments
from hessium._typing import ArrayLike, BoolArray, FloatArray
from hessium.errors import InputError
from hessium.spectra import DiscreteMeasure, Measure, Spectrum
from hessium.theory import Law


def as_measure(spectrum: Measure | ArrayLike, name: str = "spectrum") -> Measure:
    """A measure unchanged, or a list of eigenvalues with equal weights.

    Raises:
        InputError: if it is not a list of finite real numbers.
    """
    if isinstance(spectrum, Measure):
        return spectrum
    try:
        given = np.asarray(spectrum)
    except Exception as error:  # conversion of foreign objects may raise any exception
        msg = f"{name}: {type(spectrum).__name__}; a list of real numbers is required"
        raise InputError(msg) from error
    if given.dtype.kind not in "fiu" or given.ndim != 1:
        what = type(spectrum).__name__ if given.dtype.kind in "OUS" else str(given.dtype)
        msg = f"{name}: {what} of shape {given.shape}; a list of real numbers is required"
        raise InputError(msg + " (of a matrix, its eigenvalues: hs.spectrum)")
    if not given.size or not np.isfinite(given).all():
        bad = int((~np.isfinite(given)).sum())
        msg = f"{name}: {bad} of {given.size} eigenvalues are NaN or infinite; finite ones"
        raise InputError(msg + " are required, at least one")
    return Spectrum.of(given)


def require_law(name: str, law: Any) -> None:
    """Raise InputError if an argument is not a law."""
    if not isinstance(law, Law):
        msg = f"{name}: {type(law).__name__}; a law of hessium.theory is required"
        raise InputError(msg)


def require_beta(beta: int) -> None:
    """Raise InputError if beta is not that of real or complex matrices."""
    if isinstance(beta, bool) or not isinstance(beta, (int, np.integer)) or beta not in (1, 2):
        msg = f"beta: {beta!r}; 1 (real symmetric) or 2 (complex Hermitian) is required"
        raise InputError(msg)


def estimated(measure: object) -> bool:
    """Whether a spectrum is an estimate from random vectors."""
    return isinstance(measure, Spectrum) and not measure.exact


def known_size(measure: Measure) -> int | None:
    """Size of the matrix if known from the measure, else None."""
    if isinstance(measure, Spectrum):
        return measure.dim
    equal = np.ptp(measure.weights) <= 1e-9 * measure.weights[0]
    return int(measure.nodes.size) if equal else None


def size_of(measure: Measure, size: int | None = None) -> int:
    """Size of the matrix of a spectrum.

    Raises:
        InputError: if the weights are unequal (a quadrature) and no size is given, or the size
            contradicts that of an estimate.
    """
    known = known_size(measure)
    if size is not None:
        given = _arguments.count("size", size, 2)
        if isinstance(measure, Spectrum) and not measure.exact and given != known:
            msg = f"size: {given}; {measure!r} is of a matrix of size {known}, which need not be "
            raise InputError(msg + "given")
        return given
    if known is None:
        msg = f"size: None; {measure!r} has unequal weights, so the size of its matrix is required"
        raise InputError(msg)
    return known


def eigenvalues_of(measure: Measure) -> FloatArray:
    """All eigenvalues of an exact spectrum.

    Raises:
        InputError: if it is an estimate or a quadrature, which have nodes, not eigenvalues.
    """
    if estimated(measure) or known_size(measure) is None:
        msg = f"spectrum: {measure!r} has nodes of a quadrature; all eigenvalues are required "
        raise InputError(msg + "(hs.spectrum)")
    return measure.nodes


def nonzero(spectrum: Measure | ArrayLike, tol: float = 1e-10) -> Measure:
    r"""The spectrum without its null space, $|\lambda| \le \mathrm{tol} \max|\lambda|$.

    Args:
        spectrum: eigenvalues or a measure.
        tol: relative threshold; the default is far above the rounding of a dense solver in
            float64. Eigenvalues that are zero to the rounding of the spectrum's dtype are removed
            in any case.

    Returns:
        A measure of the remaining nodes; for an estimate its quadrature, without errors.

    Raises:
        InputError: if no node remains, or an argument is invalid.

    Example:
        >>> len(hs.compare.nonzero([0.0, 0.0, 1.0, 2.0]).nodes)
        2
    """
    measure = as_measure(spectrum)
    kept = ~zeros(measure, _arguments.nonnegative("tol", tol))
    if not kept.any():
        msg = f"spectrum: {measure!r} has no non-zero eigenvalue"
        raise InputError(msg)
    nodes, weights = measure.nodes[kept], measure.weights[kept]
    if isinstance(measure, Spectrum) and measure.exact:
        return Spectrum.of(nodes, resolution=measure.resolution)
    return DiscreteMeasure(
        nodes=nodes, weights=weights / weights.sum(), resolution=measure.resolution
    )


def zeros(measure: Measure, tol: float = 0.0) -> BoolArray:
    """Mask of nodes within rounding of zero, or within a fraction of the largest."""
    size = np.abs(measure.nodes)
    return np.asarray(size <= max(tol * float(size.max()), measure.resolution))


def snapped(measure: Measure, law: Law) -> Measure:
    """Nodes with those within rounding of an atom of the law set to the atom."""
    nodes = measure.nodes.copy()
    for atom in law.atoms:
        nodes[np.abs(nodes - atom) <= measure.resolution] = atom
    return replace(measure, nodes=nodes)


def rescaled(measure: Measure, unit: float) -> Measure:
    """A spectrum in units of `unit`."""
    nodes, resolution = measure.nodes / unit, measure.resolution / unit
    if isinstance(measure, Spectrum) and measure.exact:
        return Spectrum.of(nodes, resolution=resolution)
    return DiscreteMeasure(nodes=nodes, weights=measure.weights, resolution=resolution)


def probe_covariance(
    measure: Measure, functions: Callable[[FloatArray], FloatArray], count: int
) -> FloatArray:
    r"""Covariance of integrals $\int f_i d\mu$ over the random probes, shape (count, count).

    Zero for an exact spectrum. The shares of $|z|^2$ that eigenvectors carry have a
    Dirichlet law, see `Spectrum.integral`. NaN for rules of one node, which do not give
    integrals of squares.
    """
    if not isinstance(measure, Spectrum) or measure.exact:
        return np.zeros((count, count))
    if rule_degree(measure) < 1:
        return np.full((count, count), np.nan)
    total = sum(rule.mass for rule in measure.rules)
    rules = [(rule.gauss(), rule.mass / total) for rule in measure.rules]
    values = functions(np.concatenate([nodes for (nodes, _), _ in rules]))
    shares = np.concatenate([weights * share for (_, weights), share in rules])
    mean, rest = values @ shares, measure.dim - measure.known.size
    spread = (values * shares) @ values.T - np.outer(mean, mean)
    return np.asarray(2 * spread / (rest * measure.probes + 2) * (rest / measure.dim) ** 2)


def rule_degree(measure: Measure) -> float:
    """Highest degree of polynomials whose squares are integrated exactly; infinite if all are."""
    if not isinstance(measure, Spectrum):
        return np.inf
    return min(
        (rule.diagonal.size - 1 for rule in measure.rules if not rule.complete), default=np.inf
    )

"""Exact spectra, ranks and inertias where the matrix, or its smaller companion, fits in memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse.linalg
import torch
from torch import Tensor

from hessium._arguments import memory
from hessium._arithmetic import full_precision
from hessium._threads import blas_threads
from hessium._typing import FloatArray
from hessium.errors import InputError
from hessium.linalg.adapt import Operator, as_operator
from hessium.linalg.ldl import ShiftedLDL
from hessium.linalg.operator import SymmetricOperator
from hessium.linalg.threads import dense_algebra
from hessium.linalg.vectors import gaussian, norm
from hessium.spectra import Count, Inertia, RankProfile, Spectrum
from hessium.spectra.inertia import thresholds
from hessium.spectra.measure import relative_resolution, resolution_of

FACTORISE_FROM = 500  # below this size all eigenvalues cost less than two factorisations and a norm


@full_precision()
def spectrum(op: Operator | SymmetricOperator | Tensor, *, max_bytes: int = 2**33) -> Spectrum:
    """All eigenvalues, exact to rounding.

    An operator with a smaller companion of the same non-zero spectrum (a Gauss-Newton matrix with
    fewer samples x outputs than parameters has its Gram matrix) is solved through the companion;
    the remaining eigenvalues are exact zeros.

    Args:
        op: an operator, or a symmetric tensor.
        max_bytes: memory limit for the dense matrix and its work space (8 GiB).

    Returns:
        An exact `Spectrum`: n nodes in ascending order with weights 1/n, in float64 for every dtype
        of the operator. Its resolution is the rounding of that dtype plus the disagreement of
        products with the matrix.

    Raises:
        InputError: if the dense matrix does not fit.

    Cost: the products of `dense`, and $4n^3/3$ multiply-adds with n the smaller size.

    Example:
        >>> s = hs.spectrum(H)
        >>> s.exact, s.dim, bool(np.isclose(s.nodes.sum(), torch.trace(H.dense())))
        (True, 13, True)
    """
    return exact_spectrum(as_operator(op), memory("max_bytes", max_bytes))


def exact_inertia(operator: SymmetricOperator, tol: float, *, max_bytes: int) -> Inertia:
    """Inertia of a matrix that fits into memory, by factorisation or from all eigenvalues."""
    if operator.companion() is None and operator.shape[0] >= FACTORISE_FROM:
        # the matrix, the shifted one, its factor, and what LAPACK takes
        matrix, departure = assembled(operator, max_bytes, 4)
        rounding = _rounding(operator)
        found = _inertia_by_factorisation(matrix, tol, rounding, departure)
        if found is not None and not (operator.positive_semidefinite and found.negative.upper):
            return found
        return spectrum_of_matrix(matrix, departure, operator).inertia(tol)
    return exact_spectrum(operator, max_bytes).inertia(tol)


def fits(operator: SymmetricOperator, max_bytes: int) -> bool:
    """Whether `exact_inertia` has the memory it needs."""
    companion = operator.companion()
    size = operator.shape[0] if companion is None else companion.shape[0]
    return 4 * size * size * 8 <= max_bytes


@full_precision()
def rank_profile(
    op: Operator | SymmetricOperator | Tensor | Spectrum,
    tols: npt.ArrayLike | None = None,
    *,
    max_bytes: int = 2**33,
) -> RankProfile:
    """Counts as in `inertia` for several thresholds, from one set of eigenvalues.

    Args:
        op: an operator, a symmetric tensor, or a spectrum.
        tols: relative thresholds; by default four per decade from 1e-2 to 1e-14.
        max_bytes: as in `spectrum`.

    Raises:
        InputError: for bad thresholds.

    Cost: as for `spectrum`; none if a spectrum is given.

    Example:
        >>> matrix = torch.diag(torch.tensor([1.0, 1e-3, 1e-9], dtype=torch.float64))
        >>> hs.rank_profile(matrix, [1e-2, 1e-6]).rank.tolist()
        [1, 2]
    """
    thresholds(tols)  # before the long work
    found = op if isinstance(op, Spectrum) else spectrum(op, max_bytes=max_bytes)
    return found.rank_profile(tols)


def exact_spectrum(operator: SymmetricOperator, max_bytes: int) -> Spectrum:
    """All eigenvalues, from the companion if there is one."""
    solved = operator.companion() or operator
    # the matrix, its copy in float64, and what LAPACK takes
    matrix, departure = assembled(solved, max_bytes, 3)
    return spectrum_of_matrix(matrix, departure, operator)


def spectrum_of_matrix(matrix: Tensor, departure: float, operator: SymmetricOperator) -> Spectrum:
    """All eigenvalues of a matrix that `assembled` made of an operator, or of its companion."""
    values = _solve(matrix)
    nonnegative = operator.positive_semidefinite
    if nonnegative:
        values = np.maximum(values, 0.0)  # negative values are rounding errors
    rounding = resolution_of(values, float(torch.finfo(operator.dtype).eps))
    if departure > 0 and not values.any():
        msg = f"op: {operator!r} maps unit vectors to zero, but not all vectors; it must be linear"
        raise InputError(msg)
    n = operator.shape[0]
    return Spectrum.of(
        values,
        dim=n,
        resolution=rounding + (departure if departure > rounding else 0.0),
        num_matvecs=values.size,
        nonnegative=nonnegative,
        rank_bound=values.size if values.size < n else operator.rank_bound,
    )


def assembled(operator: SymmetricOperator, max_bytes: int, matrices: int) -> tuple[Tensor, float]:
    r"""The dense matrix M in float64, and how far the products are from it, in the Frobenius norm.

    For a Gaussian x, $E|Ax - Mx|^2 = \|A - M\|_F^2$: it includes noise, asymmetry, lower internal
    precision and single wrong products. Four times the largest of three samples is below the norm
    with probability at most 0.008, attained where A - M has rank one.

    Cost: three products in addition to those of `dense`.
    """
    rng = np.random.default_rng(0)
    vectors = torch.stack([gaussian(operator, rng) for _ in range(3)], dim=1)
    share = _share(operator, max_bytes, matrices)
    matrix, products = operator.dense_beside(vectors, max_bytes=share)
    matrix = matrix.double()
    misses = products.double() - matrix @ vectors.double()
    return matrix, 4 * max(float(norm(miss)) for miss in misses.unbind(1))


def _share(operator: SymmetricOperator, max_bytes: int, matrices: int) -> int:
    """Part of the memory limit left to the assembly if `count` float64 matrices must fit."""
    n = operator.shape[0]
    needed = matrices * n * n * 8
    if needed > max_bytes:
        msg = (
            f"max_bytes: {max_bytes / 2**30:.3g} GiB; all eigenvalues of a dense {n} x {n} matrix "
            f"need {needed / 2**30:.3g} GiB (hs.spectral_measure and hs.eigenpairs need no matrix; "
            "or raise it, or restrict the risk to some parameters)"
        )
        raise InputError(msg)
    return max_bytes - (matrices - 2) * operator.shape[0] ** 2 * 8


def _solve(matrix: Tensor) -> FloatArray:
    with dense_algebra(len(matrix)):
        values: Any = torch.linalg.eigvalsh(matrix).cpu().numpy()
    return np.asarray(values, dtype=np.float64)


def _rounding(operator: SymmetricOperator) -> float:
    return relative_resolution(operator.shape[0], float(torch.finfo(operator.dtype).eps))


def _inertia_by_factorisation(
    matrix: Tensor, tol: float, rounding: float, departure: float
) -> Inertia | None:
    """Counts by LDL^T; None if an eigenvalue lies too close to a threshold."""
    n = matrix.shape[0]
    if not bool(matrix.any()):
        return None
    # The threshold is as uncertain as the largest eigenvalue. That is harmless where no eigenvalue
    # lies near it, so the cheap estimate comes first.
    for accuracy in (1e-3, 1e-10):
        scale = _largest(matrix, accuracy)
        t, band = tol * scale, rounding * scale
        band += departure if departure > band else 0.0
        below: list[int] = []
        for shift in (-t, t):
            factor = ShiftedLDL(matrix, shift)
            if factor.nearest() < 10 * (band + accuracy * t):
                break
            below.append(factor.count_below())
        else:
            return Inertia(
                negative=_exactly(below[0]),
                zero=_exactly(below[1] - below[0]),
                positive=_exactly(n - below[1]),
                tol=tol,
                scale=scale,
                resolution=band,
                dim=n,
                method="ldl",
            )
    return None


def _largest(matrix: Tensor, accuracy: float) -> float:
    """Largest |eigenvalue| to a relative accuracy, by Lanczos."""
    n = matrix.shape[0]
    with blas_threads(n):
        found: Any = scipy.sparse.linalg.eigsh(
            matrix.cpu().numpy(),
            k=1,
            which="LM",
            tol=accuracy,
            v0=np.random.default_rng(n).standard_normal(n),
            ncv=40,
            return_eigenvectors=False,
        )
    return abs(float(found[0]))


def _exactly(value: int) -> Count:
    return Count(value=value, lower=value, upper=value)

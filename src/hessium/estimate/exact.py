"""Exact spectra, ranks and inertias where the matrix, or its smaller companion, fits in memory."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse.linalg
import torch
from torch import Tensor

from hessium._arithmetic import full_precision
from hessium._typing import FloatArray
from hessium.errors import InputError
from hessium.estimate.results import Count, Inertia, RankProfile
from hessium.linalg.adapt import Operator, as_operator
from hessium.linalg.ldl import ShiftedLDL
from hessium.linalg.operator import SymmetricOperator, require_memory
from hessium.measure import DiscreteMeasure, relative_resolution

FACTORISE_FROM = 500  # below this all eigenvalues cost less than two factorisations and a norm


@full_precision()
def spectrum(
    op: Operator | SymmetricOperator | Tensor, *, max_bytes: int = 2**33
) -> DiscreteMeasure:
    """All eigenvalues, exact to rounding, as a measure with equal weights.

    An operator with a smaller companion of the same non-zero spectrum (a Gauss-Newton matrix with
    fewer samples x outputs than parameters has its Gram matrix) is solved through that one, and the
    remaining eigenvalues are exact zeros.

    Args:
        op: an operator, or a symmetric tensor.
        max_bytes: what the dense matrix and its work space may take (8 GiB).

    Returns:
        n nodes in ascending order with weights 1/n, in float64 whatever the operator's dtype;
        `unit` is the rounding of that one.

    Raises:
        InputError: if the dense matrix does not fit.

    Cost: the products of `dense`, and $4n^3/3$ multiply-adds with n the smaller size.
    """
    operator = as_operator(op)
    values = DiscreteMeasure.uniform(_eigenvalues(operator, max_bytes)[0])
    return replace(values, unit=float(torch.finfo(operator.dtype).eps))


def exact_inertia(operator: SymmetricOperator, tol: float, *, max_bytes: int) -> Inertia:
    """What `inertia` says of a matrix that fits: by factorisation, or from all eigenvalues."""
    companion = operator.companion()
    if companion is None and operator.shape[0] >= FACTORISE_FROM:
        # the matrix, the shifted one, its factor, and what LAPACK takes
        matrix = operator.dense(max_bytes=_share(operator, max_bytes, 4)).double()
        resolution = _resolution(operator.shape[0], operator.dtype)
        found = _inertia_by_factorisation(matrix, tol, resolution)
        return inertia_of(_solve(matrix), tol, resolution) if found is None else found
    values, resolution = _eigenvalues(operator, max_bytes)
    return inertia_of(values, tol, resolution)


def fits(operator: SymmetricOperator, max_bytes: int) -> bool:
    """Whether `exact_inertia` has the memory it needs."""
    companion = operator.companion()
    size = operator.shape[0] if companion is None else companion.shape[0]
    return 4 * size * size * 8 <= max_bytes


@full_precision()
def rank_profile(
    op: Operator | SymmetricOperator | Tensor | DiscreteMeasure,
    tols: npt.ArrayLike | None = None,
    *,
    max_bytes: int = 2**33,
) -> RankProfile:
    """The counts of `inertia` over a whole range of thresholds, from one set of eigenvalues.

    Args:
        op: an operator, a symmetric tensor, or the whole spectrum of one.
        tols: relative thresholds; by default four per decade from 1e-2 to 1e-14.
        max_bytes: as in `spectrum`.

    Raises:
        InputError: for bad thresholds.

    Cost: as for `spectrum`; nothing more for a spectrum.
    """
    levels = np.logspace(-2, -14, 49) if tols is None else np.array(tols, dtype=np.float64, ndmin=1)
    for level in levels:
        check_tol(float(level))
    if isinstance(op, DiscreteMeasure):
        if np.ptp(op.weights) > 1e-12 * op.weights[0]:
            msg = f"op: {op!r} has unequal weights; a whole spectrum has equal ones"
            raise InputError(msg)
        values, resolution = op.nodes, relative_resolution(op.nodes.size, op.unit)
    else:
        values, resolution = _eigenvalues(as_operator(op), max_bytes)
    levels = np.sort(levels)[::-1]
    thresholds = levels * np.abs(values).max()
    return RankProfile(
        tol=levels,
        positive=np.array([(values > t).sum() for t in thresholds], dtype=np.int64),
        negative=np.array([(values < -t).sum() for t in thresholds], dtype=np.int64),
        dim=values.size,
        resolution=resolution,
    )


def inertia_of(values: FloatArray, tol: float, resolution: float) -> Inertia:
    """Count eigenvalues that are known.

    Args:
        values: all eigenvalues.
        tol: relative threshold.
        resolution: rounding error of an eigenvalue over the largest one.
    """
    scale = float(np.abs(values).max())
    t, band = tol * scale, resolution * scale

    def count(size: FloatArray) -> Count:
        """Entries above t; the bounds are those above t + band, and above t - band."""
        return Count(
            value=int((size > t).sum()),
            lower=int((size > t + band).sum()),
            upper=int((size > t - band).sum()),
        )

    outside = count(np.abs(values))
    return Inertia(
        negative=count(-values),
        zero=Count(
            value=values.size - outside.value,
            lower=values.size - outside.upper,
            upper=values.size - outside.lower,
        ),
        positive=count(values),
        tol=tol,
        scale=scale,
        resolution=band,
        method="eigenvalues",
    )


def check_tol(tol: float) -> float:
    """A relative threshold.

    Raises:
        InputError: if it is not in [0, 1).
    """
    if not 0 <= tol < 1:
        msg = f"tol: {tol}; 0 <= tol < 1 is required (relative to the largest |eigenvalue|)"
        raise InputError(msg)
    return float(tol)


def _eigenvalues(operator: SymmetricOperator, max_bytes: int) -> tuple[FloatArray, float]:
    """All eigenvalues, and the rounding error of one of them over the largest."""
    solved = operator.companion() or operator
    # the matrix, its copy in float64, and what LAPACK takes
    values = _solve(solved.dense(max_bytes=_share(solved, max_bytes, 3)).double())
    rest = operator.shape[0] - values.size
    return np.sort(np.concatenate([values, np.zeros(rest)])), _resolution(
        values.size, operator.dtype
    )


def _share(operator: SymmetricOperator, max_bytes: int, matrices: int) -> int:
    """What of a budget the assembly may take, if so many float64 matrices must fit at once."""
    require_memory(operator.shape[0], torch.float64, max_bytes // matrices)
    return max_bytes - (matrices - 2) * operator.shape[0] ** 2 * 8


def _solve(matrix: Tensor) -> FloatArray:
    values: Any = torch.linalg.eigvalsh(matrix).cpu().numpy()
    return np.asarray(values, dtype=np.float64)


def _resolution(n: int, dtype: torch.dtype) -> float:
    return relative_resolution(n, float(torch.finfo(dtype).eps))


def _inertia_by_factorisation(matrix: Tensor, tol: float, resolution: float) -> Inertia | None:
    """None where an eigenvalue lies too close to a threshold to be counted this way."""
    n = matrix.shape[0]
    if not bool(matrix.any()):
        return None
    # The threshold is as uncertain as the largest eigenvalue. That is harmless where no eigenvalue
    # lies near it, so the cheap estimate comes first.
    for accuracy in (1e-3, 1e-10):
        scale = _largest(matrix, accuracy)
        t, band = tol * scale, resolution * scale
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
                method="ldl",
            )
    return None


def _largest(matrix: Tensor, accuracy: float) -> float:
    """Largest |eigenvalue| to a relative accuracy, by Lanczos."""
    n = matrix.shape[0]
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

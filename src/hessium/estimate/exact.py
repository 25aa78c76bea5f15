"""Exact spectra, ranks and inertias where the matrix, or its smaller companion, fits in memory."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse.linalg
import torch
from torch import Tensor

from hessium._arguments import memory, number, reals
from hessium._arithmetic import full_precision
from hessium._typing import FloatArray
from hessium.errors import InputError
from hessium.estimate.results import Count, Inertia, RankProfile
from hessium.linalg.adapt import Operator, as_operator
from hessium.linalg.ldl import ShiftedLDL
from hessium.linalg.operator import SymmetricOperator, require_memory
from hessium.linalg.vectors import gaussian, norm
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
    found = eigenvalues(operator, memory("max_bytes", max_bytes))
    measure = DiscreteMeasure.uniform(found.all)
    # what the resolution of the measure is to be
    unit = found.resolution / relative_resolution(operator.shape[0], 1.0)
    return replace(measure, unit=max(unit, float(torch.finfo(operator.dtype).eps)))


def exact_inertia(operator: SymmetricOperator, tol: float, *, max_bytes: int) -> Inertia:
    """What `inertia` says of a matrix that fits: by factorisation, or from all eigenvalues."""
    if operator.companion() is None and operator.shape[0] >= FACTORISE_FROM:
        # the matrix, the shifted one, its factor, and what LAPACK takes
        matrix, departure = _assembled(operator, max_bytes, 4)
        rounding = _rounding(operator)
        found = _inertia_by_factorisation(matrix, tol, rounding, departure)
        if found is not None and not (operator.positive_semidefinite and found.negative.upper):
            return found
        return _eigenvalues_of(matrix, departure, operator).inertia(tol)
    return eigenvalues(operator, max_bytes).inertia(tol)


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
    levels = np.logspace(-2, -14, 49) if tols is None else np.atleast_1d(reals("tols", tols))
    if levels.ndim != 1 or not levels.size:
        msg = f"tols: shape {levels.shape}; a list of thresholds is required"
        raise InputError(msg)
    for level in levels:
        check_tol(float(level))
    if isinstance(op, DiscreteMeasure):
        if np.ptp(op.weights) > 1e-12 * op.weights[0]:
            msg = f"op: {op!r} has unequal weights; a whole spectrum has equal ones"
            raise InputError(msg)
        values, resolution = op.nodes, relative_resolution(op.nodes.size, op.unit)
    else:
        found = eigenvalues(as_operator(op), memory("max_bytes", max_bytes))
        values, resolution = found.all, found.resolution
    levels = np.sort(levels)[::-1]
    thresholds = levels * np.abs(values).max()
    return RankProfile(
        tol=levels,
        positive=np.array([(values > t).sum() for t in thresholds], dtype=np.int64),
        negative=np.array([(values < -t).sum() for t in thresholds], dtype=np.int64),
        dim=values.size,
        resolution=resolution,
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Eigenvalues:
    """All eigenvalues of an operator.

    Attributes:
        values: those that were computed, ascending.
        zeros: how many others there are, exactly zero.
        resolution: error of a computed one over the largest: rounding, and what products that
            disagree with the matrix leave open.
        nonnegative: whether none can be negative.
    """

    values: FloatArray
    zeros: int
    resolution: float
    nonnegative: bool

    @property
    def all(self) -> FloatArray:
        """With the zeros, ascending."""
        return np.sort(np.concatenate([self.values, np.zeros(self.zeros)]))

    def inertia(self, tol: float) -> Inertia:
        """Count them."""
        return inertia_of(
            self.values, tol, self.resolution, zeros=self.zeros, nonnegative=self.nonnegative
        )


def inertia_of(
    values: FloatArray,
    tol: float,
    resolution: float,
    *,
    zeros: int = 0,
    nonnegative: bool = False,
) -> Inertia:
    """Count eigenvalues that are known.

    Args:
        values: eigenvalues.
        tol: relative threshold.
        resolution: error of an eigenvalue over the largest one.
        zeros: how many others there are, exactly zero.
        nonnegative: whether none can be negative.
    """
    found = _counted(values, tol, resolution, zeros, nonnegative)
    if found.zero.exact and found.negative.exact:
        return found
    for finer in (digit * 10.0**power for power in range(-16, 0) for digit in (1, 2, 5)):
        if finer > tol:
            other = _counted(values, finer, resolution, zeros, nonnegative)
            counts = (other.negative, other.zero, other.positive)
            if all(count.exact for count in counts):
                return replace(
                    found,
                    negative=replace(found.negative, resolved=(finer, other.negative.value)),
                    zero=replace(found.zero, resolved=(finer, other.zero.value)),
                    positive=replace(found.positive, resolved=(finer, other.positive.value)),
                )
    return found


def _counted(
    values: FloatArray, tol: float, resolution: float, zeros: int, nonnegative: bool
) -> Inertia:
    scale = float(np.abs(values).max(initial=0.0))
    t, band = tol * scale, resolution * scale

    def count(size: FloatArray) -> Count:
        """Entries above t; the bounds are those above t + band, and above t - band."""
        return Count(
            value=int((size > t).sum()),
            lower=int((size > t + band).sum()),
            upper=int((size > t - band).sum()),
        )

    outside = count(values if nonnegative else np.abs(values))
    n = values.size + zeros
    return Inertia(
        negative=Count(value=0, lower=0, upper=0) if nonnegative else count(-values),
        zero=Count(value=n - outside.value, lower=n - outside.upper, upper=n - outside.lower),
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
    tol = number("tol", tol)
    if not 0 <= tol < 1:
        msg = f"tol: {tol}; 0 <= tol < 1 is required (relative to the largest |eigenvalue|)"
        raise InputError(msg)
    return tol


def eigenvalues(operator: SymmetricOperator, max_bytes: int) -> Eigenvalues:
    """All eigenvalues, by the companion where there is one."""
    solved = operator.companion() or operator
    # the matrix, its copy in float64, and what LAPACK takes
    matrix, departure = _assembled(solved, max_bytes, 3)
    return _eigenvalues_of(matrix, departure, operator)


def _eigenvalues_of(matrix: Tensor, departure: float, operator: SymmetricOperator) -> Eigenvalues:
    values = _solve(matrix)
    nonnegative = operator.positive_semidefinite
    if nonnegative:
        values = np.maximum(values, 0.0)  # nearer to the truth: what is below is rounding
    rounding = relative_resolution(values.size, float(torch.finfo(operator.dtype).eps))
    scale = float(np.abs(values).max())
    if departure > 0 and scale == 0:
        msg = f"op: {operator!r} has zero columns, but other products are not zero; not linear"
        raise InputError(msg)
    return Eigenvalues(
        values=values,
        zeros=operator.shape[0] - values.size,
        resolution=rounding + (departure / scale if departure > rounding * scale else 0.0),
        nonnegative=nonnegative,
    )


def _assembled(operator: SymmetricOperator, max_bytes: int, matrices: int) -> tuple[Tensor, float]:
    r"""The dense matrix M in float64, and how far the products are from it, in the Frobenius norm.

    For a Gaussian x, $E|Ax - Mx|^2 = \|A - M\|_F^2$: noise, asymmetry, arithmetic in fewer digits
    than those of the dtype, a product that went wrong once, all show in it. The largest of three,
    times four, is below the norm with probability at most 0.008, and that where A - M has rank one.

    Cost: three products beside those of `dense`.
    """
    matrix = operator.dense(max_bytes=_share(operator, max_bytes, matrices)).double()
    rng = np.random.default_rng(0)
    misses = []
    for _ in range(3):
        vector = gaussian(operator, rng)
        misses.append(float(norm((operator @ vector).double() - matrix @ vector.double())))
    return matrix, 4 * max(misses)


def _share(operator: SymmetricOperator, max_bytes: int, matrices: int) -> int:
    """What of a budget the assembly may take, if so many float64 matrices must fit at once."""
    require_memory(operator.shape[0], torch.float64, max_bytes // matrices)
    return max_bytes - (matrices - 2) * operator.shape[0] ** 2 * 8


def _solve(matrix: Tensor) -> FloatArray:
    values: Any = torch.linalg.eigvalsh(matrix).cpu().numpy()
    return np.asarray(values, dtype=np.float64)


def _rounding(operator: SymmetricOperator) -> float:
    return relative_resolution(operator.shape[0], float(torch.finfo(operator.dtype).eps))


def _inertia_by_factorisation(
    matrix: Tensor, tol: float, rounding: float, departure: float
) -> Inertia | None:
    """None where an eigenvalue lies too close to a threshold to be counted this way."""
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

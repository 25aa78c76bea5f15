"""Eigenvalues by sign, at one relative threshold and at many."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from hessium._arguments import number, reals
from hessium._display import Displayable
from hessium._typing import FloatArray, IntArray
from hessium.errors import InputError
from hessium.spectra.counts import Count


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Inertia(Displayable):
    r"""Eigenvalues by sign, with threshold $t = \mathrm{tol} \cdot \max|\lambda|$ for zero.

    Attributes:
        negative: $\#\{\lambda < -t\}$, the index.
        zero: $\#\{|\lambda| \le t\}$.
        positive: $\#\{\lambda > t\}$.
        tol: relative threshold.
        scale: $\max|\lambda|$, to at least three digits with method "ldl".
        resolution: half-width of the band around $\pm t$ in which the sign is undecided, due to
            rounding and disagreement of products.
        dim: size of the matrix, the sum of the three values.
        method: "ldl" (two factorisations), "eigenvalues" (all of them) or "quadrature".

    Example:
        >>> found = hs.inertia(H)
        >>> found.negative.value + found.zero.value + found.positive.value
        13
    """

    negative: Count
    zero: Count
    positive: Count
    tol: float
    scale: float
    resolution: float
    dim: int
    method: str

    def __post_init__(self) -> None:
        # each count states its threshold
        for name in ("negative", "zero", "positive"):
            count = replace(
                getattr(self, name), what=name, tol=self.tol, scale=self.scale, method=self.method
            )
            object.__setattr__(self, name, count)

    @property
    def rank(self) -> Count:
        r"""$\#\{|\lambda| > t\}$."""
        zero = self.zero
        n = self.dim
        resolved = zero.resolved
        return replace(
            zero,
            value=n - zero.value,
            lower=n - zero.upper,
            upper=n - zero.lower,
            what="rank",
            resolved=None if resolved is None else (resolved[0], n - resolved[1]),
        )

    @property
    def threshold(self) -> float:
        """t, in the units of the eigenvalues."""
        return self.tol * self.scale

    def __repr__(self) -> str:
        counts = {"negative": self.negative, "zero": self.zero, "positive": self.positive}
        words = ", ".join(f"{count.bracket} {name}" for name, count in counts.items())
        words += f" at |eigenvalue| > {self.tol:g} x {self.scale:.6g}"
        if self.zero.resolved is not None:
            found = [f"{c.resolved[1]} {k}" for k, c in counts.items() if c.resolved is not None]
            words += f"; rounding resolves tol {self.zero.resolved[0]:g}: {', '.join(found)}"
        return f"Inertia({words})"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False, eq=False)
class RankProfile(Displayable):
    """Numbers of eigenvalues beyond a range of thresholds.

    Attributes:
        tol: relative thresholds, descending, shape (t,).
        positive: eigenvalues above +tol max|eigenvalue|, shape (t,).
        negative: eigenvalues below -tol max|eigenvalue|, shape (t,).
        lower: lower end of the bracket of the rank, shape (t,).
        upper: upper end of the bracket of the rank, shape (t,).
        dim: number of eigenvalues in all.
        resolution: error of an eigenvalue relative to the largest; counts at smaller thresholds are
            affected by rounding.
        confidence: probability that the bracket of one threshold holds, over the random probes;
            None if it is certain.

    Example:
        >>> profile = hs.rank_profile(H0, [1e-2, 1e-4])
        >>> bool(profile.rank[0] <= profile.rank[1])
        True
    """

    tol: FloatArray
    positive: IntArray
    negative: IntArray
    lower: IntArray
    upper: IntArray
    dim: int
    resolution: float
    confidence: float | None = None

    @property
    def rank(self) -> IntArray:
        """Both signs together."""
        return np.asarray(self.positive + self.negative)

    def __repr__(self) -> str:
        first, last = self.tol[0], self.tol[-1]
        ends = [
            f"{rank}" if low == high else f"{rank} in [{low}, {high}]"
            for rank, low, high in ((self.rank[i], self.lower[i], self.upper[i]) for i in (0, -1))
        ]
        return (
            f"RankProfile(rank {ends[0]} at tol {first:g} to {ends[1]} at {last:g}, of {self.dim})"
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


def thresholds(tols: npt.ArrayLike | None) -> FloatArray:
    """Relative thresholds, descending; by default four per decade from 1e-2 to 1e-14.

    Raises:
        InputError: if one is not in [0, 1), or there is none.
    """
    found = np.logspace(-2, -14, 49) if tols is None else np.atleast_1d(reals("tols", tols))
    if found.ndim != 1 or not found.size:
        msg = f"tols: shape {found.shape}; a list of thresholds is required"
        raise InputError(msg)
    for tol in found:
        check_tol(float(tol))
    return np.sort(found)[::-1]


def inertia_of(
    values: FloatArray,
    tol: float,
    resolution: float,
    *,
    nonnegative: bool = False,
    rank_bound: int | None = None,
) -> Inertia:
    """Inertia of a matrix all of whose eigenvalues are known.

    Args:
        values: all eigenvalues.
        tol: relative threshold.
        resolution: rounding error of an eigenvalue.
        nonnegative: whether no eigenvalue can be negative.
        rank_bound: upper bound on the rank.
    """
    most = values.size if rank_bound is None else rank_bound
    found = _counted(values, tol, resolution, nonnegative, most)
    if found.zero.exact and found.negative.exact:
        return found
    for finer in (digit * 10.0**power for power in range(-16, 0) for digit in (1, 2, 5)):
        if finer > tol:
            other = _counted(values, finer, resolution, nonnegative, most)
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
    values: FloatArray, tol: float, resolution: float, nonnegative: bool, most: int
) -> Inertia:
    scale = float(np.abs(values).max(initial=0.0))
    t = tol * scale

    # no more than `most` differ from zero: those largest in magnitude, if any
    kept = np.zeros_like(values)
    largest = np.argsort(-np.abs(values), kind="stable")[:most]
    kept[largest] = values[largest]

    def beyond(size: FloatArray, kept_size: FloatArray) -> Count:
        """Entries above t; the bounds are those above t + resolution, and above t - resolution."""
        value = int((kept_size > t).sum())
        lower = min(int((size > t + resolution).sum()), value)
        upper = max(min(int((size > t - resolution).sum()), most), value)
        opened = ("rounding",) if lower < upper else ()
        return Count(value=value, lower=lower, upper=upper, reasons=opened)

    sizes = (values, kept) if nonnegative else (np.abs(values), np.abs(kept))
    outside = beyond(*sizes)
    n = values.size
    return Inertia(
        negative=Count(value=0, lower=0, upper=0) if nonnegative else beyond(-values, -kept),
        zero=replace(
            outside, value=n - outside.value, lower=n - outside.upper, upper=n - outside.lower
        ),
        positive=beyond(values, kept),
        tol=tol,
        scale=scale,
        resolution=resolution,
        dim=n,
        method="eigenvalues",
    )


def inertia_from_counts(
    negative: Count,
    inner: Count,
    positive: Count,
    *,
    dim: int,
    tol: float,
    scale: float,
    resolution: float,
    confidence: float,
) -> Inertia:
    """Inertia from three counts of an estimate, which add up to the size of the matrix."""
    lower = max(inner.lower, dim - negative.upper - positive.upper)
    upper = max(lower, min(inner.upper, dim - negative.lower - positive.lower))
    zero = replace(
        inner,
        value=min(max(dim - negative.value - positive.value, lower), upper),
        lower=lower,
        upper=upper,
    )
    beyond = dim - zero.value - negative.value - positive.value
    negative = _moved(negative, beyond)
    positive = _moved(positive, dim - zero.value - negative.value - positive.value)
    counts = (replace(c, confidence=confidence) for c in (negative, zero, positive))
    below, zeros, above = counts
    return Inertia(
        negative=below,
        zero=zeros,
        positive=above,
        tol=tol,
        scale=scale,
        resolution=resolution,
        dim=dim,
        method="quadrature",
    )


def _moved(count: Count, by: int) -> Count:
    """A count whose value is changed as far as its bracket allows."""
    return replace(count, value=min(max(count.value + by, count.lower), count.upper))


def rank_profile_of(
    inertia: Callable[..., Inertia],
    tols: npt.ArrayLike | None,
    confidence: float,
    dim: int,
    exact: bool,
) -> RankProfile:
    """Counts as in `inertia` at each threshold."""
    levels = thresholds(tols)
    found = [inertia(float(tol), confidence=confidence) for tol in levels]
    scale = found[0].scale

    def each(values: Iterable[int]) -> IntArray:
        return np.fromiter(values, dtype=np.int64)

    return RankProfile(
        tol=levels,
        positive=each(one.positive.value for one in found),
        negative=each(one.negative.value for one in found),
        lower=each(one.rank.lower for one in found),
        upper=each(one.rank.upper for one in found),
        dim=dim,
        resolution=found[0].resolution / scale if scale else 0.0,
        confidence=None if exact else confidence,
    )

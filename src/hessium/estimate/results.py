"""What estimators return: numbers with their brackets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hessium._typing import FloatArray, IntArray


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Count:
    """A number of eigenvalues.

    Attributes:
        value: the best single answer.
        lower: no fewer than this.
        upper: no more than this; equal to `lower` where the count is exact.
    """

    value: int
    lower: int
    upper: int

    @property
    def exact(self) -> bool:
        """Whether the bracket is one number."""
        return self.lower == self.upper

    def __int__(self) -> int:
        return self.value

    def __add__(self, other: Count) -> Count:
        return Count(
            value=self.value + other.value,
            lower=self.lower + other.lower,
            upper=self.upper + other.upper,
        )

    def __repr__(self) -> str:
        return str(self.value) if self.exact else f"{self.value} in [{self.lower}, {self.upper}]"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Inertia:
    r"""Eigenvalues by sign, with $t = \mathrm{tol} \cdot \max|\lambda|$ as the size of zero.

    Attributes:
        negative: $\#\{\lambda < -t\}$, the index.
        zero: $\#\{|\lambda| \le t\}$.
        positive: $\#\{\lambda > t\}$.
        tol: relative threshold.
        scale: $\max|\lambda|$, to three digits at least where the method is "ldl".
        resolution: half-width of the band around $\pm t$ in which rounding leaves a sign open.
        method: "ldl" (two factorisations) or "eigenvalues" (all of them).
    """

    negative: Count
    zero: Count
    positive: Count
    tol: float
    scale: float
    resolution: float
    method: str

    @property
    def threshold(self) -> float:
        """t, in the units of the eigenvalues."""
        return self.tol * self.scale

    def __repr__(self) -> str:
        return (
            f"Inertia({self.negative!r} negative, {self.zero!r} zero, {self.positive!r} positive "
            f"at |eigenvalue| > {self.tol:g} x {self.scale:.6g})"
        )


@dataclass(frozen=True, slots=True, kw_only=True, repr=False, eq=False)
class RankProfile:
    """How many eigenvalues count, for a whole range of thresholds.

    Attributes:
        tol: relative thresholds, descending, shape (t,).
        positive: eigenvalues above +tol max|eigenvalue|, shape (t,).
        negative: eigenvalues below -tol max|eigenvalue|, shape (t,).
        dim: number of eigenvalues in all.
        resolution: relative size below which rounding decides, not the operator.
    """

    tol: FloatArray
    positive: IntArray
    negative: IntArray
    dim: int
    resolution: float

    @property
    def rank(self) -> IntArray:
        """Both signs together."""
        return np.asarray(self.positive + self.negative)

    def __repr__(self) -> str:
        first, last = self.tol[0], self.tol[-1]
        return (
            f"RankProfile(rank {self.rank[0]} at tol {first:g} to {self.rank[-1]} at {last:g}, "
            f"of {self.dim})"
        )

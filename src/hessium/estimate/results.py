"""What estimators return: numbers with their brackets."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from hessium._typing import FloatArray, IntArray


@functools.total_ordering
@dataclass(frozen=True, slots=True, kw_only=True, repr=False, eq=False)
class Count:
    """A number of eigenvalues; as an integer it is its value.

    Attributes:
        value: the best single answer; where the bracket is wide, no more than its middle.
        lower: no fewer than this.
        upper: no more than this; equal to `lower` where the count is exact.
        level: probability that the bracket holds, over random probes; None where it is certain.
    """

    value: int
    lower: int
    upper: int
    level: float | None = None

    @property
    def exact(self) -> bool:
        """Whether the bracket is one number."""
        return self.lower == self.upper

    def __int__(self) -> int:
        return self.value

    def __index__(self) -> int:
        return self.value

    def __eq__(self, other: object) -> bool:
        """Equal to a count with the same bracket, and to an integer that is its value."""
        if isinstance(other, Count):
            mine, others = ((c.value, c.lower, c.upper) for c in (self, other))
            return mine == others
        return self.value == other

    def __hash__(self) -> int:
        return hash(self.value)

    def __lt__(self, other: Count | float) -> bool:
        return self.value < _value(other)

    def __add__(self, other: Count | int) -> int:
        """The sum of the values, an integer."""
        return self.value + int(other)

    __radd__ = __add__

    def __format__(self, spec: str) -> str:
        return format(self.value, spec) if spec else repr(self)

    def __repr__(self) -> str:
        likely = "" if self.level is None else f" at level {self.level:g}"
        if self.exact:
            return f"{self.value}{likely}"
        if self.upper - self.lower > max(3, self.value // 2):
            return f"between {self.lower} and {self.upper}{likely}"  # the value is just its middle
        return f"{self.value} in [{self.lower}, {self.upper}]{likely}"


def _value(number: Count | float) -> float:
    return number.value if isinstance(number, Count) else number


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
        method: "ldl" (two factorisations), "eigenvalues" (all of them) or "quadrature".
    """

    negative: Count
    zero: Count
    positive: Count
    tol: float
    scale: float
    resolution: float
    method: str

    @property
    def rank(self) -> Count:
        r"""$\#\{|\lambda| > t\}$."""
        n = self.negative.value + self.zero.value + self.positive.value
        zero = self.zero
        return Count(
            value=n - zero.value, lower=n - zero.upper, upper=n - zero.lower, level=zero.level
        )

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

"""The flat law on an interval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hessium._typing import ComplexArray, FloatArray, Real
from hessium.errors import InputError
from hessium.theory import _check
from hessium.theory.laws.cumulants import to_cumulants
from hessium.theory.laws.law import Law


@dataclass(frozen=True)
class Uniform(Law):
    r"""Density $1/(b - a)$ on [low, high]; $G(z) = \log((z - a)/(z - b))/(b - a)$.

    Args:
        low: a.
        high: b > a.

    Raises:
        InputError: if an end is not finite or high <= low.

    Example:
        >>> float(hs.theory.Uniform(0.0, 2.0).ppf(0.25))
        0.5
    """

    low: Real
    high: Real

    def __post_init__(self) -> None:
        object.__setattr__(self, "low", _check.number("low", self.low))
        object.__setattr__(self, "high", _check.number("high", self.high))
        if self.low >= self.high:
            msg = f"low, high: {self.low} and {self.high}; low < high is required"
            raise InputError(msg)

    def support_intervals(self) -> tuple[tuple[float, float], ...]:
        """[low, high]."""
        return ((self.low, self.high),)

    def free_cumulants(self, count: int) -> FloatArray:
        """From the moments about the centre."""
        orders = np.arange(1, _check.count("count", count, 0) + 1)
        half = 0.5 * (self.high - self.low)
        moments = np.where(orders % 2 == 0, half**orders / (orders + 1.0), 0.0)
        cumulants = to_cumulants(moments)
        cumulants[:1] = 0.5 * (self.low + self.high)
        return cumulants

    def cauchy_above(self, z: ComplexArray) -> tuple[ComplexArray, ComplexArray]:
        """G and G' in closed form."""
        width = self.high - self.low
        left, right = z - self.low, z - self.high
        # far away the two logarithms cancel
        ratio = width / (left + right)
        far = np.abs(ratio) < 0.5
        log = np.where(far, 2 * np.arctanh(np.where(far, ratio, 0.0)), np.log(left) - np.log(right))
        return np.asarray(log / width), -1 / (left * right)

    def log_potential_above(self, z: ComplexArray) -> ComplexArray:
        """The log-potential in closed form."""
        left, right = z - self.low, z - self.high
        near = (left * np.log(left) - right * np.log(right)) / (self.high - self.low) - 1
        # far away the two products cancel
        ratio = (self.high - self.low) / (left + right)
        far = np.abs(ratio) < 0.5
        small = np.where(far & (ratio != 0), ratio, 0.25)
        more = np.arctanh(small) / small + 0.5 * np.log1p(-small * small) - 1
        centred = np.log(np.where(far, 0.5 * (left + right), 1.0))
        return np.where(far, centred + np.where(ratio != 0, more, 0.0), near)

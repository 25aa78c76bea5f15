"""The law of the sum of two free symmetric signs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hessium._typing import ComplexArray, FloatArray, Real
from hessium.theory import _check
from hessium.theory.laws.cumulants import to_cumulants
from hessium.theory.laws.law import Law


@dataclass(frozen=True)
class Arcsine(Law):
    r"""$\rho(x) = 1/(\pi\sqrt{r^2 - x^2})$ on $|x| < r$; $G(z) = 1/\sqrt{z^2 - r^2}$.

    Args:
        radius: r > 0; 2 for the free sum of {-1, 1} with itself.

    Raises:
        InputError: if `radius` is not a positive number.

    Example:
        >>> round(hs.theory.Arcsine(radius=2.0).var(), 12)
        2.0
    """

    radius: Real = 2.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "radius", _check.positive("radius", self.radius))

    def support_intervals(self) -> tuple[tuple[float, float], ...]:
        """[-r, r]."""
        return ((-self.radius, self.radius),)

    def free_cumulants(self, count: int) -> FloatArray:
        r"""From the moments $r^{2k} \binom{2k}{k} / 4^k$."""
        moments = np.zeros(_check.count("count", count, 0))
        value = 1.0
        for k in range(1, moments.size // 2 + 1):
            value *= self.radius**2 * (2 * k - 1) / (2 * k)
            moments[2 * k - 1] = value
        return to_cumulants(moments)

    def _root(self, z: ComplexArray) -> ComplexArray:
        return np.sqrt(z - self.radius) * np.sqrt(z + self.radius)

    def cauchy_above(self, z: ComplexArray) -> tuple[ComplexArray, ComplexArray]:
        """G and G' in closed form."""
        root = self._root(z)
        return 1 / root, -z / root**3

    def log_potential_above(self, z: ComplexArray) -> ComplexArray:
        """The log-potential in closed form."""
        return np.log(0.5 * (z + self._root(z)))

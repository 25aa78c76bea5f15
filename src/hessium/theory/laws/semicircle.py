"""The limit law of Wigner matrices."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hessium._typing import ComplexArray, Real
from hessium.theory import _check
from hessium.theory.laws.levy import LevyLaw
from hessium.theory.laws.levy_triple import LevyTriple


@dataclass(frozen=True)
class Semicircle(LevyLaw):
    r"""$\rho(x) = \sqrt{4v - x^2} / (2 \pi v)$ on $|x| \le 2\sqrt{v}$; $R(g) = v g$.

    The spectrum of a symmetric n x n matrix with independent entries of variance v/n.

    Args:
        variance: v > 0.

    Raises:
        InputError: if `variance` is not a positive number.

    Example:
        >>> hs.theory.Semicircle(variance=0.25).support()
        (-1.0, 1.0)
    """

    variance: Real

    def __post_init__(self) -> None:
        object.__setattr__(self, "variance", _check.positive("variance", self.variance))

    @cached_property
    def triple(self) -> LevyTriple:
        """The variance alone."""
        return LevyTriple(variance=self.variance)

    def support_intervals(self) -> tuple[tuple[float, float], ...]:
        r"""$[-2\sqrt v, 2\sqrt v]$."""
        radius = 2 * float(np.sqrt(self.variance))
        return ((-radius, radius),)

    def reciprocal_above(self, z: ComplexArray) -> ComplexArray:
        """F in closed form."""
        radius = 2 * np.sqrt(self.variance)
        root = np.sqrt(z - radius) * np.sqrt(z + radius)
        return 0.5 * (z + root)  # z and the root point the same way: nothing cancels

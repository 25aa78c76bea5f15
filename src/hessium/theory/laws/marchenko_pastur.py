"""The limit law of Wishart matrices."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hessium._random import Rng, generator
from hessium._typing import ComplexArray, FloatArray, Real
from hessium.theory import _check
from hessium.theory.laws.levy import LevyLaw
from hessium.theory.laws.levy_triple import LevyTriple


@dataclass(frozen=True)
class MarchenkoPastur(LevyLaw):
    r"""The spectrum of $J J^T$, J of shape n x p with entries N(0, scale/p), ratio = n/p.

    $\rho(x) = \sqrt{(x - x_-)(x_+ - x)} / (2 \pi\, \text{ratio}\, \text{scale}\, x)$ on
    $x_\pm = \text{scale}\,(1 \pm \sqrt{\text{ratio}})^2$, an atom $1 - 1/\text{ratio}$ at zero for
    ratio > 1; $R(g) = \text{scale}/(1 - \text{scale}\,\text{ratio}\,g)$; mean = scale.
    (Pennington and Bahri 2017 print the variance $\text{scale}^2/p$, which gives another law.)

    Args:
        ratio: rows over columns, > 0; for a Hessian, parameters over samples times outputs.
        scale: the mean, > 0.

    Raises:
        InputError: if an argument is not a positive number.

    Example:
        >>> law = hs.theory.MarchenkoPastur(ratio=0.25)
        >>> [round(edge, 6) for edge in law.support()]
        [0.25, 2.25]
    """

    ratio: Real
    scale: Real = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "ratio", _check.positive("ratio", self.ratio))
        object.__setattr__(self, "scale", _check.positive("scale", self.scale))

    @cached_property
    def triple(self) -> LevyTriple:
        """Jumps of size scale * ratio at rate 1/ratio."""
        return LevyTriple(rates=(1 / self.ratio,), jumps=(self.scale * self.ratio,))

    def support_intervals(self) -> tuple[tuple[float, float], ...]:
        r"""$\text{scale}\,(1 \pm \sqrt{\text{ratio}})^2$; the atom at zero is in `atoms`."""
        root = float(np.sqrt(self.ratio))
        lower = (1 - self.ratio) / (1 + root)
        return ((self.scale * lower**2, self.scale * (1 + root) ** 2),)

    def matrix(self, n: int, rng: Rng = None) -> FloatArray:
        """J J^T with round(n / ratio) columns, at least one."""
        size = _check.count("n", n)
        columns = max(1, round(size / self.ratio))
        factor = generator(rng).standard_normal((size, columns))
        return np.asarray(self.scale / columns * (factor @ factor.T))

    def reciprocal_above(self, z: ComplexArray) -> ComplexArray:
        """F in closed form."""
        ((low, high),) = self.support_intervals()
        jump = self.scale * self.ratio
        root = np.sqrt(z - low) * np.sqrt(z - high)
        near = (z - self.scale) + jump
        # of the two forms of the same root, the one that does not cancel
        same = (near * root.conj()).real >= 0
        other = np.where(same, 1.0, near - root)
        return np.where(same, 0.5 * (near + root), 2 * jump * z / other)

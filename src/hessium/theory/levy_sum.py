r"""A law plus free noise of finite-jump Levy type: semicircle, Marchenko-Pastur and their sums."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hessium._random import Rng, generator
from hessium._typing import FloatArray
from hessium.theory._arrays import ComplexArray, log_upper
from hessium.theory._branches import LawBranches, TripleBranches
from hessium.theory._gaps import Stretch, rising_stretches, slope
from hessium.theory._triple import LevyTriple
from hessium.theory.gapped import GappedLaw
from hessium.theory.law import Law
from hessium.theory.levy import FreeLevy


@dataclass(frozen=True)
class LevySum(GappedLaw):
    r"""$\mu \boxplus \nu$ with $R_\nu$ explicit: $\omega = z - R_\nu(G_\mu(\omega))$.

    Positions off the support are $x(u) = u + R_\nu(G_\mu(u))$ for u in the gaps of $\mu$, where
    $x'(u) > 0$ (Biane 1997 for the semicircle).
    """

    base: Law
    noise: LevyTriple

    def _self_map(self, z: ComplexArray, w: ComplexArray) -> tuple[ComplexArray, ComplexArray]:
        g, slope = self.base._transform(w)
        value, q = self.noise.self_map(z, 1 / g)
        return value, -q * slope / (g * g)

    def _at(self, z: ComplexArray, w: ComplexArray) -> tuple[ComplexArray, ComplexArray]:
        g, slope = self.base._transform(w)
        _, q = self.noise.remainder(1 / g)
        return g, slope / (1 + q * slope / (g * g))

    def _potential_at(self, z: ComplexArray, w: ComplexArray) -> ComplexArray:
        g, _ = self.base._transform(w)
        own = self.noise.potential(z - w + 1 / g, 1 / g)
        return self.base._log_potential(w) + own - log_upper(1 / g)

    @cached_property
    def _branches(self) -> tuple[LawBranches, TripleBranches]:
        return LawBranches(self.base), TripleBranches(self.noise, self.std())

    def _stretches(self) -> list[Stretch]:
        return rising_stretches(*self._branches, self.std())

    def _position(self, stretch: Stretch, f: FloatArray) -> tuple[FloatArray, FloatArray]:
        ours, theirs = self._branches
        one = ours.at(np.full(f.shape, stretch.first), f)
        two = theirs.at(np.full(f.shape, stretch.second), f)
        return one[0] + two[1], slope(one[2:], two[2:])

    def _place(self, stretch: Stretch, f: FloatArray) -> FloatArray:
        return np.asarray(self._branches[0].at(np.full(f.shape, stretch.first), f)[0])

    def _mass_at(self, stretch: Stretch, f: float) -> float:
        w = self._place(stretch, np.array([f]))
        return float(self.base.cdf(w)[0]) + self.noise.mass_below(f) - 1 + float(f < 0)

    @property
    def atoms(self) -> dict[float, float]:
        """Atoms that the noise, if it has an atom itself, leaves."""
        if self.noise.variance > 0:
            return {}
        left = 1.0 - sum(self.noise.rates)
        return {
            x + self.noise.drift: weight + left - 1
            for x, weight in self.base.atoms.items()
            if weight + left - 1 > 1e-15
        }

    def free_cumulants(self, count: int) -> FloatArray:
        """Sums of the cumulants."""
        return self.base.free_cumulants(count) + self.noise.free_cumulants(count)

    def matrix(self, n: int, rng: Rng = None) -> FloatArray:
        """The base's matrix plus independent rotation-invariant noise."""
        source, noise = generator(rng).spawn(2)
        return self.base.matrix(n, source) + FreeLevy.from_triple(self.noise).matrix(n, noise)

r"""A law plus free noise of finite-jump Levy type: semicircle, Marchenko-Pastur and their sums."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from hessium._random import Rng, generator
from hessium._typing import FloatArray
from hessium.theory._arrays import ComplexArray, log_upper
from hessium.theory._gaps import Gap, gaps_of, rising_stretches
from hessium.theory._solver import increasing_roots
from hessium.theory._triple import LevyTriple
from hessium.theory.law import Law
from hessium.theory.levy import FreeLevy
from hessium.theory.subordinated import SubordinatedLaw


@dataclass(frozen=True)
class LevySum(SubordinatedLaw):
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

    def _curve(self, u: FloatArray) -> tuple[FloatArray, FloatArray]:
        g, slope = self.base._transform(u.astype(np.complex128))
        value, q = self.noise.remainder(1 / g)
        return self.noise.centre + (u + value.real), 1 + (q * slope / (g * g)).real

    def _scan(self) -> list[Gap]:
        gaps = gaps_of(self.base)
        knots = [list(gap) for gap in gaps]
        for jump in self.noise.jumps:
            for k, pole in zip(*self._poles(1 / jump, gaps), strict=True):
                knots[k].append(pole)
        cuts = [pair for row in knots for pair in pairwise(sorted(row))]
        start, end = np.array(cuts).T
        return rising_stretches(self._curve, start, end, self.std())

    def _poles(self, g: float, gaps: list[tuple[float, float]]) -> tuple[list[int], list[float]]:
        """The gaps of the base in which its G takes the value g, and where."""
        unit = self.std()
        low, high = np.array(gaps).T
        near_low = np.where(np.isfinite(low), low, high - 1e9 * unit)
        near_high = np.where(np.isfinite(high), high, low + 1e9 * unit)
        pad = 1e-13 * np.where(np.isfinite(low) & np.isfinite(high), high - low, unit)

        def falling(u: FloatArray) -> tuple[FloatArray, FloatArray]:
            value, slope = self.base._transform(u.astype(np.complex128))
            return -value.real, -slope.real

        top, bottom = -falling(near_low + pad)[0], -falling(near_high - pad)[0]
        hit = np.flatnonzero((top > g) & (g > bottom))
        if not hit.size:
            return [], []
        roots = increasing_roots(falling, np.full(hit.size, -g), near_low[hit], near_high[hit])
        return hit.tolist(), roots.tolist()

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

    def _gap_mass(self, x: float) -> float:
        u = self._outside(np.array([x]))[0]
        g = float(self.base._transform(np.array([u], dtype=complex))[0][0].real)
        below = float(self.base.cdf(u))
        own = self.noise.mass_below(1 / g) if g else 1.0
        return below + own - 1 + float(g < 0)

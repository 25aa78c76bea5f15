r"""The free sum of two laws of which neither has an explicit R-transform."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hessium._random import Rng, generator
from hessium._typing import FloatArray
from hessium.theory._arrays import ComplexArray, log_upper
from hessium.theory._branches import LawBranches
from hessium.theory._far import Far
from hessium.theory._gaps import Stretch, rising_stretches, slope
from hessium.theory.ensembles import haar
from hessium.theory.gapped import Gap, GappedLaw
from hessium.theory.law import Law


@dataclass(frozen=True)
class PairSum(GappedLaw):
    r"""$\mu \boxplus \nu$: $\omega_1$ is the fixed point of $w \mapsto z + H_\nu(z + H_\mu(w))$.

    Here $H = F - \mathrm{id}$, $F = 1/G$, and $\omega_1 + \omega_2 = z + F(z)$. A real x is off the
    support iff $(F_\mu'(\omega_1) - 1)(F_\nu'(\omega_2) - 1) < 1$ at real $\omega_i$ off the
    supports (Bao, Erdos and Schnelli, J. Stat. Phys. 2020).
    """

    first: Law
    second: Law

    def _second_point(
        self, z: ComplexArray, w: ComplexArray
    ) -> tuple[ComplexArray, ComplexArray, ComplexArray]:
        """G of the first law at w, the derivative of H there, and omega_2."""
        g, slope = self.first._transform(w)
        # far out F and w cancel, and their difference is a series
        far = np.abs(g) * self._far.reach < 1
        other = z + np.where(far, -self._far.r_transform(np.where(far, g, 0.0)), 1 / g - w)
        other = other.real + 1j * np.maximum(other.imag, 0.0)
        return g, -slope / (g * g) - 1, other

    def _self_map(self, z: ComplexArray, w: ComplexArray) -> tuple[ComplexArray, ComplexArray]:
        _, first_slope, other = self._second_point(z, w)
        g, slope = self.second._transform(other)
        return z + (1 / g - other), (-slope / (g * g) - 1) * first_slope

    def _at(self, z: ComplexArray, w: ComplexArray) -> tuple[ComplexArray, ComplexArray]:
        g, first_slope, other = self._second_point(z, w)
        other_g, other_slope = self.second._transform(other)
        second_slope = -other_slope / (other_g * other_g) - 1
        speed = (1 + second_slope) / (1 - first_slope * second_slope)
        return g, -(g * g) * (first_slope + 1) * speed

    def _potential_at(self, z: ComplexArray, w: ComplexArray) -> ComplexArray:
        g, _, other = self._second_point(z, w)
        return self.first._log_potential(w) + self.second._log_potential(other) - log_upper(1 / g)

    @property
    def atoms(self) -> dict[float, float]:
        """A + b with weight mu{a} + nu{b} - 1 where that is positive (Bercovici-Voiculescu)."""
        return {
            a + b: p + q - 1
            for a, p in self.first.atoms.items()
            for b, q in self.second.atoms.items()
            if p + q - 1 > 1e-15
        }

    def free_cumulants(self, count: int) -> FloatArray:
        """Sums of the cumulants."""
        return self.first.free_cumulants(count) + self.second.free_cumulants(count)

    def matrix(self, n: int, rng: Rng = None) -> FloatArray:
        """The first matrix plus the second in a Haar basis."""
        one, two, three = generator(rng).spawn(3)
        q = haar(n, three)
        return np.asarray(self.first.matrix(n, one) + q @ self.second.matrix(n, two) @ q.T)

    @cached_property
    def _far(self) -> Far:
        return Far(self.first)

    @cached_property
    def _branches(self) -> tuple[LawBranches, LawBranches]:
        return LawBranches(self.first), LawBranches(self.second)

    def _stretches(self) -> list[Stretch]:
        return rising_stretches(*self._branches, self.std())

    def _values(self, stretch: Stretch, f: FloatArray) -> tuple[FloatArray, FloatArray]:
        ours, theirs = self._branches
        k = np.zeros(f.shape, dtype=np.int64)
        return ours.at(k + stretch.first, f), theirs.at(k + stretch.second, f)

    def _position(self, stretch: Stretch, f: FloatArray) -> tuple[FloatArray, FloatArray]:
        one, two = self._values(stretch, f)
        # w + v - f, the difference taken where it has a form without cancellation
        position = np.where(np.abs(one[1]) < np.abs(one[0]), one[1] + two[0], one[0] + two[1])
        return position, slope(one[2:], two[2:])

    def _place(self, stretch: Stretch, f: FloatArray) -> FloatArray:
        return np.asarray(self._values(stretch, f)[0][0])

    def _potential_on(self, stretch: Stretch, f: FloatArray) -> ComplexArray:
        one, two = self._values(stretch, f)
        phi = self.first._log_potential(one[0].astype(np.complex128))
        phi = phi + self.second._log_potential(two[0].astype(np.complex128))
        return np.asarray(phi - log_upper(f.astype(np.complex128)))

    def _mass_on(self, gap: Gap, x: float) -> float:
        f = self._middle(gap, x)
        one, two = self._values(gap.stretch, np.array([f]))
        below = self.first.cdf(one[0]) + self.second.cdf(two[0])
        return float(below[0]) - 1 + float(f < 0)

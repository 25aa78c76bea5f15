r"""A law plus free noise of finite-jump Levy type: semicircle, Marchenko-Pastur and their sums.

`GeneralSum` of the same two laws gives the same numbers. This route is faster: its support search
inverts nothing, and a step of its iteration evaluates one law.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hessium._random import Rng, generator
from hessium._typing import ComplexArray, FloatArray, IntArray
from hessium.theory._fixed_point import HalfPlaneMap, OneVariable
from hessium.theory._half_plane import log_upper
from hessium.theory._roots import increasing_roots
from hessium.theory.convolution._levy_support import LevySupportSearch
from hessium.theory.convolution._support_search import Stretch
from hessium.theory.convolution.additive import AdditiveConvolution, Gap, atoms_of_sum
from hessium.theory.laws.law import Law
from hessium.theory.laws.levy import FreeLevy
from hessium.theory.laws.levy_triple import LevyTriple

_SMALL = 1e-150  # values of G below this are replaced by it


@dataclass(frozen=True)
class LevySum(AdditiveConvolution):
    r"""$\mu \boxplus \nu$ with $R_\nu$ explicit: $\omega = z - R_\nu(G_\mu(\omega))$.

    Positions off the support are $x(u) = u + R_\nu(G_\mu(u))$ for u in the gaps of $\mu$, where
    $x'(u) > 0$ (Biane 1997 for the semicircle).
    """

    base: Law
    noise: LevyTriple

    @cached_property
    def laws(self) -> tuple[Law, FreeLevy]:
        """The base and the noise as laws."""
        return self.base, FreeLevy.from_triple(self.noise)

    @property
    def _map(self) -> HalfPlaneMap:
        return OneVariable(self._self_map)

    def _self_map(self, z: ComplexArray, w: ComplexArray) -> tuple[ComplexArray, ComplexArray]:
        g, slope = self.base.cauchy_above(w)
        value, q = self.noise.self_map(z, 1 / g)
        return value, -q * slope / (g * g)

    def _at(self, z: ComplexArray, w: ComplexArray) -> tuple[ComplexArray, ComplexArray]:
        (w,) = w
        g, slope = self.base.cauchy_above(w)
        _, q = self.noise.remainder(1 / g)
        return g, slope / (1 + q * slope / (g * g))

    def _potential_at(self, z: ComplexArray, w: ComplexArray) -> ComplexArray:
        (w,) = w
        g, _ = self.base.cauchy_above(w)
        own = self.noise.potential(z - w + 1 / g, 1 / g)
        return self.base.log_potential_above(w) + own - log_upper(1 / g)

    def excess_above(self, z: ComplexArray) -> tuple[ComplexArray, ComplexArray, ComplexArray]:
        """F - z is that of the base at the fixed point less R of the noise."""
        (w,) = self._subordination(z)
        g, more, rate = self.base.excess_above(w)
        value, q = self.noise.remainder(1 / g)
        speed = 1 - q * (1 + rate)
        return g, more - (self.noise.centre + value), (rate + q * (1 + rate)) / speed

    def _stretches(self) -> list[Stretch]:
        """Stretches of u: here the parameter is the subordination point itself."""
        found = LevySupportSearch(self.base, self.noise, self.std()).stretches()
        return [Stretch(first=0, second=0, start=start, end=end) for start, end in found]

    def _position(self, stretch: Stretch, u: FloatArray) -> tuple[FloatArray, FloatArray]:
        with np.errstate(all="ignore"):
            g, slope = (a.real for a in self.base.cauchy_above(u.astype(np.complex128)))
            f = 1 / np.where(np.abs(g) < _SMALL, _SMALL, g)
            value, q = (a.real for a in self.noise.remainder(f.astype(np.complex128)))
            return u + (self.noise.centre + value), 1 + q * slope * f * f

    def _known(self, stretch: Stretch, u: FloatArray) -> tuple[FloatArray, FloatArray]:
        g, slope = (a.real for a in self.base.cauchy_above(u.astype(np.complex128)))
        return g, slope / self._position(stretch, u)[1]

    def _place(self, stretch: Stretch, u: FloatArray) -> FloatArray:
        return u

    def _value(self, gap: Gap, x: FloatArray) -> FloatArray:
        def position(u: FloatArray, _: IntArray) -> tuple[FloatArray, FloatArray]:
            return self._position(gap.stretch, u)

        start, end = gap.stretch.start, gap.stretch.end
        return increasing_roots(position, x, np.full(x.shape, start), np.full(x.shape, end))

    def _potential_on(self, stretch: Stretch, u: FloatArray) -> ComplexArray:
        g = self.base.cauchy_above(u.astype(np.complex128))[0].real
        f = (1 / np.where(np.abs(g) < _SMALL, _SMALL, g)).astype(np.complex128)
        shift = self.noise.centre + self.noise.remainder(f)[0]
        own = self.noise.potential(f + shift, f)
        return self.base.log_potential_above(u.astype(np.complex128)) + own - log_upper(f)

    def _mass_on(self, gap: Gap, x: float) -> float:
        """The mass at any u of the stretch: atoms lie between two stretches."""
        start, end = gap.stretch.start, gap.stretch.end
        u = np.array([0.5 * (start + end) if np.isfinite(start + end) else x])
        g = self.base.cauchy_above(u.astype(np.complex128))[0].real
        f = float(1 / np.where(np.abs(g) < _SMALL, _SMALL, g)[0])
        return float(self.base.cdf(u)[0]) + self.noise.mass_below(f) - 1 + float(f < 0)

    @property
    def atoms(self) -> dict[float, float]:
        """Sums of an atom of the base and the atom of the noise, if it has one."""
        return atoms_of_sum(self.laws)

    def free_cumulants(self, count: int) -> FloatArray:
        """Sums of the cumulants."""
        return np.asarray(sum(law.free_cumulants(count) for law in self.laws))

    def matrix(self, n: int, rng: Rng = None) -> FloatArray:
        """The base's matrix plus independent rotation-invariant noise."""
        source, noise = generator(rng).spawn(2)
        return self.base.matrix(n, source) + self.laws[1].matrix(n, noise)

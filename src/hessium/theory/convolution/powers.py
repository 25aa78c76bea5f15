r"""Free convolution powers and free compressions: the law of a corner of a rotated matrix."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hessium._random import Rng, generator
from hessium._typing import ComplexArray, FloatArray, IntArray, Real
from hessium.errors import InputError
from hessium.theory import _check
from hessium.theory._fixed_point import HalfPlaneMap, OneVariable
from hessium.theory._half_plane import log_upper
from hessium.theory.convolution._branches import Branches, LawBranches
from hessium.theory.convolution._support_search import Stretch, rising_stretches
from hessium.theory.convolution.additive import AdditiveConvolution, Gap
from hessium.theory.ensembles import haar
from hessium.theory.laws.empirical import Empirical, centred
from hessium.theory.laws.law import Law, affine, checked_law
from hessium.theory.laws.levy import FreeLevy, LevyLaw


def free_power(law: Law, exponent: Real) -> Law:
    r"""The law $\mu^{\boxplus t}$ with R-transform $t R_\mu$.

    Args:
        law: any law.
        exponent: t >= 1; any t > 0 for laws of Levy type, which are infinitely divisible.

    Raises:
        InputError: if the exponent is below 1 and the law is not infinitely divisible.

    Example:
        >>> law = hs.theory.free_power(hs.theory.Semicircle(1.0), 3.0)
        >>> round(law.var(), 9)
        3.0
    """
    checked_law("law", law)
    t = _check.positive("exponent", exponent)
    if isinstance(law, LevyLaw):
        return FreeLevy.from_triple(law.triple.power(t))
    if t < 1:
        msg = f"exponent: {t}; at least 1 is required for a law that is not infinitely divisible"
        raise InputError(msg)
    if t == 1:
        return law
    if isinstance(law, Empirical) and law.nodes.size == 1:
        return affine(law, scale=t)
    base, median = centred(law)  # far from zero the median would take the digits of the positions
    return affine(FreePower(base, t), shift=t * median)


def free_compression(law: Law, share: Real) -> Law:
    r"""The law of a corner of relative size `share` of a randomly rotated matrix of the law.

    $D_s(\mu^{\boxplus 1/s})$ (Nica and Speicher, Lectures, cor. 14.13).

    Args:
        law: any law.
        share: s in (0, 1].

    Raises:
        InputError: if `share` is not in (0, 1].

    Example:
        >>> law = hs.theory.free_compression(hs.theory.Semicircle(1.0), 0.5)
        >>> round(law.var(), 9)
        0.5
    """
    checked_law("law", law)
    s = _check.positive("share", share)
    if s > 1:
        msg = f"share: {s}; a share in (0, 1] is required"
        raise InputError(msg)
    return affine(free_power(law, 1 / s), scale=s)


@dataclass(frozen=True)
class FreePower(AdditiveConvolution):
    r"""$\mu^{\boxplus t}$, t > 1: $\omega = z + (t-1)(F(\omega) - \omega)$, a fixed point."""

    base: Law
    exponent: float

    @property
    def _map(self) -> HalfPlaneMap:
        return OneVariable(self._self_map)

    def _self_map(self, z: ComplexArray, w: ComplexArray) -> tuple[ComplexArray, ComplexArray]:
        _, excess, rate = self.base.excess_above(w)
        more = self.exponent - 1
        return z + more * excess, more * rate

    def excess_above(self, z: ComplexArray) -> tuple[ComplexArray, ComplexArray, ComplexArray]:
        """F - z is the exponent times that of the base at the fixed point."""
        g, excess, rate = self.base.excess_above(self._subordination(z)[0])
        t = self.exponent
        return g, t * excess, t * rate / (1 - (t - 1) * rate)

    def _at(self, z: ComplexArray, w: ComplexArray) -> tuple[ComplexArray, ComplexArray]:
        (w,) = w
        g, slope = self.base.cauchy_above(w)
        return g, slope / (self.exponent + (self.exponent - 1) * slope / (g * g))

    def _potential_at(self, z: ComplexArray, w: ComplexArray) -> ComplexArray:
        (w,) = w
        g, _ = self.base.cauchy_above(w)
        t = self.exponent
        return t * self.base.log_potential_above(w) - (t - 1) * log_upper(1 / g)

    @cached_property
    def _branches(self) -> LawBranches:
        return LawBranches(self.base)

    def _stretches(self) -> list[Stretch]:
        """Where r > 1 - 1/t: on each branch one stretch or none."""
        return rising_stretches(self._branches, _ConstantBranch(1 / self.exponent), self.std())

    def _position(self, stretch: Stretch, f: FloatArray) -> tuple[FloatArray, FloatArray]:
        t = self.exponent
        w, shift, rate, _ = self._branches.at(np.full(f.shape, stretch.first), f)
        return w + (t - 1) * shift, t * (rate - (1 - 1 / t))

    def _place(self, stretch: Stretch, f: FloatArray) -> FloatArray:
        return np.asarray(self._branches.at(np.full(f.shape, stretch.first), f)[0])

    def _potential_on(self, stretch: Stretch, f: FloatArray) -> ComplexArray:
        phi = self.base.log_potential_above(self._place(stretch, f).astype(np.complex128))
        t = self.exponent
        return np.asarray(t * phi - (t - 1) * log_upper(f.astype(np.complex128)))

    def _mass_on(self, gap: Gap, x: float) -> float:
        f = self._middle(gap, x)
        below = float(self.base.cdf(self._place(gap.stretch, np.array([f])))[0])
        return self.exponent * below - (self.exponent - 1) * float(f > 0)

    @property
    def atoms(self) -> dict[float, float]:
        """The atoms t a of weight t w - (t - 1) where that is positive."""
        t = self.exponent
        left = {t * a: t * w - (t - 1) for a, w in self.base.atoms.items()}
        return {a: w for a, w in left.items() if w > 1e-15}

    def free_cumulants(self, count: int) -> FloatArray:
        """The cumulants of the base times t."""
        return np.asarray(self.exponent * self.base.free_cumulants(count))

    def matrix(self, n: int, rng: Rng = None) -> FloatArray:
        """A corner of a rotated matrix of size t n, times t."""
        one, two = generator(rng).spawn(2)
        size = round(self.exponent * _check.count("n", n))
        corner = haar(size, two)[:n]
        return np.asarray(size / n * (corner @ self.base.matrix(size, one) @ corner.T))


class _ConstantBranch(Branches):
    """A constant r: a free power t has a gap where r of the base exceeds 1 - 1/t."""

    unit = 0.0

    def __init__(self, rate: float) -> None:
        self.low, self.high, self.peak = np.array([-np.inf]), np.array([np.inf]), np.array([np.nan])
        self._row = np.array([0.0, 0.0, rate, 1 - rate])

    def at(self, k: IntArray, f: FloatArray) -> FloatArray:
        """The same rows at every f; w is not used and zero."""
        return np.tile(self._row[:, None], np.shape(f))

    def samples(self) -> list[tuple[FloatArray, FloatArray, FloatArray]]:
        """One value."""
        return [(np.zeros(1), self._row[2:3], self._row[3:4])]

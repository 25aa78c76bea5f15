r"""The free sum of two laws of which neither has an explicit R-transform."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from hessium._random import Rng, generator
from hessium._typing import FloatArray
from hessium.theory._arrays import ComplexArray, log_upper
from hessium.theory._gaps import Curve, Gap, gaps_of, rising_stretches
from hessium.theory._solver import increasing_roots
from hessium.theory.ensembles import haar
from hessium.theory.law import Law
from hessium.theory.subordinated import SubordinatedLaw

_NEAR = 1e-13
_SMALL = 1e-5  # of 1 / standard deviation


@dataclass(frozen=True)
class PairSum(SubordinatedLaw):
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
        other = z + (1 / g - w)
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

    def _curve(self, low: float, high: float, u: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Position and slope along a gap of the first law and the gap (low, high) of the second."""
        g, slope = (a.real for a in self.first._transform(u.astype(np.complex128)))

        def falling(v: FloatArray) -> tuple[FloatArray, FloatArray]:
            value, change = self.second._transform(v.astype(np.complex128))
            return -value.real, -change.real

        size = u.size
        v = increasing_roots(falling, -g, np.full(size, low), np.full(size, high))
        other_slope = self.second._transform(v.astype(np.complex128))[1].real
        rate = (1 / slope + 1 / other_slope + 1 / g**2) * slope
        return u + v - 1 / g, rate

    def _scan(self) -> list[Gap]:
        gaps: list[Gap] = []
        others = _profiles(self.second)
        for ours in _profiles(self.first):
            for theirs in others:
                start, end = min(ours.top, theirs.top), max(ours.bottom, theirs.bottom)
                if start <= end or not _may_open(ours, theirs):
                    continue
                curve = partial(self._curve, *theirs.gap)
                for a, b in ((start, max(end, 0.0)), (min(start, 0.0), end)):
                    if a > b:
                        outer = ours.outer, theirs.outer
                        gaps += self._half_gaps(curve, ours.gap, (a, b), outer)
        return gaps

    def _half_gaps(
        self,
        curve: Curve,
        gap: tuple[float, float],
        values: tuple[float, float],
        outer: tuple[bool, bool],
    ) -> list[Gap]:
        """Gaps with G between two values of one sign, on one pair of gaps of the summands.

        Where just one of the two is unbounded, G = 0 is a point inside a gap of the sum: one
        subordination point passes through infinity there, so the two halves are cut just short of
        it, at |G| = small, and joined at its position, zero of the bounded one plus the other mean.
        """
        joined = outer[0] != outer[1] and 0.0 in values
        small = _SMALL / self.std()
        near = tuple(np.copysign(small, sum(values)) if joined and g == 0 else g for g in values)
        if not near[0] > near[1]:
            return []
        start, end = (_inverse(self.first, float(g), *gap) for g in near)
        found = rising_stretches(curve, np.array([start]), np.array([end]), self.std())
        if not joined:
            return found
        if outer[0]:
            bounded, mean = self.second, self.first.mean()
            middle = float(curve(np.array([end if values[1] == 0 else start]))[0][0]) - mean
            lower, upper = next(g for g in gaps_of(bounded) if g[0] < middle < g[1])
        else:
            bounded, mean, (lower, upper) = self.first, self.second.mean(), gap
        meeting = _inverse(bounded, 0.0, lower, upper) + mean
        touch = 1e-4 * (end - start)
        return [
            replace(
                g,
                low=meeting if values[0] == 0 and g.start - start < touch else g.low,
                high=meeting if values[1] == 0 and end - g.end < touch else g.high,
            )
            for g in found
        ]

    def _gap_mass(self, x: float) -> float:
        u = self._outside(np.array([x]))
        g = self.first._transform(u.astype(np.complex128))[0].real
        v = x + 1 / g - u
        mass = self.first.cdf(u) + self.second.cdf(v) - 1 + (g < 0)
        return float(mass[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Profile:
    """G along a gap of a summand, and r = G^2/|G'| <= 1; a pair opens where r1 + r2 > 1."""

    gap: tuple[float, float]
    outer: bool
    top: float
    bottom: float
    values: FloatArray
    ratios: FloatArray


def _profiles(law: Law) -> list[_Profile]:
    unit, rows = law.std(), []
    ends = np.logspace(-13, 12, 100)
    bend = np.sin(np.pi * (np.arange(24) + 0.5) / 48) ** 2
    for low, high in gaps_of(law):
        outer = not (np.isfinite(low) and np.isfinite(high))
        if not outer:
            u = low + (high - low) * np.concatenate([[_NEAR], bend, [1 - _NEAR]])
        else:
            u = low + unit * ends if np.isfinite(low) else high - unit * ends[::-1]
        g, slope = (a.real for a in law._transform(u.astype(np.complex128)))
        rows.append(
            _Profile(
                gap=(low, high),
                outer=outer,
                top=float(g[0]) if np.isfinite(low) else 0.0,
                bottom=float(g[-1]) if np.isfinite(high) else 0.0,
                values=g,
                ratios=g**2 / np.abs(slope),
            )
        )
    return rows


def _may_open(ours: _Profile, theirs: _Profile) -> bool:
    """Whether r1 + r2 could exceed 1, with a factor of 2 in hand against the sampling."""
    if ours.outer and theirs.outer:
        return True
    if not (ours.outer or theirs.outer):
        return bool(ours.ratios.max() + theirs.ratios.max() > 0.98)
    wide, narrow = (ours, theirs) if ours.outer else (theirs, ours)
    sign = 1.0 if wide.top > 0 else -1.0
    same = np.sign(narrow.values) == sign
    if not same.any():
        return False
    order = np.argsort(np.abs(wide.values))
    size, missing = np.abs(wide.values)[order], np.maximum(1 - wide.ratios[order], 1e-30)
    needed = np.interp(np.log(np.abs(narrow.values[same])), np.log(size), np.log(missing))
    return bool((np.log(2 * narrow.ratios[same]) > needed).any())


def _inverse(law: Law, g: float, low: float, high: float) -> float:
    """Where the transform takes the value g in a gap; 0 is taken at infinity in the outer gaps."""
    if g == 0 and not np.isfinite(low):
        return -np.inf
    if g == 0 and not np.isfinite(high):
        return np.inf

    def falling(u: FloatArray) -> tuple[FloatArray, FloatArray]:
        value, change = law._transform(u.astype(np.complex128))
        return -value.real, -change.real

    return float(increasing_roots(falling, np.array([-g]), np.array([low]), np.array([high]))[0])

"""Additive free convolutions; the branches of the parts give the gaps."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np

from hessium._typing import BoolArray, ComplexArray, FloatArray, IntArray
from hessium.theory._roots import increasing_roots
from hessium.theory.convolution._branches import compactified, from_compactified, middle
from hessium.theory.convolution._support_search import Stretch
from hessium.theory.convolution.subordination import SubordinatedLaw
from hessium.theory.laws._certificate import resolved
from hessium.theory.laws.law import Law

_ROUNDING = 1e-15
_ENTRIES = 65
_POINT = 1e-9  # an interval shorter than this share of the hull, around an atom, is the atom


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """A stretch of f and the positions at its ends; infinite for the outer two."""

    stretch: Stretch
    low: float
    high: float


class AdditiveConvolution(SubordinatedLaw):
    """A subordinated law whose points off the support are explicit functions of the value of F."""

    @abstractmethod
    def _stretches(self) -> list[Stretch]:
        """Every stretch of f on which the position increases."""

    @abstractmethod
    def _position(self, stretch: Stretch, f: FloatArray) -> tuple[FloatArray, FloatArray]:
        """x(f) and x'(f)."""

    @abstractmethod
    def _place(self, stretch: Stretch, f: FloatArray) -> FloatArray:
        """The subordination point at f, shape (m, k) or (k,)."""

    @abstractmethod
    def _potential_on(self, stretch: Stretch, f: FloatArray) -> ComplexArray:
        """The log-potential at f."""

    @abstractmethod
    def _mass_on(self, gap: Gap, x: float) -> float:
        """Mass below x in a gap, from the masses below the subordination points."""

    @cached_property
    def _gaps(self) -> list[Gap]:
        """Gaps in ascending order, with both unbounded ones."""
        found = []
        for stretch in self._stretches():
            ends = np.array([stretch.start, stretch.end])
            with np.errstate(invalid="ignore"):
                low, high = self._position(stretch, ends)[0]
            low = -np.inf if np.isnan(low) else float(low)
            high = np.inf if np.isnan(high) else float(high)
            found.append(Gap(stretch=stretch, low=low, high=high))
        found = _disjoint(found)
        first, last = found[0], found[-1]
        found[0] = Gap(stretch=first.stretch, low=-np.inf, high=first.high)
        found[-1] = Gap(stretch=last.stretch, low=last.low, high=np.inf)
        return found

    @cached_property
    def _lows(self) -> FloatArray:
        return np.array([gap.low for gap in self._gaps])

    @cached_property
    def _intervals(self) -> tuple[tuple[float, float], ...]:
        highs = [gap.high for gap in self._gaps[:-1]]
        lows = [gap.low for gap in self._gaps[1:]]
        atoms, hull = np.array(list(self.atoms)), max(lows[-1] - highs[0], 1e-300)
        size = max(abs(highs[0]), abs(lows[-1]))

        def is_point(low: float, high: float) -> bool:
            # G = 0 inside a gap separates it into two stretches
            if high - low <= _ROUNDING * size:
                return True
            near = np.abs(atoms - 0.5 * (low + high)) <= _POINT * hull
            return high - low <= _POINT * hull and bool(near.any())

        found = [(a, b) for a, b in zip(highs, lows, strict=True) if not is_point(a, b)]
        # rounding may exchange the ends of a very short gap
        edges = np.maximum.accumulate(np.ravel(found)).reshape(-1, 2)
        return tuple((float(a), float(b)) for a, b in edges)

    def support_intervals(self) -> tuple[tuple[float, float], ...]:
        """The intervals between the gaps; at the edges dx/df = 0."""
        return self._intervals

    def cauchy_above(self, z: ComplexArray) -> tuple[ComplexArray, ComplexArray]:
        """G and G', at the fixed point or, off the support, through the value of F."""
        z, off, w = self._resolved(z)
        g, slope = np.empty((2, z.size), dtype=np.complex128)
        g[~off], slope[~off] = self._at(z[~off], w)
        for stretch, f, here in self._located(z.real, off):
            g[here], slope[here] = self._known(stretch, f)
        return g, slope

    def _known(self, stretch: Stretch, f: FloatArray) -> tuple[FloatArray, FloatArray]:
        """G and G' as functions of f, accurate also where F is infinite."""
        return 1 / f, -1 / (f * f * self._position(stretch, f)[1])

    def log_potential_above(self, z: ComplexArray) -> ComplexArray:
        """The log-potential, at the fixed point or, off the support, through the value of F."""
        z, off, w = self._resolved(z)
        phi = np.empty(z.size, dtype=np.complex128)
        phi[~off] = self._potential_at(z[~off], w)
        for stretch, f, here in self._located(z.real, off):
            phi[here] = self._potential_on(stretch, f)
        return phi

    def _subordination(self, z: ComplexArray) -> ComplexArray:
        z, off, inside = self._resolved(z)
        w = np.empty((inside.shape[0], z.size), dtype=np.complex128)
        w[:, ~off] = inside
        for stretch, f, here in self._located(z.real, off):
            w[:, here] = self._place(stretch, f)
        return w

    def _resolved(self, z: ComplexArray) -> tuple[ComplexArray, BoolArray, ComplexArray]:
        """The points, which are off the support, and certified fixed points of the others.

        A point within rounding of an edge that the iteration does not resolve becomes that edge.
        """
        off = self._off(z)
        found = self._solve(z[~off])
        at_edge, _, edges = resolved(self, z[~off], found, self._solve)
        if not at_edge.size:
            return z, off, found.points
        lost = np.flatnonzero(~off)[at_edge]
        z, off = z.copy(), off.copy()
        z[lost], off[lost] = edges, True
        return z, off, np.delete(found.points, at_edge, axis=1)

    def _off(self, z: ComplexArray) -> BoolArray:
        return np.asarray((z.imag == 0) & ~self._interior(z.real))

    def _located(
        self, x: FloatArray, off: BoolArray
    ) -> Iterator[tuple[Stretch, FloatArray, BoolArray]]:
        """Positions off the support by gap: the stretch, f there, and which positions they are."""
        if not off.any():
            return
        which = np.clip(np.searchsorted(self._lows, x, side="right") - 1, 0, None)
        for k in np.unique(which[off]):
            gap, here = self._gaps[int(k)], off & (which == k)
            yield gap.stretch, self._value(gap, x[here]), here

    def _value(self, gap: Gap, x: FloatArray) -> FloatArray:
        """The values f at positions in a gap; a table made once brackets them."""
        stretch, unit = gap.stretch, self.std()
        if stretch not in self._tables:
            self._tables[stretch] = self._table(gap)
        values, positions = self._tables[stretch]
        cell = np.clip(np.searchsorted(positions, x), 1, positions.size - 1)
        start, end = values[cell - 1], values[cell]
        if np.isinf(gap.low) or np.isinf(gap.high):
            limit = values[[0, -1]]
            start = np.where((start == limit[0]) & np.isinf(gap.low), -np.inf, start)
            end = np.where((end == limit[1]) & np.isinf(gap.high), np.inf, end)

            def curve(f: FloatArray, _: IntArray) -> tuple[FloatArray, FloatArray]:
                return self._position(stretch, f)

            return increasing_roots(curve, x, start, end)

        # the same stretch in the compactified parameter
        def bounded(t: FloatArray, _: IntArray) -> tuple[FloatArray, FloatArray]:
            position, rate = self._position(stretch, from_compactified(t, unit))
            return position, rate * unit / (1 - np.abs(t)) ** 2

        ends = (compactified(f, unit) for f in (start, end))
        return from_compactified(increasing_roots(bounded, x, *ends), unit)

    @cached_property
    def _tables(self) -> dict[Stretch, tuple[FloatArray, FloatArray]]:
        return {}

    def _table(self, gap: Gap) -> tuple[FloatArray, FloatArray]:
        """Values of f in a gap, dense at its ends, and their positions."""
        ends, unit = np.array([gap.stretch.start, gap.stretch.end]), self.std()
        low, high = compactified(ends, unit)
        t = low + (high - low) * np.sin(0.5 * np.pi * np.linspace(0, 1, _ENTRIES)) ** 2
        f = np.clip(from_compactified(t, unit), *ends)
        f[0], f[-1] = ends
        position = self._position(gap.stretch, f)[0]
        position[0], position[-1] = gap.low, gap.high
        return f, np.maximum.accumulate(position)

    def _gap_mass(self, x: float) -> float:
        k = int(np.clip(np.searchsorted(self._lows, x, side="right") - 1, 0, None))
        return self._mass_on(self._gaps[k], x)

    def _middle(self, gap: Gap, x: float) -> float:
        """An f for the mass below x: any in the gap, on the right side of an atom at f = 0."""
        start, end = gap.stretch.start, gap.stretch.end
        if start < 0 < end:
            below = x < float(self._position(gap.stretch, np.zeros(1))[0][0])
            start, end = (start, 0.0) if below else (0.0, end)
        return middle(start, end, self.std())


def atoms_of_sum(laws: Iterable[Law]) -> dict[float, float]:
    """Sums of one atom of each of k laws, where the weights add up to more than k - 1."""
    found = {0.0: 1.0}
    # law by law: weights only decrease, so an atom that is lost stays lost
    for law in laws:
        pairs = product(found.items(), law.atoms.items())
        sums = ((x + y, weight + share - 1) for (x, weight), (y, share) in pairs)
        found = {position: weight for position, weight in sums if weight > 1e-15}
    return found


def _disjoint(gaps: list[Gap]) -> list[Gap]:
    """In ascending order, without those that lie inside another one up to rounding."""
    kept: list[Gap] = []
    for gap in sorted(gaps, key=lambda gap: (gap.low, gap.high)):
        if not kept or gap.high > kept[-1].high:
            kept.append(gap)
    return kept

"""Additive free convolutions: laws whose gaps are found on the branches of their parts."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hessium._typing import FloatArray, IntArray
from hessium.theory._gaps import Stretch
from hessium.theory._solver import increasing_roots
from hessium.theory.subordinated import SubordinatedLaw

_ROUNDING = 1e-15
_POINT = 1e-9  # an interval shorter than this share of the hull, around an atom, is the atom


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """A stretch of f and the positions at its ends; infinite for the outer two."""

    stretch: Stretch
    low: float
    high: float


class GappedLaw(SubordinatedLaw):
    """A subordinated law whose positions off the support are explicit in the value of F."""

    @abstractmethod
    def _stretches(self) -> list[Stretch]:
        """Every stretch of f on which the position increases."""

    @abstractmethod
    def _position(self, stretch: Stretch, f: FloatArray) -> tuple[FloatArray, FloatArray]:
        """x(f) and x'(f)."""

    @abstractmethod
    def _place(self, stretch: Stretch, f: FloatArray) -> FloatArray:
        """The subordination point at f."""

    @abstractmethod
    def _mass_at(self, stretch: Stretch, f: float) -> float:
        """Mass below the gap, from the masses below the subordination points."""

    @cached_property
    def _gaps(self) -> list[Gap]:
        """Gaps in ascending order, with both unbounded ones."""
        found = []
        for stretch in self._stretches():
            low, high = self._position(stretch, np.array([stretch.start, stretch.end]))[0].tolist()
            found.append(Gap(stretch=stretch, low=low, high=high))
        found.sort(key=lambda gap: gap.low)
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
            # two halves of one gap meet where G = 0
            if high - low <= _ROUNDING * size:
                return True
            near = np.abs(atoms - 0.5 * (low + high)) <= _POINT * hull
            return high - low <= _POINT * hull and bool(near.any())

        return tuple((a, b) for a, b in zip(highs, lows, strict=True) if not is_point(a, b))

    def support_intervals(self) -> tuple[tuple[float, float], ...]:
        """The intervals between the gaps; edges are places where dx/df = 0, not thresholds."""
        return self._intervals

    def _outside(self, x: FloatArray) -> FloatArray:
        result = np.full(x.shape, np.nan)
        which = np.clip(np.searchsorted(self._lows, x, side="right") - 1, 0, None)
        for k in np.unique(which):
            gap, here = self._gaps[int(k)], which == k
            result[here] = self._place(gap.stretch, self._value(gap, x[here]))
        return result

    def _value(self, gap: Gap, x: FloatArray) -> FloatArray:
        """The f of positions in a gap."""
        stretch, unit = gap.stretch, self.std()
        start, end = np.full(x.shape, stretch.start), np.full(x.shape, stretch.end)
        if np.isinf(gap.low) or np.isinf(gap.high):
            start = start if np.isfinite(gap.low) else np.full(x.shape, -np.inf)
            end = end if np.isfinite(gap.high) else np.full(x.shape, np.inf)

            def curve(f: FloatArray, _: IntArray) -> tuple[FloatArray, FloatArray]:
                return self._position(stretch, f)

            return increasing_roots(curve, x, start, end)

        # the same stretch in a parameter that is finite where f is not
        def bounded(t: FloatArray, _: IntArray) -> tuple[FloatArray, FloatArray]:
            position, rate = self._position(stretch, unit * t / (1 - np.abs(t)))
            return position, rate * unit / (1 - np.abs(t)) ** 2

        t = increasing_roots(bounded, x, start / (unit + np.abs(start)), end / (unit + np.abs(end)))
        return np.asarray(unit * t / (1 - np.abs(t)))

    def _gap_of(self, x: float) -> Gap:
        return self._gaps[int(np.clip(np.searchsorted(self._lows, x, side="right") - 1, 0, None))]

    def _gap_mass(self, x: float) -> float:
        gap = self._gap_of(x)
        return self._mass_at(gap.stretch, float(self._value(gap, np.array([x]))[0]))

"""Branches that are explicit functions of f: of Levy noise, and of a free power."""

from __future__ import annotations

import numpy as np

from hessium._typing import FloatArray, IntArray
from hessium.theory._branches import CLOSE, INFINITE, Branches, maximum
from hessium.theory._triple import LevyTriple


class TripleBranches(Branches):
    """Branches of Levy noise: explicit, $w = f + R(1/f)$, $r = 1 - q(f)$."""

    def __init__(self, triple: LevyTriple, unit: float) -> None:
        self.triple, self.unit = triple, unit
        poles = sorted({*triple.jumps, *([0.0] if triple.variance else [])})
        self.low, self.high = np.array([-np.inf, *poles]), np.array([*poles, np.inf])
        self.peak = np.where(np.isinf(self.low), -INFINITE * unit, INFINITE * unit)
        inner = np.flatnonzero(np.isfinite(self.high - self.low))
        if inner.size:
            self.peak[inner] = maximum(
                lambda f: self._values(f)[2], self.low[inner], self.high[inner]
            )

    def _values(self, f: FloatArray) -> FloatArray:
        with np.errstate(all="ignore"):
            value, q = self.triple.remainder(f.astype(np.complex128))
        lack = np.where(np.isfinite(q), q.real, np.inf)
        shift = self.triple.centre + value.real
        return np.array([f + shift, shift, 1 - lack, lack])

    def at(self, k: IntArray, f: FloatArray) -> FloatArray:
        """Rows w, w - f, r and 1 - r; r is negative where the noise alone has no gap."""
        return self._values(np.asarray(f, dtype=np.float64))

    def samples(self) -> list[tuple[FloatArray, FloatArray, FloatArray]]:
        """Points dense at the poles and far out."""
        limit, rows = INFINITE * self.unit, []
        for low, high in zip(self.low, self.high, strict=True):
            if np.isfinite(low) and np.isfinite(high):
                steps = (high - low) * CLOSE
                f = np.concatenate([[low], low + steps, high - steps[-2::-1], [high]])
            else:
                steps = np.geomspace(1e-13 * self.unit, limit, 120)
                f = low + steps if np.isfinite(low) else high - steps[::-1]
                f = np.sort(np.append(f, low if np.isfinite(low) else high))
            _, _, r, lack = self._values(f)
            rows.append((f, r, lack))
        return rows


class Constant(Branches):
    """One r for all f: a free power t has a gap where r of the base exceeds 1 - 1/t."""

    def __init__(self, rate: float) -> None:
        self.low, self.high, self.peak = np.array([-np.inf]), np.array([np.inf]), np.array([np.nan])
        self._row = np.array([0.0, 0.0, rate, 1 - rate])

    def at(self, k: IntArray, f: FloatArray) -> FloatArray:
        """The same at every f; there is no w."""
        return np.tile(self._row[:, None], np.shape(f))

    def samples(self) -> list[tuple[FloatArray, FloatArray, FloatArray]]:
        """One value."""
        return [(np.zeros(1), self._row[2:3], self._row[3:4])]

"""The branch of a law on the positive half-line at z < 0, in logarithms: see `_eta_branches`."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from scipy.special import lambertw

from hessium._typing import BoolArray, FloatArray, IntArray
from hessium.theory.convolution._branches import Branches
from hessium.theory.convolution._eta_transform import RADII, Ratio, values_of


class NegativeBranch(Branches):
    """The half-line z < 0. Rows give 1 - b for r and b for 1 - r, b = r - 1 = c/(1 - c) >= 0."""

    def __init__(self, ratio: Ratio) -> None:
        self.ratio = ratio
        weight = ratio.law.atoms.get(0.0, 0.0)
        # |E| falls from infinity, at minus infinity, to weight/(1 - weight)
        self.low = np.array([np.log(weight / (1 - weight)) if weight else -np.inf])
        self.high = np.array([np.inf])
        self.peak = np.array([np.nan])

    def at(self, k: IntArray, f: FloatArray) -> FloatArray:
        """Rows w, w - f, 1 - b and b."""
        f = np.asarray(f, dtype=np.float64)
        y, above = values_of(f, -1.0)
        far = np.abs(y) <= self.ratio.reach
        result = np.empty((4, f.size))
        if far.any():
            shift, lack = self.ratio.far(y[far])
            result[:, far] = f[far] + shift, shift, 1 + lack, -lack
        near = ~far
        if near.any():
            # E lies between z/mean and z times its slope at 0
            z = self._inverse(f[near])
            with np.errstate(all="ignore"):
                w = np.log(-z)
                large = np.abs(f[near]) > 1
                known = np.where(large, y[near], np.nan), np.where(large, above[near], np.nan)
                b = np.maximum(-self.ratio.rates(z, known)[1], 0.0)
            b = np.where(z == 0, np.inf, b)
            result[:, near] = w, w - f[near], 1 - b, b
        return result

    def _inverse(self, f: FloatArray) -> FloatArray:
        z, values = self._table
        place = np.searchsorted(values, f)
        ends = np.array([np.maximum(place - 2, 0), np.minimum(place + 1, z.size - 1)])
        low, high = np.sort(z[ends], axis=0)
        high = np.where(ends[0] == 0, 0.0, high)
        found = self.ratio.inverse(f, -1.0, low, high)
        return np.where(f <= self.low[0], 0.0, found)

    @cached_property
    def _table(self) -> tuple[FloatArray, FloatArray]:
        """Rows z and f, ascending in f."""
        size = self.ratio.mean * np.geomspace(
            1e-30, 4 * RADII * max(1.0, 1 / self.ratio.reach), 400
        )
        f = np.maximum.accumulate(self.ratio.logarithm(-size))
        return -size, f

    def samples(self) -> list[tuple[FloatArray, FloatArray, FloatArray]]:
        """None are needed: `bounds` looks at the knots."""
        return []

    def bounds(self, knots: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """Bounds from the values at the ends of the cells."""
        inside = np.clip(knots, self.low, self.high)
        values = self.at(np.zeros(knots.size, dtype=np.int64), inside)[2:]
        most, least = self.extremes(
            np.zeros(knots.size - 1, dtype=np.int64),
            np.array([knots[:-1], knots[1:]]),
            np.array([values[:, :-1], values[:, 1:]]),
        )
        return most[0, None], most[1, None], least[0, None], least[1, None]

    def extremes(
        self, k: IntArray, ends: FloatArray, values: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        r"""From $|d(\log c - c)/df| \le 1$ and the values of c at both ends."""
        b = values[:, 1]
        with np.errstate(all="ignore"):
            c = np.where(np.isinf(b), 1.0, b / (1 + b))
            level = np.log(c) - c
            width = ends[1] - ends[0]
            lowest = np.maximum(level.max(0) - width, 0.5 * (level.sum(0) - width))
            highest = np.minimum(level.min(0) + width, 0.5 * (level.sum(0) + width))
            small, large = (_excess(side) for side in (np.minimum(lowest, level.min(0)), highest))
        small, large = np.minimum(small, b.min(0)), np.maximum(large, b.max(0))
        return np.array([1 - small, small]), np.array([1 - large, large])

    def turns(self, k: IntArray, ends: FloatArray) -> tuple[BoolArray, BoolArray]:
        """Unknown: b may rise and fall many times."""
        never = np.zeros(k.shape, dtype=bool)
        return never, never


def _excess(level: FloatArray) -> FloatArray:
    """The b = c/(1 - c) where log c - c = level; infinite from -1 on."""
    argument: Any = -np.exp(np.minimum(level, -1.0))
    c = -np.asarray(lambertw(argument)).real
    with np.errstate(divide="ignore"):
        return np.where(level >= -1, np.inf, c / (1 - c))

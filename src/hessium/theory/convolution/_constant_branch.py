"""The one branch, of constant rate, that stands for the exponent of a free power."""

from __future__ import annotations

import numpy as np

from hessium._typing import FloatArray, IntArray
from hessium.theory.convolution._branches import Branches


class Constant(Branches):
    """One r for all f: a free power t has a gap where r of the base exceeds 1 - 1/t."""

    unit = 0.0

    def __init__(self, rate: float) -> None:
        self.low, self.high, self.peak = np.array([-np.inf]), np.array([np.inf]), np.array([np.nan])
        self._row = np.array([0.0, 0.0, rate, 1 - rate])

    def at(self, k: IntArray, f: FloatArray) -> FloatArray:
        """The same at every f; there is no w."""
        return np.tile(self._row[:, None], np.shape(f))

    def samples(self) -> list[tuple[FloatArray, FloatArray, FloatArray]]:
        """One value."""
        return [(np.zeros(1), self._row[2:3], self._row[3:4])]

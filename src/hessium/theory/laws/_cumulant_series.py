r"""A law from far outside, through its free cumulants."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hessium._typing import FloatArray
from hessium.theory._arrays import ComplexArray

if TYPE_CHECKING:
    from hessium.theory.laws.law import Law

_ORDER = 12
_RADII = 100.0


class CumulantSeries:
    r"""$w - F = R(1/F)$ as a power series, which keeps the digits that a difference loses.

    Attributes:
        reach: values of F from which on the series is exact to rounding.
    """

    def __init__(self, law: Law) -> None:
        low, high = law.support()
        with np.errstate(over="ignore", invalid="ignore"):
            cumulants = np.array(law.free_cumulants(_ORDER))
        cumulants[~np.isfinite(cumulants)] = 0.0  # high powers of extreme scales
        self.reach = _RADII * max(high - cumulants[0], cumulants[0] - low)
        self._series = cumulants[::-1]
        self._slope = (np.arange(_ORDER) * cumulants)[:0:-1]

    def r_transform(self, g: ComplexArray) -> ComplexArray:
        """R(g) for |g| < 1 / reach."""
        return np.asarray(np.polyval(self._series, g))

    def slope(self, g: ComplexArray) -> ComplexArray:
        """R'(g) for |g| < 1 / reach."""
        return np.asarray(np.polyval(self._slope, g))

    def outside(self, f: FloatArray) -> tuple[FloatArray, FloatArray]:
        """W - f and 1 - dw/df at |f| > reach."""
        g = 1 / f
        return np.asarray(np.polyval(self._series, g)), np.asarray(
            g * (g * np.polyval(self._slope, g))
        )

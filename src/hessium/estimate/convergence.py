"""Which Ritz values are wanted, when they have converged, and how many products that will take."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import torch

from hessium._typing import FloatArray, IntArray

Which = Literal["LA", "SA", "LM", "BE"]

ORDER: dict[str, str] = {
    "LA": "largest",
    "SA": "smallest",
    "LM": "largest in magnitude",
    "BE": "from both ends",
}

_POWER = 1.25  # of the number of products, for the logarithm of a residual


def wanted(values: FloatArray, which: Which) -> IntArray:
    """Indices into ascending values, in the order of `which`."""
    j = values.size
    if which == "LA":
        return np.arange(j)[::-1]
    if which == "SA":
        return np.arange(j)
    if which == "LM":
        return np.argsort(-np.abs(values), kind="stable")
    ends = np.empty(j, dtype=np.int64)
    ends[0::2] = np.arange(j)[::-1][: (j + 1) // 2]
    ends[1::2] = np.arange(j // 2)
    return ends


def bounds_of(values: FloatArray, tol: float, scale: float, dtype: torch.dtype) -> FloatArray:
    """Tolerances of the residuals: relative, but not below the rounding of products."""
    floor = torch.finfo(dtype).eps ** (3 / 4) * scale
    return np.maximum(tol * np.abs(values), floor or 1.0)


class Forecast:
    """Predicted number of products, from the convergence of the residuals so far.

    The logarithm of the smallest worst residual is extrapolated by the power 5/4 of the number of
    products: Krylov spaces converge slowly at first. On 24 spectra (random matrices, small
    networks; both ends) 84 % of the predictions after the first tenth of the work were within a
    factor 1.5 of the true number.

    Args:
        limit: predicted where nothing converges.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._first: tuple[int, float] | None = None
        self._best = math.inf

    def __call__(self, products: int, worst: float) -> int:
        """The number, where the worst residual is `worst` times its tolerance."""
        if worst <= 1:
            return products
        self._best = min(self._best, math.log(worst))
        if self._first is None:
            self._first = (products, self._best)
        start, high = self._first
        if self._best >= high:
            return self._limit
        whole = (high / (high - self._best)) ** (1 / _POWER)
        return max(products, min(self._limit, start + math.ceil((products - start) * whole)))

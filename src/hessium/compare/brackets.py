r"""Bounds on a supremum of $|F - G|$ when one or both distribution functions are known up to bands.

A spectrum by Lanczos quadrature has a band at every point (`Spectrum.cdf_band`). The confidence is
split over a grid (Bonferroni). Since distribution functions are monotone, the bands extend to the
points between.
"""

from __future__ import annotations

import numpy as np

from hessium._typing import FloatArray
from hessium.compare._spectrum import estimated
from hessium.spectra import Bracket, Measure, Spectrum
from hessium.theory import Law

CONFIDENCE = 0.95
_POINTS = 64  # points of the grid: more points leave less confidence for each


def kolmogorov_bracket(value: float, one: Measure, other: Measure | Law) -> Bracket:
    """Interval of the Kolmogorov distance, at `CONFIDENCE` over the random probes."""
    estimates = [m for m in (one, other) if estimated(m)]
    if not estimates:
        return Bracket(value=value, lower=value, upper=value)
    nodes = np.concatenate([m.nodes for m in (one, other) if isinstance(m, Measure)])
    width = float(np.ptp(nodes)) or 1.0
    x = np.unique(
        np.concatenate(
            [
                np.quantile(nodes, np.linspace(0, 1, _POINTS - 2)),
                [nodes.min() - 1e-3 * width, nodes.max() + 1e-3 * width],
            ]
        )
    )
    confidence = 1 - (1 - CONFIDENCE) / (x.size * len(estimates))
    (low, high), (other_low, other_high) = (_bounds(m, x, confidence) for m in (one, other))
    # at the points, and in the cells between them, before the first and behind the last one
    least = max(float((low - other_high).max()), float((other_low - high).max()), 0.0)
    rise, fall = np.append(high, 1.0), np.append(0.0, low)
    other_rise, other_fall = np.append(other_high, 1.0), np.append(0.0, other_low)
    most = max(float((rise - other_fall).max()), float((other_rise - fall).max()))
    lower, upper = min(least, 1.0), min(most, 1.0)
    value = min(max(value, lower), upper)  # nodes that rounding moves may leave it by as much
    return Bracket(value=value, lower=lower, upper=upper, confidence=CONFIDENCE)


def _bounds(side: Measure | Law, x: FloatArray, confidence: float) -> tuple[FloatArray, FloatArray]:
    if isinstance(side, Spectrum) and not side.exact:
        band = side.cdf_band(x, confidence=confidence)
        return np.clip(band.lower, 0, 1), np.clip(band.upper, 0, 1)
    known = np.asarray(side.cdf(x))
    return known, known

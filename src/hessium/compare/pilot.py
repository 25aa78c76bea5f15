"""Robust initial fit, and a check of the number of eigenvalues on each side of a gap."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
from scipy.optimize import least_squares

from hessium._typing import BoolArray, FloatArray
from hessium.spectra import Measure
from hessium.theory import Law

_POINTS = 32
_MISCOUNT = 1.5  # tolerated difference of the number of eigenvalues above a gap


def pilot(
    law: Callable[[FloatArray], Law], start: FloatArray, measure: Measure, kept: BoolArray
) -> FloatArray:
    """Robust least-squares fit of the distribution function at some eigenvalues."""
    places = np.flatnonzero(kept)
    count = min(places.size, _POINTS)
    which = places[np.linspace(0, places.size - 1, count).astype(int)]
    points, levels = measure.nodes[which], (which + 0.5) / measure.nodes.size

    def misfit(logs: FloatArray) -> FloatArray:
        return np.asarray(law(logs).cdf(points) - levels)

    found = least_squares(
        misfit,
        start,
        bounds=(start - 8, start + 8),
        loss="soft_l1",
        f_scale=0.01,
        diff_step=[1e-4] * start.size,
        max_nfev=25,
        xtol=1e-2,
        ftol=1e-2,
    )
    return np.asarray(found.x)


def miscounts(measure: Measure, law: Law, outside: int) -> bool:
    """Whether the number of eigenvalues above a gap contradicts a law, up to some outliers.

    A few polynomials do not detect wrong masses of the bands, but these numbers do not fluctuate,
    since eigenvalues do not cross a gap.
    """
    nodes = measure.nodes
    for (_, low), (high, _) in itertools.pairwise(law.support_intervals()):
        expected = nodes.size * (1 - float(law.cdf(np.array([high]))[0]))
        most, least = nodes.size - np.searchsorted(nodes, (low, high)) - outside
        if not least - _MISCOUNT <= expected <= most + _MISCOUNT:
            return True
    return False

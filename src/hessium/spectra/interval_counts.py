"""Numbers of eigenvalues in intervals, from eigenvalues that are known and rules for the others."""

from __future__ import annotations

import math

from hessium.spectra.counts import Count
from hessium.spectra.spectral_data import SpectralData
from hessium.spectra.subspaces import unseen_between


def interval_count(
    data: SpectralData, a: float, b: float, margin: float, confidence: float
) -> Count:
    """Number of eigenvalues in (a, b].

    Args:
        data: the spectrum.
        a: lower end.
        b: upper end.
        margin: error of a and b.
        confidence: probability that the bracket holds, over the random vectors.
    """
    known, dim, nonzero = data.known, data.dim, data.most_nonzero
    method = "eigenvalues" if data.exact else "quadrature"
    if data.nonnegative and a < 0:
        if b + margin < 0:
            return Count(value=0, lower=0, upper=0, method=method)
        a = -math.inf
    delta = data.resolution + margin
    inside = int(((known > a) & (known <= b)).sum())
    surely = int(((known > a + delta) & (known <= b - delta)).sum())
    perhaps = int(((known > a - delta) & (known <= b + delta)).sum())
    rest = unseen_between(data.rules, a, b, delta, dim - known.size, 1 - confidence)
    lower, upper = surely + rest.least, perhaps + rest.most
    if a + margin < 0 <= b - margin:  # zero lies inside, and beyond doubt
        lower, upper = max(lower, dim - nonzero), max(upper, dim - nonzero)
    elif not a - margin < 0 <= b + margin:
        lower, upper = min(lower, nonzero), min(upper, nonzero)
    opened = {
        "rounding": surely < perhaps,
        "steps": rest.open_steps,
        "probes": rest.least < rest.most,
    }
    return Count(
        value=min(max(inside + rest.value, lower), upper),
        lower=lower,
        upper=upper,
        confidence=None if data.exact else confidence,
        method=method,
        reasons=tuple(k for k, v in opened.items() if v) if lower < upper else (),
    )

"""Distribution functions of spectra, with the errors that rounding, steps and probes leave."""

from __future__ import annotations

import numpy as np

from hessium._typing import FloatArray
from hessium.spectra.bands import Band
from hessium.spectra.spectral_data import SpectralData
from hessium.spectra.subspaces import dimensions, pooled_below


def distribution_band(data: SpectralData, points: FloatArray, confidence: float) -> Band:
    """Fraction of eigenvalues up to each point, with its band.

    Args:
        data: the spectrum.
        points: shape (k,).
        confidence: probability that the interval at a point holds, over the random vectors.
    """
    known, dim, resolution, nonzero = data.known, data.dim, data.resolution, data.most_nonzero
    rest, alpha = dim - known.size, 1 - confidence
    surely, inside, perhaps = (
        (known[:, None] <= points + shift).sum(axis=0) for shift in (-resolution, 0.0, resolution)
    )
    low, high = pooled_below(data.rules, points - resolution, points + resolution)
    if data.nonnegative:
        low, high, surely, inside, perhaps = (
            np.where(points < 0, 0, one) for one in (low, high, surely, inside, perhaps)
        )
    ends = np.array(
        [dimensions(a, b, rest, data.probes, alpha) for a, b in zip(low, high, strict=True)]
    ).reshape(-1, 2)
    # eigenvalues that are certain to be zero
    lower = np.maximum(surely + ends[:, 0], np.where(points < 0, 0, dim - nonzero))
    upper = np.minimum(perhaps + ends[:, 1], np.where(points < 0, nonzero, dim))
    upper = np.maximum(lower, upper)
    return Band(
        x=points,
        value=np.clip(inside + rest * (low + high) / 2, lower, upper) / dim,
        lower=lower / dim,
        upper=upper / dim,
        algorithmic=rest * (high - low) / 2 / dim,
        confidence=confidence if rest else None,
        reasons=("rounding", "steps", "probes") if rest else ("rounding",),
    )

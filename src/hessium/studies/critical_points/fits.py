"""Energy regressed on index: is the power 3/2?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar

from hessium._typing import FloatArray

SMALL = 0.1  # indices up to this fraction of the parameters are called small
_DRAWS = 2000
_POWERS = (0.3, 5.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerFit:
    r"""$\varepsilon = \varepsilon_c + c\,\alpha^{1/b}$ by least squares in the noisy energy.

    Attributes:
        critical: energy at index zero with b = 3/2.
        coefficient: A of $\alpha = A |\varepsilon - \varepsilon_c|^{3/2}$ with b = 3/2.
        power: free b.
        low: lower end of its interval, a quantile over resampled points.
        high: upper end.
        confidence: of the interval; of all fits together 95 %.
        aic: of b = 3/2 less that of free b; positive favours the free one, above 2 clearly.
        points: number of points fitted.
    """

    critical: float
    coefficient: float
    power: float
    low: float
    high: float
    confidence: float
    aic: float
    points: int


def fit_power(
    index: FloatArray, energy: FloatArray, *, fits: int = 1, seed: int = 0
) -> PowerFit | None:
    """The fit over small indices; None with fewer than 8 points or 4 different indices.

    Args:
        index: fractions of negative eigenvalues.
        energy: of the same points.
        fits: number of fits judged together; with Bonferroni's correction 95 % holds for all.
        seed: of the resampling.
    """
    small = index <= SMALL
    index, energy = index[small], energy[small]
    if index.size < 8 or np.unique(index).size < 4:
        return None
    fixed, line = _residual(1.5, index, energy)
    power = _free(index, energy)
    free, _ = _residual(power, index, energy)
    miss = 0.05 / fits
    draws = _resampled(index, energy, np.random.default_rng(seed))
    low, high = np.quantile(draws, [miss / 2, 1 - miss / 2])
    # one parameter more costs two
    aic = index.size * float(np.log(max(fixed, 1e-300) / max(free, 1e-300))) - 2
    if line[1] <= 0:  # energy falls with the index: no such law
        return None
    return PowerFit(
        critical=line[0],
        coefficient=line[1] ** -1.5,
        power=power,
        low=float(low),
        high=float(high),
        confidence=1 - miss,
        aic=aic,
        points=int(index.size),
    )


def _residual(
    power: float, index: FloatArray, energy: FloatArray
) -> tuple[float, tuple[float, float]]:
    design = np.stack([np.ones_like(index), index ** (1 / power)], axis=1)
    weights = np.linalg.lstsq(design, energy, rcond=None)[0]
    rest = energy - design @ weights
    return float(rest @ rest), (float(weights[0]), float(weights[1]))


def _resampled(index: FloatArray, energy: FloatArray, rng: np.random.Generator) -> FloatArray:
    """The free exponent of resampled points: all resamplings at once on a grid of exponents."""
    rows = rng.integers(index.size, size=(_DRAWS, index.size))
    times = np.stack([np.bincount(row, minlength=index.size) for row in rows]).astype(np.float64)
    different = np.array([np.unique(index[row]).size for row in rows])
    times = times[different >= 4]
    grid = np.geomspace(*_POWERS, 400)
    total, mean = times.sum(1), times @ energy
    rest = np.empty((grid.size, len(times)))
    for i, power in enumerate(grid):
        x = index ** (1 / power)
        sx, sxx, sxy = times @ x, times @ (x * x), times @ (x * energy)
        spread, joint = sxx - sx * sx / total, sxy - sx * mean / total
        rest[i] = -joint * joint / spread  # less what all exponents share
    best = rest.argmin(0).clip(1, grid.size - 2)
    below, here, above = (rest[best + k, np.arange(len(times))] for k in (-1, 0, 1))
    bend = below - 2 * here + above
    offset = np.where(bend > 0, (below - above) / (2 * np.where(bend > 0, bend, 1)), 0.0)
    ends = (rest.argmin(0) == 0) | (rest.argmin(0) == grid.size - 1)
    step = np.log(grid[1] / grid[0])
    inner: FloatArray = grid[best] * np.exp(np.where(ends, 0.0, offset) * step)
    return np.where(ends, grid[rest.argmin(0)], inner)


def _free(index: FloatArray, energy: FloatArray) -> float:
    found = minimize_scalar(
        lambda b: _residual(b, index, energy)[0], bounds=_POWERS, method="bounded"
    )
    return float(found.x)

"""Energy regressed on index: is the power 3/2?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar

from hessium._typing import FloatArray

SMALL = 0.1  # indices up to this share of the parameters are called small
_DRAWS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerFit:
    r"""$\varepsilon = \varepsilon_c + c\,\alpha^{1/b}$ by least squares in the noisy energy.

    Attributes:
        critical: energy at index zero with b = 3/2.
        coefficient: A of $\alpha = A |\varepsilon - \varepsilon_c|^{3/2}$ with b = 3/2.
        power: free b.
        low: its 2.5 % quantile over resampled points.
        high: its 97.5 % quantile.
        aic: of b = 3/2 less that of free b; positive speaks for the free one, above 2 clearly.
        points: how many entered.
    """

    critical: float
    coefficient: float
    power: float
    low: float
    high: float
    aic: float
    points: int


def fit_power(index: FloatArray, energy: FloatArray, seed: int = 0) -> PowerFit | None:
    """The fit over small indices; None with fewer than 8 points or 4 different indices.

    Args:
        index: shares of negative eigenvalues.
        energy: of the same points.
        seed: of the resampling.
    """
    small = index <= SMALL
    index, energy = index[small], energy[small]
    if index.size < 8 or np.unique(index).size < 4:
        return None
    fixed, line = _residual(1.5, index, energy)
    power = _free(index, energy)
    free, _ = _residual(power, index, energy)
    source = np.random.default_rng(seed)
    draws = []
    for _ in range(_DRAWS):
        chosen = source.integers(index.size, size=index.size)
        if np.unique(index[chosen]).size >= 4:
            draws.append(_free(index[chosen], energy[chosen]))
    low, high = np.quantile(draws, [0.025, 0.975])
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


def _free(index: FloatArray, energy: FloatArray) -> float:
    found = minimize_scalar(
        lambda b: _residual(b, index, energy)[0], bounds=(0.3, 5.0), method="bounded"
    )
    return float(found.x)

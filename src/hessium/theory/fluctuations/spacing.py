r"""Laws of the ratio of consecutive level spacings, which does not depend on the density."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hessium._display import Plottable
from hessium._typing import ArrayLike, FloatArray
from hessium.errors import InputError
from hessium.theory import _check

_BETAS = {"poisson": 0, "goe": 1, "gue": 2, "gse": 4}
_NORMS = {
    1: 8 / 27,
    2: 4 * np.pi / (81 * np.sqrt(3)),
    4: 4 * np.pi / (729 * np.sqrt(3)),
}
# Means for large matrices, from the numerical simulations of the same paper (table I)
_LARGE = {"poisson": 2 * np.log(2) - 1, "goe": 0.5307, "gue": 0.5996, "gse": 0.6744}
# Variance of one ratio and covariance of two neighbours, which share a spacing. Poisson: 3 - 4 ln 2
# less the squared mean, and an integral over the shared spacing. Gaussian ensembles: simulated
# (6000 matrices of side 200, inner half), to 1e-4, which is as small as covariances farther apart.
_SPREADS = {
    "poisson": (0.078188, 0.012057),
    "goe": (0.0647, 0.0156),
    "gue": (0.0537, 0.0144),
    "gse": (0.0398, 0.0116),
}
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(60)


@dataclass(frozen=True)
class SpacingRatio(Plottable):
    r"""Law of $r = \min(s_k, s_{k+1})/\max(s_k, s_{k+1})$ for consecutive spacings s.

    Poisson: $2/(1 + r)^2$, exact. Gaussian ensembles:
    $\frac{2}{Z_\beta}\frac{(r + r^2)^\beta}{(1 + r + r^2)^{1 + 3\beta/2}}$, exact for
    3 x 3 matrices and close to the limit of large ones (Atas, Bogomolny, Giraud and Roux, PRL 110,
    2013, eq. 7). `mean` is of this law; `large_matrix_mean` is the simulated limit.

    Args:
        ensemble: "poisson", "goe", "gue" or "gse".

    Raises:
        InputError: for any other name.

    Example:
        >>> round(float(hs.theory.SpacingRatio("goe").mean()), 4)
        0.5359
    """

    ensemble: str = "goe"

    def __post_init__(self) -> None:
        if self.ensemble not in tuple(_BETAS):
            msg = f"ensemble: {self.ensemble!r}; one of {', '.join(_BETAS)} is required"
            raise InputError(msg)

    def pdf(self, r: ArrayLike) -> FloatArray:
        """Density on [0, 1], zero elsewhere."""
        points = _check.reals("r", r)
        x = np.clip(points, 0.0, 1.0)
        beta = _BETAS[self.ensemble]
        if beta:
            density = 2 / _NORMS[beta] * (x + x**2) ** beta / (1 + x + x**2) ** (1 + 1.5 * beta)
        else:
            density = 2 / (1 + x) ** 2
        return np.asarray(np.where((points >= 0) & (points <= 1), density, 0.0))

    def cdf(self, r: ArrayLike) -> FloatArray:
        """Distribution function, by Gauss quadrature of the smooth density."""
        x = np.clip(_check.reals("r", r), 0.0, 1.0)[..., None]
        return np.asarray(0.5 * x[..., 0] * (self.pdf(0.5 * x * (_NODES + 1)) @ _WEIGHTS))

    def mean(self) -> float:
        """Mean of this law: 2 ln 2 - 1, 4 - 2 sqrt 3 (goe), 2 sqrt 3/pi - 1/2 (gue)."""
        r = 0.5 * (_NODES + 1)
        return float(0.5 * (r * self.pdf(r)) @ _WEIGHTS)

    @property
    def large_matrix_mean(self) -> float:
        """Mean for large matrices (simulated, to the digits given)."""
        return float(_LARGE[self.ensemble])

    def mean_spread(self, runs: Sequence[int]) -> float:
        r"""Standard deviation of the mean over runs of consecutive ratios.

        $\sqrt{\sum_j (m_j v + 2 (m_j - 1) c)} \big/ \sum_j m_j$ for runs of $m_j$ ratios, v their
        variance and c the covariance of neighbours; both are known constants.

        Args:
            runs: numbers of ratios, each at least 1.

        Raises:
            InputError: if `runs` is empty or contains a number below 1.
        """
        counts = [_check.count("runs", one) for one in runs]
        if not counts:
            msg = "runs: none given; at least one number of ratios is required"
            raise InputError(msg)
        variance, shared = _SPREADS[self.ensemble]
        total = sum(counts)
        return float(np.sqrt(total * variance + 2 * (total - len(counts)) * shared) / total)

"""Anderson-Darling test of normality with estimated mean and variance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.stats import norm

from hessium import _arguments
from hessium._display import Displayable
from hessium._typing import ArrayLike, FloatArray
from hessium.errors import InputError

_FARTHEST = 150.0  # statistic up to which the published formula falls


@dataclass(frozen=True, slots=True, kw_only=True)
class Normality(Displayable):
    """Result of a test of normality.

    Attributes:
        size: number of values.
        mean, variance: of the sample.
        kurtosis: excess, 0 for the normal law.
        kurtosis_error: standard error of it if the sample is normal, sqrt(24/size).
        statistic: Anderson-Darling, corrected for the size.
        p_value: of the statistic for independent normal values of any mean and variance.

    Example:
        >>> found = hs.compare.normality(np.random.default_rng(0).standard_exponential(300))
        >>> found.p_value < 0.01
        True
    """

    size: int
    mean: float
    variance: float
    kurtosis: float
    kurtosis_error: float
    statistic: float
    p_value: float


def normality(values: ArrayLike) -> Normality:
    r"""Anderson-Darling test of normality (D'Agostino and Stephens 1986, table 4.9).

    The p-value assumes independent values; for correlated values, such as the residuals of one
    network, it is too small.

    Args:
        values: at least eight numbers of any shape that are not all equal.

    Raises:
        InputError: if there are fewer, all are equal, or one is not finite.

    Example:
        >>> hs.compare.normality(np.random.default_rng(0).standard_normal(300)).p_value > 0.01
        True
    """
    try:
        given = np.asarray(values)
    except Exception as error:  # conversion of foreign objects may raise any exception
        msg = f"values: {type(values).__name__}; real numbers are required"
        raise InputError(msg) from error
    if given.dtype.kind not in "fiu":
        msg = f"values: {type(values).__name__} of {given.dtype}; real numbers are required"
        raise InputError(msg)
    sample: FloatArray = np.sort(np.asarray(given, dtype=np.float64).reshape(-1))
    n = sample.size
    if n < 8 or not np.isfinite(sample).all() or sample[0] == sample[-1]:
        msg = f"values: {n} values; at least 8 finite ones that are not all equal are required"
        raise InputError(msg)
    mean, spread = float(sample.mean()), float(sample.std(ddof=1))
    z = (sample - mean) / spread
    weights = (2 * np.arange(1, n + 1) - 1) / n
    squared = -n - float(weights @ (norm.logcdf(z) + norm.logsf(z[::-1])))
    statistic = squared * (1 + 0.75 / n + 2.25 / n**2)
    return Normality(
        size=n,
        mean=mean,
        variance=spread**2,
        kurtosis=float((z**4).mean() - 3),
        kurtosis_error=float(np.sqrt(24 / n)),
        statistic=statistic,
        p_value=_p_value(statistic),
    )


def critical(alpha: float) -> float:
    """The Anderson-Darling statistic that normal samples exceed with probability `alpha`.

    Zero for alpha near one, beyond the range of the formula; infinite for alpha below 1e-189, its
    smallest p-value.

    Raises:
        InputError: if alpha is not between 0 and 1.
    """
    alpha = _arguments.fraction("alpha", alpha)
    if alpha >= _p_value(0.0):
        return 0.0
    if alpha <= _p_value(_FARTHEST):
        return np.inf
    return float(brentq(lambda a: _p_value(a) - alpha, 0.0, _FARTHEST))


def _p_value(a: float) -> float:
    if a < 0.2:
        return float(1 - np.exp(-13.436 + 101.14 * a - 223.73 * a**2))
    if a < 0.34:
        return float(1 - np.exp(-8.318 + 42.796 * a - 59.938 * a**2))
    if a < 0.6:
        return float(np.exp(0.9177 - 4.279 * a - 1.38 * a**2))
    # the published parabola increases beyond it
    return float(np.exp(1.2937 - 5.709 * min(a, _FARTHEST) + 0.0186 * min(a, _FARTHEST) ** 2))

r"""The noise of the measurements, and the evidence for a prior precision."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
import scipy.optimize
import torch
from torch import Tensor

from hessium._arguments import number, reals
from hessium._typing import AnyArray, FloatArray
from hessium.errors import InputError
from hessium.problem import EmpiricalRisk

PriorMean: TypeAlias = float | int | Sequence[float] | AnyArray | Tensor
"""One number for all parameters, or a vector (P,)."""


def noise_of(
    residual_sum: float,
    count: int,
    singular_values: FloatArray,
    prior_precision: float,
    rank: int,
    rounding: float = 0.0,
) -> tuple[float, float]:
    r"""The standard deviation of a measurement and its degrees of freedom.

    $\sigma^2 = \mathrm{RSS} / (n - \gamma)$ with $\gamma = \sum s^2/(s^2 + \alpha\sigma^2)$, the
    effective dimension (the rank without a prior). $\sigma^2 (n - \gamma(\sigma))$ increases with
    $\sigma$, so there is one solution.

    Args:
        residual_sum: sum of squared residuals.
        count: number of measurements.
        singular_values: of the Jacobian.
        prior_precision: $\alpha$.
        rank: of the Jacobian; not used with a prior.
        rounding: sum of squares below which residuals are rounding.

    Raises:
        InputError: if no degrees of freedom are left, or residuals are rounding.
    """
    if prior_precision == 0:
        if count <= rank:
            msg = (
                f"noise: None; {count} measurements determine {rank} directions, so none is left "
                "to estimate the noise; give noise=, or a prior_precision"
            )
            raise InputError(msg)
        if residual_sum <= rounding:
            raise InputError(_PERFECT)
        return math.sqrt(residual_sum / (count - rank)), float(count - rank)
    if residual_sum <= rounding:
        raise InputError(_PERFECT)
    squares = np.square(singular_values)

    def left(variance: float) -> float:
        return count - float((squares / (squares + prior_precision * variance)).sum())

    low = high = residual_sum / count
    while high * left(high) < residual_sum:
        high *= 4
        if not math.isfinite(high):
            raise InputError(_PERFECT)
    variance = scipy.optimize.brentq(
        lambda v: v * left(v) - residual_sum, low, high, xtol=1e-14 * low, rtol=1e-14
    )
    return math.sqrt(variance), left(variance)


_PERFECT = (
    "noise: None; the residuals are zero to rounding, so they do not tell the noise; give noise="
)


def best_prior_precision(
    effective_dimension: Callable[[float], float], squared_distance: float
) -> float:
    r"""The $\alpha$ of largest evidence, where $\alpha |\theta - \mu|^2 = \gamma(\alpha)$.

    MacKay 1992, eq. 4.8.

    The left side increases and the right side decreases, so there is one solution.

    Raises:
        InputError: if the parameters are at the prior mean.
    """
    if squared_distance == 0:
        msg = "prior_mean: theta itself; the evidence grows without bound with the prior precision"
        raise InputError(msg)

    def excess(log_alpha: float) -> float:
        alpha = math.exp(log_alpha)
        return math.log(alpha * squared_distance) - math.log(effective_dimension(alpha))

    centre = -math.log(squared_distance)
    low, high = centre - 2.0, centre + 2.0
    while excess(low) > 0:
        low -= 4.0
    while excess(high) < 0:
        high += 4.0
    return math.exp(scipy.optimize.brentq(excess, low, high, xtol=1e-12))


def prior_mean_of(prior_mean: PriorMean, risk: EmpiricalRisk) -> Tensor:
    """The prior mean as a vector (P,).

    Raises:
        InputError: for another shape, or entries that are not finite.
    """
    if isinstance(prior_mean, (list, tuple, np.ndarray)) and np.ndim(prior_mean):
        prior_mean = torch.from_numpy(reals("prior_mean", prior_mean))
    if isinstance(prior_mean, Tensor) and prior_mean.dim():
        if prior_mean.shape != (risk.dim,):
            msg = f"prior_mean: shape {tuple(prior_mean.shape)}; ({risk.dim},) is required"
            raise InputError(msg)
        if not bool(prior_mean.isfinite().all()):
            msg = "prior_mean: has entries that are NaN or infinite"
            raise InputError(msg)
        return prior_mean.detach().to(risk.theta)
    return torch.full_like(risk.theta, number("prior_mean", prior_mean))

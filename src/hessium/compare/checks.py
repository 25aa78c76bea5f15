"""Tests of single assumptions of the random-matrix model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.stats import chi2

from hessium._typing import FloatArray
from hessium.compare._formatting import percent
from hessium.compare.cumulants import cumulants
from hessium.compare.distance import distance
from hessium.compare.fit import Fit, fit
from hessium.compare.freeness import Freeness
from hessium.compare.normality import critical, normality
from hessium.errors import InputError
from hessium.problem import EmpiricalRisk
from hessium.spectra import Measure
from hessium.theory import Law, Semicircle


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """Test of one assumption.

    Attributes:
        assumption: the assumption.
        statistic: name of the statistic.
        value: its value.
        low, high: range under the assumption, with probability `coverage`.
        coverage: probability of the range. A range of 4 standard deviations or errors of a nearly
            normal statistic has a false-alarm rate of about 1e-4, independent of alpha.
        p_value: of the assumption, or None if the range alone decides.
        holds: whether the assumption is not rejected (at alpha if there is a p-value).

    Example:
        >>> check = hs.compare.Check(
        ...     assumption="H0 is Wishart", statistic="distance", value=0.2, low=0.0, high=0.1,
        ...     coverage="99 %", p_value=0.001, holds=False,
        ... )
        >>> check.holds
        False
    """

    assumption: str
    statistic: str
    value: float
    low: float
    high: float
    coverage: str
    p_value: float | None
    holds: bool

    @property
    def verdict(self) -> Literal["not rejected", "does not hold"]:
        """The verdict in words."""
        return "not rejected" if self.holds else "does not hold"


def fitted(bulk: Measure, family: str) -> Fit | None:
    """The fit, or None if it fails."""
    try:
        return fit(bulk, family)
    except (InputError, np.linalg.LinAlgError, ValueError):
        return None


def shape_check(
    assumption: str, bulk: Measure, law: Law, draws: int, source: np.random.Generator
) -> Check:
    """Kolmogorov distance from a law, compared with matrices drawn from it."""
    found = distance(bulk, law, draws=draws, rng=source)
    value, null = found.kolmogorov, found.null
    # distances are nearly normal; an extreme empirical quantile would need many draws
    high = float(null.mean() + 4 * null.std(ddof=1))
    return Check(
        assumption=assumption,
        statistic="Kolmogorov distance",
        value=value,
        low=0.0,
        high=high,
        coverage=f"mean + 4 sd of {draws} random matrices of this size",
        p_value=None,
        holds=value <= high,
    )


def fit_checks(assumption: str, found: Fit | None, alpha: float) -> list[Check]:
    """Goodness of fit of the best member of the family; no checks without a fit."""
    if found is None:
        return []
    return [
        Check(
            assumption=assumption,
            statistic=(
                f"chi-squared of a fit, {found.freedom} degrees of freedom, "
                f"{len(found.outliers)} eigenvalues set aside as outliers"
            ),
            value=found.statistic,
            low=0.0,
            high=float(chi2.ppf(1 - alpha, found.freedom)),
            coverage=percent(1 - alpha),
            p_value=found.p_value,
            holds=found.p_value >= alpha,
        )
    ]


def variance_check(h1: Measure, energy: float) -> Check:
    """Second moment of H1, compared with that of the Wigner model."""
    # its scatter if it were that Wigner matrix: the spectrum itself may be one of no ensemble
    found = cumulants(h1, count=2, law=Semicircle(variance=2 * energy))
    value, error = float(found.moments[1]) / energy, float(found.moment_errors[1]) / energy
    return Check(
        assumption="H1 has the variance of the Wigner model, 2 energy",
        statistic="variance of H1 / energy",
        value=value,
        low=2 - 4 * error,
        high=2 + 4 * error,
        coverage="4 standard errors",
        p_value=None,
        holds=abs(value - 2) <= 4 * error,
    )


def free_checks(free: Freeness, alpha: float) -> list[Check]:
    """H0 compared with rotated copies of H1: mixed moments, and spectrum of the sum."""
    worst = max(free.moments, key=lambda one: abs(one.z))
    return [
        Check(
            assumption="H0 and H1 are free: mixed moments",
            statistic=f"normalised {worst.name}, the moment farthest off",
            value=worst.value,
            low=worst.free_mean - 3 * worst.free_spread,
            high=worst.free_mean + 3 * worst.free_spread,
            coverage=(
                f"3 sd of Haar rotations; p from all {len(free.moments)} moments, at least "
                f"{1 / (len(free.rotated) + 1):.2g}"
            ),
            p_value=free.p_value,
            holds=free.p_value > alpha,
        ),
        Check(
            assumption="H0 and H1 are free: spectrum of the sum",
            statistic="Kolmogorov distance from the rotated sums",
            value=free.distance,
            low=0.0,
            high=float(np.quantile(free.rotated_distances, 1 - alpha)),
            coverage=f"{percent(1 - alpha)} of {len(free.rotated)} rotations",
            p_value=free.distance_p_value,
            holds=free.distance_p_value > alpha,
        ),
    ]


def normal_checks(risk: EmpiricalRisk, errors: FloatArray, alpha: float) -> list[Check]:
    """Normality of residuals and of every weight matrix."""
    samples = {"residuals": errors}
    for name, part in zip(risk.names, risk.layout.unflatten(risk.theta), strict=True):
        if part.dim() > 1:
            samples[f"weights {name}"] = part.double().cpu().numpy().reshape(-1)
    checks = []
    for name, values in samples.items():
        if values.size < 8 or np.ptp(values) == 0:
            continue
        found = normality(values)
        checks.append(
            Check(
                assumption=f"{name} are normal",
                statistic=f"Anderson-Darling (excess kurtosis {found.kurtosis:.2g} +- "
                f"{found.kurtosis_error:.1g})",
                value=found.statistic,
                low=0.0,
                high=critical(alpha),
                coverage=percent(1 - alpha),
                p_value=found.p_value,
                holds=found.p_value >= alpha,
            )
        )
    return checks

"""Distance of two measured spectra."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2

from hessium._display import Displayable
from hessium._typing import FloatArray
from hessium.compare._formatting import percent
from hessium.compare._spectrum import known_size, probe_covariance, rule_degree
from hessium.compare.brackets import CONFIDENCE, kolmogorov_bracket
from hessium.compare.fluctuations import Contour, LinearStatistics, Polynomials, degree_for
from hessium.spectra import Bracket, DiscreteMeasure, Measure
from hessium.theory import Empirical


@dataclass(frozen=True, slots=True, kw_only=True, repr=False, eq=False)
class SpectraDistance(Displayable):
    r"""Comparison of two measured spectra.

    Attributes:
        kolmogorov: $\sup_x |F(x) - G(x)|$ of the two measures, where eigenvalues that differ by
            their rounding alone count as equal; of an estimate, of its quadrature.
        kolmogorov_at: where it is attained.
        kolmogorov_bracket: 95 % interval of the distance of the spectra over the probes of
            estimates; both ends are `kolmogorov` for exact spectra, NaN for a quadrature with
            unknown errors.
        wasserstein: $\int |F - G|\,dx$ of the two measures.
        statistic: $\chi^2$ of differences of Chebyshev statistics, probes included.
        freedom: their number.
        p_value: probability of a difference as large for two independent matrices of one
            Gaussian-type ensemble. Two Hessians of one network are not independent: a large value
            means that their difference does not exceed that of two draws. NaN if sizes are unknown
            or no such ensemble has both spectra. The false-alarm rate at alpha .05 is .02 to .08
            with 20 eigenvalues and more, .09 to .13 with 10.
        sizes: sizes of the two matrices, None where unknown.

    Example:
        >>> found = hs.compare.distance(hs.Spectrum.of([0.0, 1.0]), hs.Spectrum.of([0.0, 2.0]))
        >>> found.kolmogorov, found.wasserstein
        (0.5, 0.5)
    """

    kolmogorov: float
    kolmogorov_at: float
    kolmogorov_bracket: Bracket
    wasserstein: float
    statistic: float
    freedom: int
    p_value: float
    sizes: tuple[int | None, int | None]

    def __repr__(self) -> str:
        bracket = self.kolmogorov_bracket
        known = ""
        if bracket.lower < bracket.upper:
            known = f" [{bracket.lower:.3g}, {bracket.upper:.3g}] at {percent(CONFIDENCE)}"
        tested = (
            "not tested"
            if np.isnan(self.p_value)
            else f"chi2 {self.statistic:.3g} on {self.freedom}, p {self.p_value:.2g} of two "
            "independent draws"
        )
        return (
            f"SpectraDistance(Kolmogorov {self.kolmogorov:.3g}{known} at {self.kolmogorov_at:.4g}, "
            f"Wasserstein {self.wasserstein:.3g}; {tested})"
        )


def spectra_distance(one: Measure, other: Measure, size: int | None, beta: int) -> SpectraDistance:
    """Distances, and a two-sample test if both sizes are known."""
    x = np.union1d(one.nodes, other.nodes)
    gaps = np.abs(one.cdf(x) - other.cdf(x))
    # nodes that differ by rounding alone are the same
    moved = x + one.resolution + other.resolution
    apart = np.maximum(one.cdf(x) - other.cdf(moved), other.cdf(x) - one.cdf(moved))
    apart = np.maximum(apart, 0.0)
    worst = int(np.argmax(apart))
    sizes = size or known_size(one), known_size(other)
    statistic, freedom = _two_sample(one, other, sizes, beta)
    blind = None in (known_size(one), known_size(other))
    value = float(apart[worst])
    return SpectraDistance(
        kolmogorov=value,
        kolmogorov_at=float(x[worst]),
        kolmogorov_bracket=Bracket(value=np.nan, lower=np.nan, upper=np.nan)
        if blind
        else kolmogorov_bracket(value, one, other),
        wasserstein=float(np.diff(x) @ gaps[:-1]),
        statistic=statistic,
        freedom=freedom,
        p_value=float(chi2.sf(statistic, freedom)) if freedom else np.nan,
        sizes=sizes,
    )


def _two_sample(
    one: Measure,
    other: Measure,
    sizes: tuple[int | None, int | None],
    beta: int,
) -> tuple[float, int]:
    """Chi-squared and its degrees; NaN and 0 without a test."""
    first, second = sizes
    nodes = np.concatenate([one.nodes, other.nodes])
    low, high = float(nodes.min()), float(nodes.max())
    resolution = max(one.resolution, other.resolution)
    if first is None or second is None or min(first, second) < 2 or high - low <= resolution:
        return np.nan, 0
    count = int(min(degree_for(min(first, second)), rule_degree(one), rule_degree(other)))
    if count < 1:
        return np.nan, 0
    functions = Polynomials(low=low, high=high, count=count)
    contour = Contour.around(low, high, degree=count)
    statistics = LinearStatistics(functions=functions, contour=contour, beta=beta)
    share = first / (first + second)
    law = Empirical(
        DiscreteMeasure(
            nodes=nodes,
            weights=np.concatenate([share * one.weights, (1 - share) * other.weights]),
            resolution=max(one.resolution, other.resolution),
        )
    )
    shift = statistics.mean(law, 0)
    covariance = statistics.covariance(law) * (1 / first**2 + 1 / second**2)
    for part in (one, other):
        covariance = covariance + probe_covariance(part, functions.at, count)
    means = [functions.at(part.nodes) @ part.weights for part in (one, other)]
    excess: FloatArray = means[0] - means[1] - shift * (1 / first - 1 / second)
    known = int(np.isfinite(np.diag(covariance)).sum())
    if not known:
        return np.nan, 0
    excess, covariance = excess[:known], covariance[:known, :known]
    scale = np.sqrt(np.diag(covariance))
    if not (scale > 0).all():
        return np.nan, 0
    factor = np.linalg.cholesky(covariance / np.outer(scale, scale) + 1e-12 * np.eye(known))
    return float((np.linalg.solve(factor, excess / scale) ** 2).sum()), known

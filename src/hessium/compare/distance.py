"""Distance of a measured spectrum from a law or another spectrum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import overload

import numpy as np
from scipy.stats import chi2

from hessium import _arguments
from hessium._display import Displayable
from hessium._random import Rng, generator
from hessium._typing import ArrayLike, FloatArray
from hessium.compare._formatting import percent
from hessium.compare._spectrum import (
    as_measure,
    estimated,
    known_size,
    probe_covariance,
    require_beta,
    rule_degree,
    size_of,
    snapped,
)
from hessium.compare.brackets import CONFIDENCE, kolmogorov_bracket
from hessium.compare.cumulants import Cumulants, cumulants
from hessium.compare.fluctuations import Contour, LinearStatistics, Polynomials, Span, degree_of
from hessium.compare.two_spectra import SpectraDistance, spectra_distance
from hessium.errors import InputError
from hessium.spectra import Bracket, Measure, Spectrum
from hessium.theory import Law

_GRID = 4000  # points of the law's distribution function for the Wasserstein distance


@dataclass(frozen=True, slots=True, kw_only=True, repr=False, eq=False)
class Distance(Displayable):
    r"""Comparison of a measured spectrum with a law.

    Attributes:
        kolmogorov: $\sup_x |F_n(x) - F(x)|$, at least $1/(2n)$ for n separate eigenvalues.
        kolmogorov_at: where it is attained.
        kolmogorov_bracket: 95 % interval of that distance over the probes of an estimate; both ends
            are `kolmogorov` for an exact spectrum, NaN for a quadrature with unknown errors.
        wasserstein: $\int |F_n - F|\,dx$, in the units of the eigenvalues.
        cumulants: of the spectrum, errors under the law.
        law_cumulants: free cumulants of the law, shape (k,).
        statistic: $\chi^2$ of the first Chebyshev statistics under the law's own fluctuations,
            and those of the probes of an estimate.
        freedom: their number.
        p_value: of that statistic. Valid for a law that was not fitted to the data. Both are NaN if
            no Gaussian-type ensemble has the law, so that its fluctuations are unknown. With fewer
            than about 30 eigenvalues (off the law's atoms) true laws are rejected too often: at
            alpha .05 the measured rates are .08 to .10 with 5, .075 to .08 with 10, .06 to .07 with
            20 to 30; at alpha .01 they are .06, .04 and .01 to .03.
        null: Kolmogorov distances of matrices drawn from the law, shape (draws,), possibly empty.

    Example:
        >>> s = hs.Spectrum.of(np.linalg.eigvalsh(hs.theory.goe(200, rng=0)))
        >>> hs.compare.distance(s, hs.theory.Semicircle(4.0)).p_value < 0.01  # another variance
        True
    """

    kolmogorov: float
    kolmogorov_at: float
    kolmogorov_bracket: Bracket
    wasserstein: float
    cumulants: Cumulants
    law_cumulants: FloatArray
    statistic: float
    freedom: int
    p_value: float
    null: FloatArray

    @property
    def kolmogorov_p_value(self) -> float | None:
        """p-value from the rank of the distance among the draws, or None without draws."""
        if not self.null.size:
            return None
        return float((1 + (self.null >= self.kolmogorov).sum()) / (1 + self.null.size))

    def __repr__(self) -> str:
        bracket = self.kolmogorov_bracket
        known = ""
        if bracket.lower < bracket.upper:
            known = f" [{bracket.lower:.3g}, {bracket.upper:.3g}] at {percent(CONFIDENCE)}"
        return (
            f"Distance(Kolmogorov {self.kolmogorov:.3g}{known} at {self.kolmogorov_at:.4g}, "
            f"Wasserstein {self.wasserstein:.3g}, chi2 {self.statistic:.3g} on {self.freedom}, p "
            f"{self.p_value:.2g})"
        )


@overload
def distance(
    spectrum: Measure | ArrayLike,
    law: Law,
    *,
    size: int | None = None,
    beta: int = 1,
    draws: int = 0,
    rng: Rng = None,
) -> Distance: ...
@overload
def distance(
    spectrum: Measure | ArrayLike,
    law: Measure | ArrayLike,
    *,
    size: int | None = None,
    beta: int = 1,
    draws: int = 0,
    rng: Rng = None,
) -> SpectraDistance: ...
def distance(
    spectrum: Measure | ArrayLike,
    law: Law | Measure | ArrayLike,
    *,
    size: int | None = None,
    beta: int = 1,
    draws: int = 0,
    rng: Rng = None,
) -> Distance | SpectraDistance:
    r"""Distances of a spectrum from a law, and a test that its matrix follows the law.

    With another spectrum instead of a law: distances of the two, and a test that they are
    independent draws of one ensemble (`SpectraDistance`).

    Eigenvalues repel: for independent draws $\sqrt n \sup|F_n - F|$ is of order one, for
    eigenvalues $n \sup|F_n - F|$ is, up to a logarithm. The standard p-value of the Kolmogorov
    statistic is therefore invalid here. The p-value is that of a $\chi^2$ of sums of Chebyshev
    polynomials, whose covariance is known (`fluctuations`); `draws` matrices of the law add the
    null distribution of the Kolmogorov distance itself.

    Args:
        spectrum: eigenvalues or a measure. Nodes within rounding of an atom count as equal to it.
        law: the law, not fitted to this spectrum; or another spectrum.
        size: size of the matrix, for a quadrature. Exact spectra and estimates carry it.
        beta: 1 for real symmetric, 2 for complex Hermitian matrices.
        draws: matrices `law.matrix(n)` to draw, for an exact spectrum.
        rng: seed of the draws.

    Raises:
        InputError: if an argument is invalid.

    Cost: a few thousand values of the law's distribution function; one eigendecomposition for each
        draw.

    Example:
        >>> s = hs.Spectrum.of(np.linalg.eigvalsh(hs.theory.goe(500, rng=0)))
        >>> hs.compare.distance(s, hs.theory.Semicircle(1.0)).kolmogorov < 0.01
        True
    """
    draws = _arguments.count("draws", draws, 0)
    require_beta(beta)
    measure = as_measure(spectrum)
    if not isinstance(law, Law):
        if draws:
            msg = f"draws: {draws} with a second spectrum; draws need a law"
            raise InputError(msg)
        size = None if size is None else size_of(measure, size)
        return spectra_distance(measure, as_measure(law, "law"), size, beta)
    if draws and (estimated(measure) or known_size(measure) is None):
        msg = f"draws: {draws} with {measure!r}, a quadrature; an exact spectrum is required"
        raise InputError(msg)
    measure = snapped(measure, law)
    n = size_of(measure, size)
    if n < 2:
        msg = f"spectrum: {measure!r}; at least 2 eigenvalues are required"
        raise InputError(msg)
    farthest, at = kolmogorov(measure, law)
    statistic, freedom = _chi2(measure, law, n, beta)
    random = generator(rng)
    null = [
        kolmogorov(snapped(Spectrum.of(values), law), law)[0]
        for values in (np.linalg.eigvalsh(law.matrix(n, random)) for _ in range(draws))
    ]
    return Distance(
        kolmogorov=farthest,
        kolmogorov_at=at,
        kolmogorov_bracket=Bracket(value=np.nan, lower=np.nan, upper=np.nan)
        if known_size(measure) is None
        else kolmogorov_bracket(farthest, measure, law),
        wasserstein=wasserstein(measure, law),
        cumulants=cumulants(measure, law=law, size=n, beta=beta),
        law_cumulants=law.free_cumulants(4),
        statistic=statistic,
        freedom=freedom,
        p_value=float(chi2.sf(statistic, freedom)) if freedom else np.nan,
        null=np.array(null),
    )


def kolmogorov(measure: Measure, law: Law) -> tuple[float, float]:
    """The largest difference of the distribution functions, and where it is attained."""
    points = np.union1d(measure.nodes, list(law.atoms))
    upto = law.cdf(points)
    below = upto - np.array([law.atoms.get(float(x), 0.0) for x in points])
    mass = np.concatenate([[0.0], np.cumsum(measure.weights)])
    ours = mass[np.searchsorted(measure.nodes, points, side="right")]
    before = mass[np.searchsorted(measure.nodes, points, side="left")]
    gaps = np.maximum(np.abs(ours - upto), np.abs(before - below))
    worst = int(np.argmax(gaps))
    return float(gaps[worst]), float(points[worst])


def wasserstein(measure: Measure, law: Law) -> float:
    """The area between the distribution functions, to about 1e-6 of the width of the law."""
    low, high = law.support()
    spans = [law.support_intervals() or ((low, high),)]
    ease = 0.5 * (1 - np.cos(np.linspace(0, np.pi, _GRID // len(spans[0]))))
    grid = [a + (b - a) * ease for a, b in spans[0]]
    x = np.unique(np.concatenate([measure.nodes, list(law.atoms), *grid]))
    upto = law.cdf(x)
    below = upto - np.array([law.atoms.get(float(point), 0.0) for point in x])
    level = measure.cdf(x)[:-1]
    # on each step the law rises from upto[i] to below[i + 1] and the measure stays at its level
    left, right = upto[:-1] - level, below[1:] - level
    crossing = left * right < 0
    with np.errstate(divide="ignore", invalid="ignore"):
        triangle = (left**2 + right**2) / (2 * np.abs(right - left))
    area = np.where(crossing, triangle, np.abs(left + right) / 2)
    return float((np.diff(x) * area).sum())


def _chi2(measure: Measure, law: Law, n: int, beta: int) -> tuple[float, int]:
    if not law.support_intervals():
        msg = f"law: {law!r} has no continuous part to compare with"
        raise InputError(msg)
    span = Span.of(law)
    count = int(min(degree_of(law, n), rule_degree(measure)))
    if count < 1:  # rules of one node tell no variance
        return np.nan, 0
    functions = Polynomials(low=span.low, high=span.high, count=count)
    contour = Contour.around(span.low, span.high, span.detached, functions.count)
    statistics = LinearStatistics(functions=functions, contour=contour, beta=beta)
    inside = span.holds(measure.nodes)
    sums = n * (functions.at(measure.nodes[inside]) @ measure.weights[inside])
    excess = sums - statistics.mean(law, n)

    def bulk(nodes: FloatArray) -> FloatArray:
        return np.asarray(functions.at(nodes) * span.holds(nodes))

    covariance = statistics.covariance(law) + n**2 * probe_covariance(measure, bulk, count)
    found = excess @ np.linalg.solve(covariance, excess)
    return float(found), functions.count

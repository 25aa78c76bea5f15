"""Moments and free cumulants of a measured spectrum, with standard errors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hessium import _arguments
from hessium._display import Displayable
from hessium._typing import ArrayLike, FloatArray
from hessium.compare._spectrum import (
    as_measure,
    estimated,
    probe_covariance,
    require_beta,
    require_law,
    rule_degree,
    size_of,
)
from hessium.compare.fluctuations import Contour, LinearStatistics, Polynomials
from hessium.errors import InputError
from hessium.spectra import Measure
from hessium.theory import Empirical, Law, Semicircle, cumulants_from_moments, wishart_wigner

_MARGIN = 2  # orders beyond those asked for that a spectrum must have to stand in for its law
_POISSON = 0.7  # share of the variance of a matched law that is not Gaussian
_FLATTEST = 20.0  # standard deviations: scale of a Poisson part that is as good as Gaussian
_REFUTED = 4.0  # standard errors


@dataclass(frozen=True, slots=True, kw_only=True, repr=False, eq=False)
class Cumulants(Displayable):
    r"""Moments $\int x^k d\mu$ and free cumulants of order 1 to k.

    Attributes:
        moments: shape (k,).
        moment_errors: standard errors, shape (k,); NaN where unknown.
        free: free cumulants, shape (k,).
        free_errors: standard errors, shape (k,); NaN where unknown.
        basis: description of the errors.

    Example:
        >>> found = hs.compare.cumulants(hs.Spectrum.of([0.0, 1.0, 2.0]))
        >>> float(found.moments[0])
        1.0
    """

    moments: FloatArray
    moment_errors: FloatArray
    free: FloatArray
    free_errors: FloatArray
    basis: str

    def __repr__(self) -> str:
        pairs = zip(self.free, self.free_errors, strict=True)
        values = ", ".join(f"{value:.6g} +- {error:.2g}" for value, error in pairs)
        return f"Cumulants(free cumulants {values}; {self.basis})"


def cumulants(
    *spectra: Measure | ArrayLike,
    count: int = 4,
    law: Law | None = None,
    size: int | None = None,
    beta: int = 1,
) -> Cumulants:
    r"""Moments and free cumulants of one spectrum, or of independent draws of a matrix.

    For several measures the errors are standard errors of the mean over draws, for any matrices.
    For one spectrum they are those of a Gaussian ensemble, a Wishart matrix or a free sum of these
    with the same limit law (`fluctuations`), of order 1/n. Only independent draws can show whether
    the Hessian of a network fluctuates in this way.

    Few eigenvalues do not determine their law: unless the spectrum itself is compatible with such
    an ensemble up to two further orders, the errors are those of Wishart + Wigner with its variance
    and third cumulant, as stated in `basis`. Not every spectrum is near one of such an ensemble:
    two clusters of eigenvalues (twenty or more), or one or two spikes, are not, and the errors are
    then NaN from the first order on that the spectrum cannot have. All errors are NaN if all
    eigenvalues are equal.

    Measured for Gaussian and Wishart matrices of size 10 and more, errors of 1.96 cover the
    cumulants of the law in .86 to 1; of five eigenvalues in .77 to 1.

    Args:
        spectra: eigenvalues or a measure; several for independent draws.
        count: highest order, 1 to 12.
        law: limit law behind one spectrum; the spectrum itself if not given.
        size: size of the matrix, for a quadrature. Exact spectra and estimates carry it; errors of
            an estimate include those of its probes.
        beta: 1 or 2, see `LinearStatistics`.

    Raises:
        InputError: if an argument is invalid.

    Example:
        >>> s = hs.Spectrum.of(np.linalg.eigvalsh(hs.theory.goe(200, rng=0)))
        >>> round(float(hs.compare.cumulants(s).free[1]), 1)  # the variance
        1.0
    """
    if not 1 <= (count := _arguments.count("count", count, 0)) <= 12:
        msg = f"count: {count}; an order from 1 to 12 is required"
        raise InputError(msg)
    require_beta(beta)
    if law is not None:
        require_law("law", law)
    measures = [as_measure(one) for one in spectra]
    if not measures:
        msg = "spectra: none given; one spectrum, or several independent draws, are required"
        raise InputError(msg)
    if len(measures) > 1:
        return _over_draws(measures, count)
    (measure,) = measures
    n = size_of(measure, size)
    centre, reach = _frame(measure)
    moments = _moments(measure, centre, reach, count)
    probes = _of_probes(measure, centre, reach, count)
    sampled = ", and of its probes" if estimated(measure) else ""
    basis = f"standard errors of a Gaussian-type ensemble of size {n} with this spectrum{sampled}"
    if law is None and np.ptp(measure.nodes) <= measure.resolution:
        unknown = np.full((count, count), np.nan)
        return _result(moments, unknown, centre, reach, "errors unknown: all eigenvalues are equal")
    # the spectrum stands in for its law, if it does so beyond the orders that are asked for
    orders = count if law is not None else count + _MARGIN
    covariance = _covariance(law or Empirical(measure), centre, reach, orders, beta) / n**2
    if np.isnan(covariance).any() and law is None:
        matched = _matched(measure, n, beta, count)
        if matched is not None:
            basis = f"standard errors of Wishart + Wigner of size {n} with this variance and third"
            basis += f" cumulant{sampled}: too few to tell"
            return _result(moments, matched + probes, centre, reach, basis)
    covariance = covariance[:count, :count] + probes
    known = int(np.isfinite(np.diag(covariance)).sum())
    if known < count:
        basis += f", unknown from order {known + 1} on: none has these moments"
    return _result(moments, covariance, centre, reach, basis)


def _of_probes(measure: Measure, centre: float, reach: float, count: int) -> FloatArray:
    """Covariance of the moments of an estimate over its probes, NaN if rules are too short."""

    def powers(nodes: FloatArray) -> FloatArray:
        return np.asarray([((nodes - centre) / reach) ** k for k in range(1, count + 1)])

    found = probe_covariance(measure, powers, count)
    if (degree := rule_degree(measure)) < count:
        found[int(degree) :], found[:, int(degree) :] = np.nan, np.nan
    return found


def _matched(measure: Measure, n: int, beta: int, count: int) -> FloatArray | None:
    """Covariance under a law that matches cumulants of the spectrum; None if there is none.

    Of moments in the spectrum's frame. Free Poisson with most of the variance, so that it has the
    third cumulant, and a semicircle with the rest; mirrored for a negative third cumulant. It is
    rejected if the Poisson part would have less than one degree of freedom, or if the fourth
    cumulant differs.
    """
    centre, reach = _frame(measure)
    orders = max(count, 4)
    inner = _moments(measure, centre, reach, orders)
    mean, variance, third, fourth = cumulants_from_moments(inner)[:4]
    part, sign = _POISSON * variance, -1.0 if third < 0 else 1.0
    least = part**2 / (_FLATTEST * variance**0.5)  # where Poisson is Gaussian, and only cancels
    law: Law = Semicircle(variance=variance).shifted(sign * mean)
    if abs(third) > least:
        if third**2 > n * part**3:  # less than one degree of freedom: one or two spikes
            return None
        scale = part**2 / abs(third)
        poisson = wishart_wigner((variance - part) / 2, part / scale**2, scale)
        law = poisson.shifted(sign * mean - scale)
    mirror = sign ** np.arange(1, orders + 1)
    covariance = _covariance(law, 0.0, 1.0, orders, beta) / n**2 * np.outer(mirror, mirror)
    if np.isnan(covariance).any():
        return None
    error = _result(inner[:4], covariance[:4, :4], 0.0, 1.0, "").free_errors[3]
    off = abs(fourth - law.free_cumulants(4)[3])
    return covariance[:count, :count] if off <= _REFUTED * error else None


def _over_draws(draws: list[Measure], count: int) -> Cumulants:
    frames = np.array([_frame(draw) for draw in draws])
    centre, reach = float(frames[:, 0].mean()), float(frames[:, 1].max())
    rows = np.array([_moments(draw, centre, reach, count) for draw in draws])
    covariance = np.atleast_2d(np.cov(rows.T)) / len(draws)
    basis = f"standard errors of the mean of {len(draws)} draws"
    return _result(rows.mean(axis=0), covariance, centre, reach, basis)


def _frame(measure: Measure) -> tuple[float, float]:
    """Centre and scale of a coordinate whose powers neither cancel nor overflow."""
    low, high = float(measure.nodes[0]), float(measure.nodes[-1])
    return (low + high) / 2, (high - low) / 2 or abs(high) or 1.0


def _moments(measure: Measure, centre: float, reach: float, count: int) -> FloatArray:
    inner = (measure.nodes - centre) / reach
    return np.array([measure.weights @ inner**k for k in range(1, count + 1)])


def _covariance(law: Law, centre: float, reach: float, count: int, beta: int) -> FloatArray:
    """Covariance of sums of powers of (x - centre)/reach; NaN from the first order without one."""
    low, high = law.support()
    low, high = min(low, centre - reach), max(high, centre + reach)
    chebyshev = LinearStatistics(
        functions=Polynomials(low=low, high=high, count=count),
        contour=Contour.around(low, high, degree=count),
        beta=beta,
    ).covariance(law)
    # powers in terms of Chebyshev polynomials of [low, high]; constants do not fluctuate
    middle, half = ((low + high) / 2 - centre) / reach, (high - low) / 2 / reach
    mix = np.zeros((count, count))
    for k in range(1, count + 1):
        power = np.polynomial.Polynomial([middle, half]) ** k
        mix[k - 1, :k] = np.polynomial.chebyshev.poly2cheb(power.coef)[1:]
    known = int(np.isfinite(np.diag(chebyshev)).sum())
    covariance = np.full((count, count), np.nan)
    part = mix[:known, :known]
    covariance[:known, :known] = part @ chebyshev[:known, :known] @ part.T
    return covariance


def _result(
    inner: FloatArray, covariance: FloatArray, centre: float, reach: float, basis: str
) -> Cumulants:
    count = inner.size

    def outer(values: FloatArray) -> FloatArray:
        """Moments of x from those of (x - centre)/reach."""
        padded = np.concatenate([[1.0], values])
        return np.array(
            [
                (np.polynomial.Polynomial([centre, reach]) ** k).coef @ padded[: k + 1]
                for k in range(1, count + 1)
            ]
        )

    def free(values: FloatArray) -> FloatArray:
        # cumulants of a shifted variable differ in the first one only
        found = cumulants_from_moments(values) * reach ** np.arange(1, count + 1)
        found[0] += centre
        return found

    def spread(function: Callable[[FloatArray], FloatArray]) -> FloatArray:
        steps = 1e-6 * np.eye(count)
        jacobian = np.array([(function(inner + s) - function(inner - s)) / 2e-6 for s in steps]).T
        # a result of order k depends on the moments up to k only
        variances = [
            row[:k] @ covariance[:k, :k] @ row[:k] for k, row in enumerate(jacobian, start=1)
        ]
        return np.sqrt(np.maximum(variances, 0.0))  # rounding: of a covariance, or NaN

    return Cumulants(
        moments=outer(inner),
        moment_errors=spread(outer),
        free=free(inner),
        free_errors=spread(free),
        basis=basis,
    )

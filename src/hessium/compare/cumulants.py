"""Moments and free cumulants of a measured spectrum, with standard errors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hessium._typing import FloatArray
from hessium.compare._spectrum import as_measure, size_of
from hessium.compare.fluctuations import Contour, LinearStatistics, Polynomials
from hessium.errors import InputError
from hessium.measure import DiscreteMeasure
from hessium.theory import Empirical, Law, cumulants_from_moments
from hessium.theory._arrays import ArrayLike


@dataclass(frozen=True, slots=True, kw_only=True, repr=False, eq=False)
class Cumulants:
    r"""Moments $\int x^k d\mu$ and free cumulants of order 1 to k.

    Attributes:
        moments: shape (k,).
        moment_errors: standard errors, shape (k,); NaN where they are not known.
        free: free cumulants, shape (k,).
        free_errors: standard errors, shape (k,); NaN where they are not known.
        basis: what the errors are.
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
    *spectra: DiscreteMeasure | ArrayLike,
    count: int = 4,
    law: Law | None = None,
    size: int | None = None,
    beta: int = 1,
) -> Cumulants:
    r"""Moments and free cumulants of one spectrum, or of independent draws of a matrix.

    Of several measures the errors are those of the mean over draws, whatever the matrices are. Of
    one spectrum they are what a Gaussian ensemble, a Wishart matrix or a free sum of these with the
    same limit law would show (`fluctuations`): of order 1/n. Whether a network's Hessian fluctuates
    like that is for draws to tell. Not every spectrum is one of such an ensemble: two clusters of
    eigenvalues, or very few, are not, and the errors are NaN from the first order on that shows it.

    Args:
        spectra: eigenvalues or a measure; several for independent draws.
        count: highest order, 1 to 12.
        law: limit law behind one spectrum; the spectrum itself if not given.
        size: side of the matrix, for measures with unequal weights.
        beta: 1 or 2, see `LinearStatistics`.

    Raises:
        InputError: if an argument breaks its rule.
    """
    if not 1 <= count <= 12:
        msg = f"count: {count}; an order from 1 to 12 is required"
        raise InputError(msg)
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
    covariance = _covariance(law or Empirical(measure), centre, reach, count, beta) / n**2
    known = int(np.isfinite(np.diag(covariance)).sum())
    basis = f"standard errors of a Gaussian-type ensemble of size {n} with this spectrum"
    if known < count:
        basis += f", unknown from order {known + 1} on: none has these moments"
    return _result(moments, covariance, centre, reach, basis)


def _over_draws(draws: list[DiscreteMeasure], count: int) -> Cumulants:
    frames = np.array([_frame(draw) for draw in draws])
    centre, reach = float(frames[:, 0].mean()), float(frames[:, 1].max())
    rows = np.array([_moments(draw, centre, reach, count) for draw in draws])
    covariance = np.atleast_2d(np.cov(rows.T)) / len(draws)
    basis = f"standard errors of the mean of {len(draws)} draws"
    return _result(rows.mean(axis=0), covariance, centre, reach, basis)


def _frame(measure: DiscreteMeasure) -> tuple[float, float]:
    """Centre and reach of the coordinate in which powers do not cancel or overflow."""
    low, high = float(measure.nodes[0]), float(measure.nodes[-1])
    return (low + high) / 2, (high - low) / 2 or abs(high) or 1.0


def _moments(measure: DiscreteMeasure, centre: float, reach: float, count: int) -> FloatArray:
    inner = (measure.nodes - centre) / reach
    return np.array([measure.weights @ inner**k for k in range(1, count + 1)])


def _covariance(law: Law, centre: float, reach: float, count: int, beta: int) -> FloatArray:
    """Of the sums of powers of (x - centre)/reach, NaN from the order on where there is none."""
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

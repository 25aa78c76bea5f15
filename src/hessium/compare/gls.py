"""Generalised least squares of linear statistics: parameters, standard errors, profiles."""

from __future__ import annotations

import functools
from collections.abc import Callable
from copy import copy
from dataclasses import replace

import numpy as np
from scipy.optimize import brentq, least_squares

from hessium._typing import FloatArray
from hessium.compare.fluctuations import Contour, LinearStatistics, Polynomials, Span, degree_of
from hessium.compare.outliers import Outliers
from hessium.errors import InputError
from hessium.theory import Law, LevyLaw

STEP = 1.0  # e-folds that one set of weights may be trusted over
_FINE = 0.01  # e-folds to which the end of a profile is found
_FAR = 12.0  # e-folds at which a profile is called unbounded
_EVALUATIONS = 15  # of a least-squares search: a law near the spectrum takes five to ten


class Weighted:
    """Generalised least squares with the covariance of one law.

    Args:
        family: the law of logarithms of parameters.
        logs: parameters of the law whose covariance gives the weights.
        size: size of the matrix.
        found: its outliers.
        beta: 1 or 2.

    Raises:
        InputError: if no Gaussian-type ensemble has the law.
    """

    def __init__(
        self,
        family: Callable[[FloatArray], Law],
        logs: FloatArray,
        size: int,
        found: Outliers,
        beta: int,
    ) -> None:
        law, outside = family(logs), found.values
        span = Span.of(law)
        self.law = family
        self.size = size
        self.count = degree_of(law, size, logs.size + 2)
        functions = Polynomials(low=span.low, high=span.high, count=self.count)
        self.statistics = LinearStatistics(
            functions=functions,
            contour=Contour.around(span.low, span.high, [*outside, *span.detached], self.count),
            beta=beta,
            spikes=outside,
            near=law if isinstance(law, LevyLaw) else None,
        )
        self._outside = outside
        self.sums = functions.at(found.bulk[span.holds(found.bulk)]).sum(axis=1)
        covariance = self.statistics.covariance(law)
        if np.isnan(covariance).any():
            msg = f"family: no Gaussian-type ensemble has {law!r} of it, so the fluctuations to "
            raise InputError(msg + "weight by are not known")
        self.factor = np.linalg.cholesky(covariance)

    def around(self, logs: FloatArray) -> Weighted:
        """The same statistics and weights, their contour drawn around another law."""
        law, other = self.law(logs), copy(self)
        span = Span.of(law)
        other.statistics = replace(
            self.statistics,
            contour=Contour.around(
                span.low, span.high, [*self._outside, *span.detached], self.count
            ),
            near=law if isinstance(law, LevyLaw) else None,
        )
        return other

    def residuals(self, logs: FloatArray) -> FloatArray:
        """Statistics minus their means under a law, whitened."""
        excess = self.sums - self.statistics.mean(self.law(logs), self.size)
        return np.asarray(np.linalg.solve(self.factor, excess))

    def information(self, logs: FloatArray) -> FloatArray:
        """Inverse covariance of the fitted logarithms."""
        steps = 1e-5 * np.eye(logs.size)
        jacobian = np.array(
            [(self.residuals(logs + s) - self.residuals(logs - s)) / 2e-5 for s in steps]
        ).T
        return np.asarray(jacobian.T @ jacobian)

    def solve(self, logs: FloatArray, reach: float, hold: int | None = None) -> FloatArray:
        """The best parameters within `reach` of a start, optionally with one of them fixed."""
        free = [k for k in range(logs.size) if k != hold]
        if not free:
            return logs

        def merged(part: FloatArray) -> FloatArray:
            whole = logs.copy()
            whole[free] = part
            return whole

        def misfit(part: FloatArray) -> FloatArray:
            return self.residuals(merged(part))

        start = logs[free]
        found = least_squares(
            misfit,
            start,
            bounds=(start - reach, start + reach),
            diff_step=[1e-6] * len(free),
            max_nfev=_EVALUATIONS,
            xtol=1e-8,
        )
        return merged(found.x)

    def profile(self, logs: FloatArray, which: int, side: int, error: float, reach: float) -> float:
        """Value of one parameter at which the profile chi2 has increased by `reach` squared."""
        best = float((self.residuals(logs) ** 2).sum())
        at = logs

        @functools.cache  # the search for a root meets its ends again, and must find them unchanged
        def rise(step: float) -> float:
            nonlocal at
            if step == 0.0:  # by definition, whatever a minimisation would find now
                return -(reach**2)
            held = at.copy()
            held[which] = logs[which] + side * step
            model = self.around(held)
            at = model.solve(held, STEP, hold=which)
            return float((model.residuals(at) ** 2).sum()) - best - reach**2

        inner, step = 0.0, min(reach * error, 1.0)
        while rise(step) < 0:
            inner, step = step, 1.6 * step
            if step > _FAR:
                return float(side * np.inf)
        return float(logs[which] + side * brentq(rise, inner, step, xtol=_FINE))


def errors_of(information: FloatArray) -> FloatArray:
    """Standard errors; infinite if some combination is not determined."""
    if np.linalg.cond(information) > 1e12:
        return np.full(len(information), np.inf)
    return np.asarray(np.sqrt(np.diag(np.linalg.inv(information))))

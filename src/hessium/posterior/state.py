r"""Variances of linear functionals under the posterior, with undetermined ones as infinities.

The precision in the direction of a right singular vector is $s^2/\sigma^2 + \alpha$, and $\alpha$
outside of the rows of the Jacobian. Without a prior, $\alpha = 0$, everything is the limit
$\alpha \to 0$ of a precision $\alpha D^2$ outside, where D holds the lengths of the columns of the
Jacobian: a functional with a part outside has infinite variance, and nothing depends on the units
of the parameters.

Three answers exist without a prior. A functional is *determined* if its part outside is zero to
rounding for the directions that certainly exist; *undetermined* if that part is larger than
rounding for all directions that may exist; *not resolved* in between.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from hessium._typing import AnyArray, BoolArray, FloatArray
from hessium.errors import ConvergenceWarning, InputError
from hessium.posterior.factor import Factor, Functionals
from hessium.posterior.factors import Factors
from hessium.spectra import Count

Status = Literal["determined", "undetermined", "not resolved"]

_CLEAR = 5.0  # in units of the resolution: a singular value of that size counts
_SURE = 30.0  # a singular value of that size is certainly not zero
_SHARP = 1e-3  # largest error of a subspace with which "determined" may be said
_SPOILT = 0.1  # share of rounding in a variance that is worth a warning
_TINY = 1e-9  # of the geometric mean of two diagonal entries: zero in a matrix of rests


@dataclass(frozen=True, kw_only=True, eq=False)
class State:
    r"""Precision of every direction.

    Attributes:
        factors: singular values of the whitened Jacobian for unit noise.
        noise: $\sigma$.
        prior_precision: $\alpha$.
        tol: eigenvalues of $A^T A$, for A with columns of length one, below this fraction of the
            largest count as zero; None for the threshold of rounding.
    """

    factors: Factors
    noise: float
    prior_precision: float
    tol: float | None

    @property
    def factor(self) -> Factor:
        """With a prior that of A, without one that of A with columns of length one."""
        return self.factors.plain if self.prior_precision > 0 else self.factors.scaled

    @cached_property
    def rank(self) -> Count:
        """Directions that the data determine, with the bracket of rounding; in no units."""
        factor = self.factors.scaled
        s, resolution = factor.singular_values, factor.resolution
        top = float(s[0])
        if self.tol is None:
            threshold, low, high = _CLEAR * resolution, resolution, _SURE * resolution
        else:
            threshold = math.sqrt(self.tol) * top
            if threshold < resolution:
                msg = (
                    f"tol: {self.tol:g}; rounding resolves eigenvalues above "
                    f"{(resolution / top) ** 2:.2g} of the largest by {factor.route}"
                )
                raise InputError(msg)
            low, high = threshold - resolution, threshold + resolution
        value, lower, upper = (int((s > t).sum()) for t in (threshold, high, low))
        return Count(
            value=value,
            lower=lower,
            upper=upper,
            what="rank",
            tol=float(f"{(threshold / top) ** 2:.3g}"),
            scale=top**2,
            method=factor.route,
            reasons=() if lower == upper else ("rounding",),
        )

    @property
    def dim(self) -> int:
        """Number of parameters."""
        return self.factors.risk.dim

    @property
    def precisions(self) -> FloatArray:
        """Of the data in the direction of each singular vector, (r,)."""
        return np.asarray((self.factor.singular_values / self.noise) ** 2)

    def _outside(self, g: Functionals, kept: int) -> FloatArray:
        """Squared length of the part outside of the first `kept` directions."""
        return np.asarray(g.rest_diagonal + np.square(g.along[:, kept:]).sum(axis=1))

    def statuses(self, g: Functionals) -> AnyArray:
        """The answer for each functional; with a prior, all are determined."""
        if self.prior_precision > 0:
            return np.full(len(g.squares), "determined", dtype="<U12")
        sure, most = self.rank.lower, self.rank.upper
        lengths = np.sqrt(np.maximum(g.squares, 1e-300))
        error = max(self.factor.subspace_error(sure), 1e-14)
        inside = np.sqrt(self._outside(g, sure)) / lengths <= error
        determined = inside & (error <= _SHARP)
        far = max(self.factor.subspace_error(most), 1e-14)
        apart = np.sqrt(self._outside(g, most)) / lengths > 10 * far
        answer = np.where(determined, "determined", np.where(apart, "undetermined", "not resolved"))
        return np.where(g.squares == 0, "determined", answer)

    def variances(self, g: Functionals) -> FloatArray:
        """Of each functional; infinite where the data leave it open."""
        if self.prior_precision == 0:
            kept = self.rank.lower
            found = (np.square(g.along[:, :kept]) / self.precisions[:kept]).sum(axis=1)
            return np.where(self.statuses(g) == "determined", found, np.inf)
        alpha = self.prior_precision
        found = (np.square(g.along) / (self.precisions + alpha)).sum(axis=1)
        found = found + g.rest_diagonal / alpha
        self._warn_of_rounding(g, found)
        return np.asarray(found)

    def _warn_of_rounding(self, g: Functionals, found: FloatArray) -> None:
        """By the Gram matrix, |g|^2 - |V^T g|^2 has the rounding of |g|^2."""
        if self.factor.left is None:
            return
        unit = self.factor.rounding / float(self.factor.singular_values[0])
        worst = float(np.max(unit * g.squares / self.prior_precision / np.maximum(found, 1e-300)))
        if worst > _SPOILT:
            msg = (
                f"posterior: up to {worst:.2g} of a variance is rounding, since the Jacobian does "
                "not fit into memory and its Gram matrix squares the condition number; raise "
                "max_bytes, restrict the risk, or give a larger prior_precision"
            )
            warnings.warn(msg, ConvergenceWarning, stacklevel=4)

    def covariance(self, g: Functionals) -> tuple[FloatArray, FloatArray]:
        r"""Matrices F, N of the covariance $F + N/\alpha$ as $\alpha \to 0$; N is 0 with a prior.

        Needs the joint rest of the functionals.
        """
        if self.prior_precision > 0:
            weighted = g.along / (self.precisions + self.prior_precision)
            finite = weighted @ g.along.T + g.rest / self.prior_precision
            self._warn_of_rounding(g, np.diagonal(finite))
            return finite, np.zeros_like(finite)
        kept = self.rank.lower
        finite = (g.along[:, :kept] / self.precisions[:kept]) @ g.along[:, :kept].T
        dropped = g.along[:, kept:]
        open_part = g.rest + dropped @ dropped.T
        closed = self.statuses(g) == "determined"
        open_part[closed] = 0.0
        open_part[:, closed] = 0.0
        return finite, open_part

    def effective_dimension(self, s: FloatArray | None = None) -> float:
        r"""$\sum s^2/(s^2 + \alpha \sigma^2)$; the rank without a prior."""
        if self.prior_precision == 0:
            return float(self.rank.value)
        square = np.square(self.factor.singular_values if s is None else s)
        return float((square / (square + self.prior_precision * self.noise**2)).sum())


def limits(finite: FloatArray, open_part: FloatArray) -> FloatArray:
    r"""The covariance as $\alpha \to 0$: infinities where the open part is not zero."""
    size = np.sqrt(np.outer(np.diagonal(open_part), np.diagonal(open_part)))
    is_open: BoolArray = np.abs(open_part) > _TINY * size
    return np.where(is_open & (size > 0), np.copysign(np.inf, open_part), finite)

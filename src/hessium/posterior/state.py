r"""Variances of linear functionals under the posterior, with undetermined ones as infinities.

The precision in the direction of a right singular vector is $s^2/\sigma^2 + \alpha$, and $\alpha$
outside of the rows of the Jacobian. Without a prior, $\alpha = 0$, everything is the limit
$\alpha \to 0$ of a precision $\alpha D^2$ outside, where D holds the lengths of the columns of the
Jacobian: a functional with a part outside has infinite variance, and nothing depends on the units
of the parameters.

The data alone give three answers, whatever the prior. A functional is *determined* if its part
outside of the directions that certainly exist is zero to rounding, as far as rounding reaches this
functional; *undetermined* if the part outside of all directions that may exist is larger than that;
*not resolved* in between.
"""

from __future__ import annotations

import dataclasses
import math
import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from torch import Tensor

from hessium._typing import AnyArray, BoolArray, FloatArray
from hessium.errors import ConvergenceWarning, InputError
from hessium.posterior.factor import Factor, Functionals
from hessium.posterior.factors import Factors
from hessium.spectra import Count

Status = Literal["determined", "undetermined", "not resolved"]

_CLEAR = 5.0  # in units of the resolution: a singular value of that size counts
_SURE = 30.0  # a singular value of that size is certainly not zero
_SHARP = 1e-3  # largest error of a subspace with which "determined" may be said
_EXACT = 1e-14  # relative error of a part outside that is not smaller
_STEADY = 0.1  # of a standard deviation: what directions that may not exist may add
_SPOILT = 0.1  # share of rounding in a variance that is worth a warning
BY_GRAM = (
    "the Jacobian does not fit into memory and its Gram matrix squares the condition number; raise "
    "max_bytes, restrict the risk, or give a larger prior_precision"
)
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

    @cached_property
    def data_alone(self) -> State:
        """The same without the prior."""
        return dataclasses.replace(self, prior_precision=0.0) if self.prior_precision else self

    def statuses(self, g: Functionals) -> AnyArray:
        """The answer of the data for each functional, for a state without a prior."""
        assert self.prior_precision == 0
        sure, most = self.rank.lower, self.rank.upper
        lengths = np.sqrt(np.maximum(g.squares, 1e-300))
        known = self.factor.outside_error(g.along, sure) / lengths
        error = np.maximum(known, _EXACT)
        inside = np.sqrt(self._outside(g, sure)) / lengths <= error
        # directions that may exist would not change the variance either
        s = self.factor.singular_values
        doubtful = np.linalg.norm(g.along[:, sure:most] / s[sure:most], axis=1)
        steady = doubtful <= _STEADY * np.linalg.norm(g.along[:, :sure] / s[:sure], axis=1)
        determined = inside & steady & (error <= _SHARP)
        far = np.maximum(self.factor.outside_error(g.along, most) / lengths, _EXACT)
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

    @property
    def hidden_precision(self) -> float:
        """Largest precision that the data may give to a direction that was dropped as rounding."""
        factor = self.factor
        if factor.left is None:
            return 0.0
        return factor.rounding * float(factor.singular_values[0]) / self.noise**2

    def _warn_of_rounding(self, g: Functionals, found: FloatArray) -> None:
        r"""By the Gram matrix, two errors.

        $|g|^2 - |V^T g|^2$ has the rounding of $|g|^2$, and a dropped direction counts with the
        precision $\alpha$ although the data may give it more.
        """
        if self.factor.left is None:
            return
        unit = self.factor.rounding / float(self.factor.singular_values[0])
        cancelled = unit * g.squares / self.prior_precision
        alpha, hidden = self.prior_precision, self.hidden_precision
        upper = found + cancelled
        lower = found - g.rest_diagonal / alpha * (hidden / (alpha + hidden)) - cancelled
        open_ = upper > 0
        worst = float(np.max((upper - np.maximum(lower, 0.0))[open_] / upper[open_], initial=0.0))
        if worst > _SPOILT:
            msg = (
                f"posterior: {100 * min(worst, 1.0):.0f} % of a variance may be rounding, since "
                + BY_GRAM
            )
            warnings.warn(msg, ConvergenceWarning, stacklevel=4)

    def solve(self, vector: Tensor, damping: float = 0.0) -> Tensor:
        r"""$(Q + \mu D^2)^{-1} g$ for a functional g (P,): Q the precision, $\mu$ the damping.

        Without a prior and damping in the determined directions only.

        Cost: by the Gram matrix one product J v and one gradient.
        """
        factor, shift = self.factor, self.prior_precision + damping
        along = factor.from_functionals(vector)
        if shift > 0:
            weights = along * (1 / (self.precisions + shift) - 1 / shift)
            return factor.to_parameters(weights) + factor.moves_of(vector) / shift
        weights = np.zeros_like(along)
        kept = self.rank.lower
        weights[:kept] = along[:kept] / self.precisions[:kept]
        return factor.to_parameters(weights)

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
    r"""The covariance as $\alpha \to 0$: infinities where the open part is not zero.

    NaN between a determined and an undetermined functional, unless it is zero: it depends on which
    prior vanishes, as on the units of the parameters.
    """
    size = np.sqrt(np.outer(np.diagonal(open_part), np.diagonal(open_part)))
    is_open: BoolArray = (np.abs(open_part) > _TINY * size) & (size > 0)
    found = np.where(is_open, np.copysign(np.inf, open_part), finite)
    one = np.diagonal(open_part) > 0
    of_prior = (one[:, None] | one) & ~is_open
    spread = np.sqrt(np.maximum(np.diagonal(finite), 0.0))
    coupled = np.abs(finite) > _TINY * np.outer(spread, spread)
    return np.where(of_prior & coupled, np.nan, found)

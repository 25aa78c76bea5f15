r"""Profile likelihood of one parameter: refits with the parameter held fixed.

At a distance of t standard deviations the quadratic model predicts a deviance $2(\Phi(t) -
\Phi_{min}) = t^2$. Where the refits find something else, the interval from the standard deviation
does not have its coverage.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.stats
import torch
from torch import Tensor

from hessium._arguments import count, fraction, reals
from hessium._display import Displayable
from hessium._typing import BoolArray, FloatArray
from hessium.errors import InputError
from hessium.posterior import _tables
from hessium.posterior.entries import labels_of
from hessium.posterior.held_refits import HeldRefits, refit_both_sides
from hessium.posterior.pivots import SHIFTED, Point, SignedRoot, believed, crossing, point_of
from hessium.posterior.refit_budget import Budget
from hessium.posterior.refits import Refits
from hessium.posterior.state import State

if TYPE_CHECKING:
    import pandas as pd

_REACH = 0.8  # of a level that the last refit must reach
_RESTARTS = 4  # of the refit without constraint
_LOWER = 5e-3  # a deviance below minus this is no rounding: the minimum lies elsewhere


@dataclass(frozen=True, slots=True, kw_only=True, repr=False, eq=False)
class ProfileLikelihood(Displayable):
    """Deviances of refits beside those of the quadratic model.

    Attributes:
        label: the parameter.
        value: of the parameter at the minimum that a refit without constraint finds.
        std: its standard deviation.
        shift: distance of that minimum from the parameters of the risk, in standard deviations.
        at: distances in standard deviations, (k,).
        deviance: twice the increase of the negative log-posterior after a refit, (k,).
        predicted: squares of `at`, (k,).
        slope: derivative of half the deviance by the distance, (k,).
        converged: whether each refit converged, (k,).
        reach: standard deviations of the interval that is judged, on either side.
        freedom: degrees of freedom of the noise, infinite if it is given.
        minimum_found: whether the refit without constraint converged, and no refit found a larger
            likelihood. If not, `value` is not the estimate and the deviances have no meaning.
        steps: factorisations of the Jacobian in all refits.
        exhausted: whether a refit ended because the budget was used up.

    Example:
        >>> line = hs.EmpiricalRisk(nn.Linear(1, 1).double(), loss, (x, y))
        >>> post = hs.GaussNewtonPosterior(line, noise=0.1)
        >>> post.profile_likelihood("bias").label
        'bias'
    """

    label: str
    value: float
    std: float
    shift: float
    at: FloatArray
    deviance: FloatArray
    predicted: FloatArray
    slope: FloatArray
    converged: BoolArray
    reach: float
    freedom: float
    minimum_found: bool = True
    steps: int = 0
    exhausted: bool = False

    @property
    def departure(self) -> float:
        r"""Largest relative difference between $\sqrt{\mathrm{deviance}}$ and the distance.

        Of refits within the interval.
        """
        roots = np.sqrt(np.maximum(self.deviance, 0.0))
        apart = np.abs(roots - np.abs(self.at)) / np.abs(self.at)
        return float(apart[np.abs(self.at) <= self.reach * (1 + 1e-9)].max())

    @property
    def valid(self) -> bool:
        """Whether the intervals at these distances may be believed.

        With the limits of `TrustRadius.has_nominal_coverage`, 93 to 98 % for 95 %, for the interval
        of `reach` standard deviations on both sides and the estimate as the truth; `TrustRadius`
        looks at other truths too. The shift is at most 0.25 standard deviations, all refits
        converged, and the minimum was found.
        """
        if abs(self.shift) > SHIFTED or not (self.minimum_found and self.converged.all()):
            return False
        return bool(believed(np.array(self.coverage), self.confidence))

    @property
    def confidence(self) -> float:
        """Nominal, of the interval of `reach` standard deviations."""
        return 1 - 2 * float(self._law.sf(self.reach))

    @property
    def misses(self) -> FloatArray:
        """Probability that the truth lies below and above that interval, (2,); see `TrustRadius`.

        NaN for a side without a refit.
        """
        below, above = (self._points(sign) for sign in (-1.0, 1.0))
        return SignedRoot(below, above).misses(np.zeros(1), self.reach, self._law)[0]

    def _points(self, sign: float) -> list[Point]:
        """Refits of one side, the nearest first."""
        rows = sorted(zip(self.at * sign, self.deviance, self.slope * sign, strict=True))
        return [point_of(x, d, s) for x, d, s in rows if x > 0]

    @property
    def _law(self) -> Any:
        return _law_of(self.freedom)

    @property
    def coverage(self) -> float:
        """What that interval covers, if the estimate were the truth; see `TrustRadius`."""
        return 1 - 2 * float(np.nanmean(self.misses))

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Ends between which the deviance is below the quantile: no symmetry is assumed.

        Between refits the root of the deviance is a cubic with the slopes of the refits, beyond
        the last one, up to a quarter of that root, a straight line.

        Raises:
            InputError: if 0 < confidence < 1 does not hold, the refits do not reach so far, or no
                minimum was found.
        """
        found = self.ends(confidence)
        if not self.minimum_found:
            msg = f"interval: the refits of {self.label} found no minimum; train the model further"
            raise InputError(msg)
        for sign, end in zip((-1.0, 1.0), found, strict=True):
            if math.isnan(end):
                largest = max((one.root for one in self._points(sign)), default=0.0)
                msg = (
                    f"confidence: {confidence:g} needs a root of the deviance of "
                    f"{self._level(confidence):.3g}; the refits "
                    f"{'above' if sign > 0 else 'below'} the estimate reach {largest:.3g}: "
                    "give larger distances at="
                )
                raise InputError(msg)
        return found

    def ends(self, confidence: float = 0.95) -> tuple[float, float]:
        """The same ends; NaN for one that the refits do not reach, and without a minimum."""
        level, ends = self._level(confidence), []
        for sign in (-1.0, 1.0):
            points = self._points(sign)
            reach = max((one.root for one in points), default=0.0) >= _REACH * level
            known = reach and self.minimum_found
            distance = crossing(points, level) if known else math.nan
            ends.append(float(self.value + sign * self.std * distance))
        return ends[0], ends[1]

    def _level(self, confidence: float) -> float:
        """Root of the deviance at the ends of an interval."""
        return float(self._law.isf((1 - fraction("confidence", confidence)) / 2))

    def _columns(self) -> _tables.Columns:
        return {
            "distance": self.at.tolist(),
            "value": (self.value + self.at * self.std).tolist(),
            "deviance": self.deviance.tolist(),
            "predicted": self.predicted.tolist(),
            "converged": self.converged.tolist(),
        }

    def to_dataframe(self) -> pd.DataFrame:
        """One row for each refit."""
        return _tables.frame(self._columns())

    def _repr_html_(self) -> str:
        """The sentence and the table."""
        return _tables.html(repr(self), self._columns())

    @property
    def verdict(self) -> str:
        """What the interval covers, and whether it may be believed."""
        spent = f" ({self.steps} factorisations, the budget, are used up)" if self.exhausted else ""
        if not self.minimum_found:
            return (
                f"{self.label}: the refit without constraint has not converged to a minimum"
                f"{spent}, so the interval may not be believed: train the model further"
            )
        words = "so it may not be believed"
        if self.valid:
            words = "so by this check it may be believed (trust_radius looks at other truths too)"
        failed = int((~self.converged).sum())
        doubt = f", but {failed} refits have not converged" if failed else ""
        doubt += spent
        if abs(self.shift) > SHIFTED:
            doubt += f", but the minimum is {self.shift:.2g} standard deviations away"
        name, off = f"{100 * self.confidence:.3g} % interval", 100 * self.departure
        departure = f"{off:.2g}" if off < 99.5 else f"{off:.0f}"
        return (
            f"{self.label} = {self.value:.4g} ± {self.std:.2g}: within its {name} the root of the "
            f"deviance differs by up to {departure} % from the quadratic model; the "
            f"interval contains the truth in {100 * self.coverage:.1f} % of experiments if the "
            f"estimate is the truth{doubt}, {words}"
        )

    def __repr__(self) -> str:
        return f"ProfileLikelihood({self.verdict})"


def _law_of(freedom: float) -> Any:
    """Of errors in standard deviations: normal, or Student's t where the noise is estimated."""
    return scipy.stats.norm() if math.isinf(freedom) else scipy.stats.t(freedom)


def profile_likelihood(
    state: State,
    prior_mean: Tensor,
    freedom: float,
    name: str,
    index: int,
    at: Sequence[float] | None,
    budget: int,
) -> ProfileLikelihood:
    """Refits at some distances.

    The minimum is that of a refit without constraint. If it does not converge it goes on from where
    it ended, and if a refit with the parameter held finds a lower value, it starts again there and
    all other refits are made anew: four times at most.
    """
    budget = count("budget", budget)
    law = _law_of(freedom)
    if at is not None:
        distances = reals("at", at).reshape(-1)
        if not distances.size or not bool((np.isfinite(distances) & (distances != 0)).all()):
            msg = f"at: {distances.tolist()}; finite distances other than zero are required"
            raise InputError(msg)
    risk = state.factor.risk
    if len(risk.layout.select([name]).names) > 1:
        msg = f"name: {name!r} matches several parameters; one is required"
        raise InputError(msg)
    labels, index = labels_of(risk, [name]), count("index", index, 0)
    if not 0 <= index < len(labels):
        msg = f"index: {index}; {name} has {len(labels)} entries"
        raise InputError(msg)
    g = state.factor.parameters([name], joint=False)
    std = math.sqrt(float(state.variances(g)[index]))
    if not 0 < std < math.inf:
        answer = "constant" if std == 0 else state.statuses(g)[index]
        msg = f"name: {labels[index]} is {answer}; a parameter with a finite error is required"
        raise InputError(msg)
    entry = risk.layout.slice(risk.layout.select([name]).names[0]).start + index
    unit = torch.zeros_like(risk.theta)
    unit[entry] = 1.0
    fit, spending = Refits(state, prior_mean, unit), Budget(budget)
    path = fit.conditional_path(std)
    reach = float(law.isf(0.025) if at is None else np.abs(distances).max())
    start, restarts = risk.theta, _RESTARTS
    while True:
        base, lowest, settled = fit.refit(start, held=False, budget=spending)
        while not settled and restarts and not spending.spent:
            restarts, before = restarts - 1, lowest
            base, lowest, settled = fit.refit(base, held=False, budget=spending)
            if not lowest < before:
                break
        held = HeldRefits(fit, spending, base, lowest, path, entry, std)
        if at is None:
            refit_both_sides(held, reach)
        else:
            for distance in distances.tolist():
                held(distance)
        least = min(held.refits, key=lambda one: one.deviance)
        lower = least.deviance < -_LOWER
        if not lower or not restarts or spending.spent:
            break
        restarts -= 1
        start = least.theta
    refits = held.refits
    return ProfileLikelihood(
        label=labels[index],
        value=float(base[entry]),
        std=std,
        shift=float(base[entry] - risk.theta[entry]) / std,
        at=np.array([one.at for one in refits]),
        deviance=np.array([one.deviance for one in refits]),
        predicted=np.array([one.at**2 for one in refits]),
        slope=np.array([one.slope for one in refits]),
        converged=np.array([one.converged for one in refits]),
        reach=reach,
        freedom=freedom,
        minimum_found=settled and not lower,
        steps=spending.used,
        exhausted=spending.exhausted,
    )

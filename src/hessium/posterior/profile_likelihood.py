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
import scipy.interpolate
import scipy.optimize
import scipy.stats
import torch
from torch import Tensor

from hessium._arguments import count, fraction, reals
from hessium._display import Displayable
from hessium._typing import BoolArray, FloatArray
from hessium.errors import InputError
from hessium.posterior import _tables
from hessium.posterior.entries import labels_of
from hessium.posterior.pivots import Point, SignedRoot, believed, point_of
from hessium.posterior.refits import Refits
from hessium.posterior.state import State

if TYPE_CHECKING:
    import pandas as pd

_REACH = 0.8  # of a level that the last refit must reach
_SHIFTED = 0.25  # standard deviations from the minimum at which the centre is still right


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
        freedom: degrees of freedom of the noise, infinite if it is given.

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
    freedom: float

    @property
    def departure(self) -> float:
        r"""Largest relative difference between $\\sqrt{\\mathrm{deviance}}$ and the distance."""
        roots = np.sqrt(np.maximum(self.deviance, 0.0))
        return float((np.abs(roots - np.abs(self.at)) / np.abs(self.at)).max())

    @property
    def believable(self) -> bool:
        """Whether the intervals at these distances may be believed.

        The limits of `TrustRadius.trusted`, 93 to 98 % for 95 %, for the interval of t standard
        deviations, t the largest distance on both sides, with the estimate as the truth;
        `TrustRadius` looks at other truths too. The shift is at most 0.25 standard deviations, and
        all refits converged.
        """
        if abs(self.shift) > _SHIFTED or not self.converged.all():
            return False
        return bool(believed(np.array(self.coverage), self.confidence))

    @property
    def confidence(self) -> float:
        """Nominal, of the interval of t standard deviations, t the largest distance."""
        return 1 - 2 * float(self._law.sf(np.abs(self.at).max()))

    @property
    def misses(self) -> FloatArray:
        """Probability that the truth lies below and above that interval, (2,); see `TrustRadius`.

        NaN for a side without a refit.
        """
        t = float(np.abs(self.at).max())
        below, above = (self._points(sign) for sign in (-1.0, 1.0))
        return SignedRoot(below, above).misses(np.zeros(1), t, self._law)[0]

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
            InputError: if 0 < confidence < 1 does not hold, or the refits do not reach so far.
        """
        level = float(self._law.isf((1 - fraction("confidence", confidence)) / 2))
        ends = []
        for sign in (-1.0, 1.0):
            points = self._points(sign)
            reached = max((one.root for one in points), default=0.0)
            if not reached >= _REACH * level:
                msg = (
                    f"confidence: {confidence:g} needs a root of the deviance of {level:.3g}; the "
                    f"refits {'above' if sign > 0 else 'below'} the estimate reach {reached:.3g}: "
                    "give larger distances at="
                )
                raise InputError(msg)
            ends.append(self.value + sign * self.std * _crossing(points, level))
        return ends[0], ends[1]

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
        words = "may be believed" if self.believable else "may not be believed"
        failed = int((~self.converged).sum())
        doubt = f", {failed} refits not converged" if failed else ""
        if abs(self.shift) > _SHIFTED:
            doubt += f", the minimum is {self.shift:.2g} standard deviations away"
        return (
            f"{self.label} = {self.value:.4g} +- {self.std:.2g}: the "
            f"{100 * self.confidence:.3g} % interval covers {self.coverage:.3f} if the estimate is "
            f"the truth, roots of the deviance differ from those of the quadratic model by "
            f"{self.departure:.0%}{doubt}, so the interval {words}"
        )

    def __repr__(self) -> str:
        return f"ProfileLikelihood({self.verdict})"


def _law_of(freedom: float) -> Any:
    """Of errors in standard deviations: normal, or Student's t where the noise is estimated."""
    return scipy.stats.norm() if math.isinf(freedom) else scipy.stats.t(freedom)


def _crossing(points: Sequence[Point], level: float) -> float:
    """The smallest distance at which the root of the deviance reaches a level."""
    known = [Point(0.0, 0.0, 0.0), *points]
    slopes = [1.0, *(one.pivot / one.distance for one in points)]
    curve = scipy.interpolate.CubicHermiteSpline(
        [one.distance for one in known], [one.root for one in known], slopes
    )
    first = next((i for i, one in enumerate(known) if one.root >= level), None)
    if first is None:
        return known[-1].distance + (level - known[-1].root) / max(slopes[-1], 1e-300)
    low, high = known[first - 1].distance, known[first].distance
    return float(scipy.optimize.brentq(lambda x: float(curve(x)) - level, low, high))


def profile_likelihood(
    state: State,
    prior_mean: Tensor,
    freedom: float,
    name: str,
    index: int,
    at: Sequence[float] | None,
) -> ProfileLikelihood:
    """Refits at some distances."""
    if at is None:
        t = float(_law_of(freedom).isf(0.025))
        at = (-t, -t / 2, t / 2, t)
    distances = reals("at", at).reshape(-1)
    if not distances.size or bool((distances == 0).any()):
        msg = f"at: {list(at)}; distances other than zero are required"
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
        answer = state.statuses(g)[index]
        msg = f"name: {labels[index]} is {answer}; a parameter that varies is required"
        raise InputError(msg)
    entry = risk.layout.slice(risk.layout.select([name]).names[0]).start + index
    unit = torch.zeros_like(risk.theta)
    unit[entry] = 1.0
    fit = Refits(state, prior_mean, unit)
    base, lowest, _ = fit.refit(risk.theta, held=False)
    path = fit.conditional_path(std)
    deviances, slopes, converged = [], [], []
    for distance in distances:
        start = base + distance * path
        start[entry] = base[entry] + distance * std
        there, value, done = fit.refit(start, held=True)
        deviances.append(2 * (value - lowest))
        # at a refit the slope of the density is along the functional that is held
        slopes.append(float(path @ fit.slope(there)) if math.isfinite(value) else math.nan)
        converged.append(done)
    return ProfileLikelihood(
        label=labels[index],
        value=float(base[entry]),
        std=std,
        shift=float(base[entry] - risk.theta[entry]) / std,
        at=distances,
        deviance=np.array(deviances),
        predicted=distances**2,
        slope=np.array(slopes),
        converged=np.array(converged),
        freedom=freedom,
    )

r"""Profile likelihood of one parameter: refits with the parameter held fixed.

At a distance of t standard deviations the quadratic model predicts a deviance $2(\Phi(t) -
\Phi_{min}) = t^2$. Where the refits find something else, the interval from the standard deviation
does not have its coverage.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.stats
import torch
from torch import Tensor

from hessium._arguments import reals
from hessium._display import Displayable
from hessium._typing import BoolArray, FloatArray
from hessium.errors import InputError
from hessium.posterior import _tables
from hessium.posterior.entries import labels_of
from hessium.posterior.refits import Refits
from hessium.posterior.state import State

if TYPE_CHECKING:
    import pandas as pd

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
        converged: whether each refit converged, (k,).

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
    converged: BoolArray

    @property
    def departure(self) -> float:
        r"""Largest relative difference between $\\sqrt{\\mathrm{deviance}}$ and the distance."""
        roots = np.sqrt(np.maximum(self.deviance, 0.0))
        return float((np.abs(roots - np.abs(self.at)) / np.abs(self.at)).max())

    @property
    def believable(self) -> bool:
        """Whether the intervals at these distances may be believed.

        The rule of `TrustRadius.trusted`: with e = 2 (1 - F(t)), F the normal law, the interval of
        t standard deviations misses by its deviances with a probability between 0.4 e and 1.6 e,
        on no side with more than e. The shift is at most 0.25, and all refits converged.
        """
        if abs(self.shift) > _SHIFTED or not self.converged.all():
            return False
        misses = scipy.stats.norm.sf(np.sqrt(np.maximum(self.deviance, 0.0)))
        for t in np.unique(np.abs(self.at)):
            e = 2 * float(scipy.stats.norm.sf(t))
            sides = misses[np.abs(self.at) == t]
            total = 2 * float(sides.mean())
            if not (0.4 * e <= total <= 1.6 * e and float(sides.max()) <= e):
                return False
        return True

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

    def __repr__(self) -> str:
        verdict = "may be believed" if self.believable else "may not be believed"
        failed = int((~self.converged).sum())
        doubt = f", {failed} refits not converged" if failed else ""
        if abs(self.shift) > _SHIFTED:
            doubt += f", the minimum is {self.shift:.2g} standard deviations away"
        return (
            f"ProfileLikelihood({self.label} = {self.value:.4g} +- {self.std:.2g}: deviances "
            f"differ from the quadratic model by {self.departure:.0%} in their roots{doubt}, so "
            f"the interval {verdict})"
        )


def profile_likelihood(
    state: State, prior_mean: Tensor, name: str, index: int, at: Sequence[float]
) -> ProfileLikelihood:
    """Refits at some distances."""
    distances = reals("at", at).reshape(-1)
    if not distances.size or bool((distances == 0).any()):
        msg = f"at: {list(at)}; distances other than zero are required"
        raise InputError(msg)
    risk = state.factor.risk
    labels = labels_of(risk, [name])
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
    deviances, converged = [], []
    for distance in distances:
        start = base + distance * path
        start[entry] = base[entry] + distance * std
        _, value, done = fit.refit(start, held=True)
        deviances.append(2 * (value - lowest))
        converged.append(done)
    return ProfileLikelihood(
        label=labels[index],
        value=float(base[entry]),
        std=std,
        shift=float(base[entry] - risk.theta[entry]) / std,
        at=distances,
        deviance=np.array(deviances),
        predicted=distances**2,
        converged=np.array(converged),
    )

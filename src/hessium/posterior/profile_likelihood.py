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
import torch
from torch import Tensor

from hessium._arguments import reals
from hessium._display import Displayable
from hessium._typing import BoolArray, FloatArray
from hessium.errors import InputError, NonFiniteError
from hessium.posterior import _tables
from hessium.posterior.entries import labels_of
from hessium.posterior.factor import factorise
from hessium.posterior.measurements import measurements
from hessium.posterior.state import State

if TYPE_CHECKING:
    import pandas as pd

_BELIEVED = 0.15  # largest departure of the signed root of the deviance from t, relative
_SHIFTED = 0.25  # standard deviations from the minimum at which the centre is still right
_STEPS = 40  # of a refit
_TRIES = 8  # dampings of one step
_DONE = 1e-5  # predicted decrease of the negative log-posterior at which a refit stops


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
        """Whether the interval may be believed: departure at most 0.15, shift at most 0.25."""
        near = abs(self.shift) <= _SHIFTED
        return near and bool(self.converged.all()) and self.departure <= _BELIEVED

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
    fit = _Fit(state, prior_mean, entry)
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


class _Fit:
    """Levenberg-Marquardt on the negative log-posterior, with one entry held."""

    def __init__(self, state: State, prior_mean: Tensor, entry: int) -> None:
        self._state, self._mean, self._entry = state, prior_mean, entry
        self._unit = state.factor.data.largest_weight * state.noise**2
        self._alpha = state.prior_precision

    def conditional_path(self, std: float) -> Tensor:
        """Change of the parameters by one standard deviation of the entry."""
        along = np.zeros(self._state.factor.singular_values.size)
        name_row = self._row(self._state)
        kept = self._state.rank.lower if self._alpha == 0 else along.size
        precisions = self._state.precisions[:kept] + self._alpha
        along[:kept] = name_row[:kept] / precisions
        path = self._state.factor.to_parameters(along)
        if self._alpha > 0:
            outside = -self._state.factor.to_parameters(name_row)
            outside[self._entry] += 1.0
            path = path + outside / self._alpha
        return path / std

    def _row(self, state: State) -> FloatArray:
        unit = torch.zeros(state.dim, dtype=torch.float64, device=state.factor.risk.device)
        unit[self._entry] = 1.0
        return state.factor.from_parameters(unit)

    def _value(self, theta: Tensor) -> float:
        risk = self._state.factor.risk
        try:
            loss = risk.at(theta).value() * risk.denominator / self._unit
        except (InputError, NonFiniteError):
            return math.inf
        value = loss + 0.5 * self._alpha * float((theta - self._mean).square().sum())
        return value if math.isfinite(value) else math.inf

    def refit(self, theta: Tensor, *, held: bool) -> tuple[Tensor, float, bool]:
        """The minimum from a start: parameters, value, and whether it converged."""
        value = self._value(theta)
        if not math.isfinite(value):
            return theta, value, False
        damping = 1e-8
        for _ in range(_STEPS):
            risk = self._state.factor.risk.at(theta)
            factor = factorise(risk, measurements(risk), self._state.factor.max_bytes)
            state = State(
                factor=factor, noise=self._state.noise, prior_precision=self._alpha,
                tol=self._state.tol,
            )  # fmt: skip
            slope = risk.gradient() * risk.denominator / self._unit
            slope = slope + self._alpha * (theta - self._mean)
            for _ in range(_TRIES):
                step = self._step(state, slope, damping * float(state.precisions[0]), held)
                predicted = -0.5 * float(step @ slope)
                if predicted <= _DONE:
                    return theta, value, True
                there = self._value(theta + step)
                if there < value:
                    theta, value = theta + step, there
                    damping = max(damping / 10, 1e-12)
                    break
                damping *= 10
            else:
                return theta, value, predicted <= 100 * _DONE
        return theta, value, False

    def _step(self, state: State, slope: Tensor, damping: float, held: bool) -> Tensor:
        """Damped Gauss-Newton step; the entry that is held does not move."""
        step = -self._solved(state, slope, damping)
        if not held:
            return step
        unit = torch.zeros_like(slope)
        unit[self._entry] = 1.0
        column = self._solved(state, unit, damping)
        step = step - column * (step[self._entry] / column[self._entry])
        step[self._entry] = 0.0
        return step

    def _solved(self, state: State, vector: Tensor, damping: float) -> Tensor:
        """(Q + damping)^-1 v."""
        shift = self._alpha + damping
        along = state.factor.from_parameters(vector)
        weights = along * (1 / (state.precisions + shift) - 1 / shift)
        return state.factor.to_parameters(weights) + vector / shift

"""Refits of the parameters with one linear functional of them held at a value."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from hessium._typing import BoolArray, FloatArray
from hessium.errors import InputError, NonFiniteError
from hessium.posterior.factor import factorise
from hessium.posterior.measurements import measurements
from hessium.posterior.state import State

_STEPS = 40  # of a refit
_TRIES = 8  # dampings of one step
_DONE = 1e-5  # predicted decrease of the negative log-posterior at which a refit stops
_CHORDS = 12  # steps with the precision at the minimum
_HALVINGS = 3  # of one such step
_NEAR = 5e-3  # predicted decrease at which such a refit stops


class NegativeLogPosterior:
    r"""$\Phi$ as a function of the parameters.

    Args:
        state: noise, prior precision and data.
        prior_mean: shape (P,).
    """

    def __init__(self, state: State, prior_mean: Tensor) -> None:
        self._risk, self._mean = state.factor.risk, prior_mean
        self._unit = state.factor.data.largest_weight * state.noise**2
        self._alpha = state.prior_precision

    def value(self, theta: Tensor) -> float:
        """Phi; infinite where it cannot be evaluated."""
        try:
            loss = self._risk.at(theta).value() * self._risk.denominator / self._unit
        except (InputError, NonFiniteError):
            return math.inf
        value = loss + 0.5 * self._alpha * float((theta - self._mean).square().sum())
        return value if math.isfinite(value) else math.inf

    def slope(self, theta: Tensor) -> Tensor:
        """Its gradient."""
        risk = self._risk.at(theta)
        slope = risk.gradient() * risk.denominator / self._unit
        return slope + self._alpha * (theta - self._mean)


def deviances(
    state: State, prior_mean: Tensor, directions: Tensor, lengths: FloatArray, distance: float
) -> tuple[FloatArray, BoolArray]:
    r"""Deviance $2(\Phi - \Phi_{min})$ on both sides of conditional paths from the minimum.

    A path d = Q^{-1} g / s is how the parameters move with a functional g, Q the precision and s
    the standard deviation of g. From the minimum $\pm t d$ the other parameters are refitted by steps
    $-Q^{-1} \nabla\Phi$ without the part along d, which leave $g^T \theta$ as it is. Q is that of
    the minimum: no new factorisation, and few steps where the model is nearly linear.

    Args:
        state: the posterior at the minimum.
        prior_mean: shape (P,).
        directions: paths d, (P, k).
        lengths: $\sqrt{d^T Q d}$ of each, (k,).
        distance: t, in standard deviations.

    Returns:
        Deviances at -t and t, (k, 2), and whether both refits converged, (k,).

    Cost: at most 12 gradients and 48 losses for each side; one or two of both near linearity.
    """
    density = NegativeLogPosterior(state, prior_mean)
    start, lowest, settled = _refitted(state, density, state.factor.risk.theta, None)
    found, converged = np.empty((len(lengths), 2)), np.full(len(lengths), settled)
    for at, (d, length) in enumerate(zip(directions.unbind(1), lengths.tolist(), strict=True)):
        unit = d.contiguous() / length
        for side, sign in enumerate((-1.0, 1.0)):
            begin = start + sign * distance * unit
            _, value, done = _refitted(state, density, begin, unit)
            found[at, side] = max(2 * (value - lowest), 0.0)
            converged[at] &= done
    return found, converged


def _refitted(
    state: State, density: NegativeLogPosterior, theta: Tensor, held: Tensor | None
) -> tuple[Tensor, float, bool]:
    """The minimum by steps with a fixed precision: parameters, value, and convergence."""
    value = density.value(theta)
    if not math.isfinite(value):
        return theta, value, False
    for _ in range(_CHORDS):
        slope = density.slope(theta)
        step = -_inverse(state, slope)
        if held is not None:
            step = step + held * float(held @ slope)
        if -0.5 * float(step @ slope) <= _NEAR:
            return theta, value, True
        for _ in range(_HALVINGS + 1):
            there = density.value(theta + step)
            if there < value:
                theta, value = theta + step, there
                break
            step = step / 2
        else:
            return theta, value, False
    return theta, value, False


def _inverse(state: State, vector: Tensor) -> Tensor:
    """Q^-1 v; without a prior in the determined directions only."""
    factor, alpha = state.factor, state.prior_precision
    along = factor.from_parameters(vector)
    if alpha > 0:
        weights = along * (1 / (state.precisions + alpha) - 1 / alpha)
        return factor.to_parameters(weights) + vector / alpha
    weights = np.zeros_like(along)
    kept = state.rank.lower
    weights[:kept] = along[:kept] / state.precisions[:kept]
    return factor.to_parameters(weights)


class Refits:
    """Levenberg-Marquardt on the negative log-posterior, with one entry held."""

    def __init__(self, state: State, prior_mean: Tensor, entry: int) -> None:
        self._state, self._entry = state, entry
        self._density = NegativeLogPosterior(state, prior_mean)
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

    def refit(self, theta: Tensor, *, held: bool) -> tuple[Tensor, float, bool]:
        """The minimum from a start: parameters, value, and whether it converged."""
        value = self._density.value(theta)
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
            slope = self._density.slope(theta)
            for _ in range(_TRIES):
                step = self._step(state, slope, damping * float(state.precisions[0]), held)
                predicted = -0.5 * float(step @ slope)
                if predicted <= _DONE:
                    return theta, value, True
                there = self._density.value(theta + step)
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

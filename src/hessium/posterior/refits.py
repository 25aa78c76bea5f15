"""Refits of the parameters with one linear functional of them held at a value."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from hessium._typing import BoolArray, FloatArray
from hessium.curvature.jacobian_map import Jacobian
from hessium.posterior.factors import Factors
from hessium.posterior.lines import FAILURES
from hessium.posterior.measurements import measurements
from hessium.posterior.pivots import SHIFTED, Point, SignedRoot, point_of, signed_root
from hessium.posterior.refit_budget import Budget
from hessium.posterior.state import State
from hessium.progress import Progress, silent

_STEPS = 40  # of a refit
_TRIES = 16  # dampings of one step
_LIGHT = 1e-8  # first damping, relative; convergence is judged with no more
_DONE = 1e-5  # predicted decrease of the negative log-posterior at which a refit stops
_CHORDS = 12  # steps with the precision at the minimum
_HALVINGS = 3  # of one such step
_SMALL = 2000  # parameters up to which these are followed by steps with new factorisations
_FEW = 25  # of these
_NEAR = 5e-5  # predicted decrease at which such a refit stops
_NO_EFFECT = 1e-3  # of the noise, on all outputs
_ENOUGH = 2e-3  # and with which it has converged if no step is left: slow along curved valleys


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
        except FAILURES:
            return math.inf
        value = loss + 0.5 * self._alpha * float((theta - self._mean).square().sum())
        return value if math.isfinite(value) else math.inf

    def slope(self, theta: Tensor) -> Tensor:
        """Its gradient; NaN where it cannot be computed, which ends a refit."""
        try:
            risk = self._risk.at(theta)
            slope = risk.gradient() * risk.denominator / self._unit
        except FAILURES:
            return torch.full_like(theta, math.nan)
        return slope + self._alpha * (theta - self._mean)


def signed_roots(
    state: State,
    prior_mean: Tensor,
    directions: Tensor,
    lengths: FloatArray,
    t: float,
    z: float,
    budget: Budget,
    progress: Progress = silent,
) -> tuple[list[SignedRoot], BoolArray]:
    r"""Roots of the deviance on both sides of conditional paths.

    A path d = Q^{-1} g / s is how the parameters move with a functional g, Q the precision and s
    the standard deviation of g. From the minimum $\pm x d$ the other parameters are refitted by
    steps $-Q^{-1} \nabla\Phi$ without the part along d, which leave $g^T \theta$ as it is. Q is
    that of the minimum: no new factorisation, and few steps where the model is nearly linear.
    Farther refits start from the nearer one. If the refit without constraint does not converge, or
    ends more than 0.25 standard deviations away by its deviance, none has converged.

    Args:
        state: the posterior at the minimum.
        prior_mean: shape (P,).
        directions: paths d, (P, k).
        lengths: $\sqrt{d^T Q d}$ of each, (k,).
        t: standard deviations of the interval.
        z: root of the deviance of the farthest truth, see `pivots`.
        budget: of the factorisations; each path may use an equal part of what is left, the first
            ones first.
        progress: called with paths done and in all.

    Returns:
        The curve along each path; and whether the refits converged, (k,).

    Cost: two refits, or four to fourteen where the model is not linear, of at most 12 gradients and
    48 losses each; near linearity of one or two gradients. Where these steps do not converge and
    there are at most 2,000 parameters, at most 25 Levenberg-Marquardt steps follow, each with one
    factorisation of the Jacobian, one gradient and at most 16 losses, while the budget lasts.
    """
    density = NegativeLogPosterior(state, prior_mean)
    theta = state.factor.risk.theta
    start, lowest, settled = _refitted(state, density, theta, None)
    if not settled and math.isfinite(lowest) and len(theta) <= _SMALL:
        budget.share(len(lengths) + 1)
        refits = Refits(state, prior_mean, directions[:, 0])
        start, lowest, settled = refits.refit(
            start, held=False, budget=budget, steps=_FEW, near=_NEAR
        )
        # another minimum than that of the intervals
        settled &= 2 * (density.value(theta) - lowest) <= SHIFTED**2
    curves, converged = [], np.full(len(lengths), settled)
    for at, (d, length) in enumerate(zip(directions.unbind(1), lengths.tolist(), strict=True)):
        budget.share(len(lengths) - at)
        path = d.contiguous() / length
        solved = {0.0: start}

        def held(
            x: float, path: Tensor = path, solved: dict[float, Tensor] = solved
        ) -> Point | None:
            near = max((one for one in solved if one * x >= 0 and abs(one) < abs(x)), key=abs)
            there, value, done = _refitted(state, density, solved[near] + (x - near) * path, path)
            if not done and math.isfinite(value) and len(there) <= _SMALL:
                refits = Refits(state, prior_mean, _precision(state, path))
                there, value, done = refits.refit(
                    there, held=True, budget=budget, steps=_FEW, near=_NEAR
                )
            if not done:
                return None
            solved[x] = there
            slope = math.copysign(1.0, x) * float(path @ density.slope(there))
            return point_of(abs(x), 2 * (value - lowest), slope)

        curve, done = signed_root(held, t, z)
        curves.append(curve)
        converged[at] &= done
        progress(at + 1, len(lengths), "directions")
    return curves, converged


def bounded_after_all(
    state: State,
    prior_mean: Tensor,
    entries: Sequence[int],
    labels: Sequence[str],
    t: float,
    budget: Budget,
) -> tuple[str, ...]:
    r"""Undetermined parameters that have no effect at the estimate only.

    An effect may vanish where the estimate lies, as that of a rate whose logarithm ran off. A
    parameter whose move by $m = \max(1, |\theta_i|)$ changes the outputs by less than a thousandth
    of the noise to first order is moved by m either way and the others are refitted. If then
    $2(\Phi - \Phi_{min}) > t^2$, the data bound it. Of at most 2,000 parameters.

    A refit that the budget ends says nothing.
    """
    risk = state.factor.risk
    found: list[str] = []
    if len(risk.theta) > _SMALL:
        return ()
    lowest, J = (
        NegativeLogPosterior(state, prior_mean).value(risk.theta),
        Jacobian(risk, check=False),
    )
    budget.share(1)
    for entry, label in zip(entries, labels, strict=True):
        unit = torch.zeros_like(risk.theta)
        unit[entry] = 1.0
        far = max(1.0, abs(float(risk.theta[entry])))
        effect = state.factor.data.whiten((J @ unit)[:, None])
        if far * float(effect.norm()) > _NO_EFFECT * state.noise:
            continue
        refits = Refits(state, prior_mean, unit)
        for move in (-far, far):
            start = risk.theta + move * unit
            _, value, done = refits.refit(start, held=True, budget=budget, steps=_FEW)
            if not done and budget.spent:
                return tuple(found)
            if math.isfinite(value) and 2 * (value - lowest) > t**2:
                found.append(label)
                break
    return tuple(found)


def _refitted(
    state: State, density: NegativeLogPosterior, theta: Tensor, held: Tensor | None
) -> tuple[Tensor, float, bool]:
    """The minimum by steps with a fixed precision: parameters, value, and convergence."""
    value, predicted = density.value(theta), math.inf
    if not math.isfinite(value):
        return theta, value, False
    for _ in range(_CHORDS):
        slope = density.slope(theta)
        step = -state.solve(slope)
        if held is not None:
            step = step + held * float(held @ slope)
        predicted = -0.5 * float(step @ slope)
        if predicted <= _NEAR:
            return theta, value, True
        for _ in range(_HALVINGS + 1):
            there = density.value(theta + step)
            if there < value:
                theta, value = theta + step, there
                break
            step = step / 2
        else:
            break
    return theta, value, predicted <= _ENOUGH


def _precision(state: State, vector: Tensor) -> Tensor:
    """Q v; without a prior in the determined directions only."""
    along = state.factor.from_parameters(vector)
    kept = len(along) if state.prior_precision > 0 else state.rank.lower
    weights = np.zeros_like(along)
    weights[:kept] = along[:kept] * state.precisions[:kept]
    return state.factor.to_functionals(weights) + state.prior_precision * vector


class Refits:
    """Levenberg-Marquardt on the negative log-posterior, with one functional g held.

    Args:
        state: the posterior at the minimum.
        prior_mean: shape (P,).
        functional: g, shape (P,).
    """

    def __init__(self, state: State, prior_mean: Tensor, functional: Tensor) -> None:
        self._state, self._functional = state, functional
        self._density = NegativeLogPosterior(state, prior_mean)
        self._alpha = state.prior_precision

    def conditional_path(self, std: float) -> Tensor:
        """Change of the parameters by one standard deviation of the functional."""
        return self._state.solve(self._functional) / std

    def slope(self, theta: Tensor) -> Tensor:
        """Gradient of the negative log-posterior."""
        return self._density.slope(theta)

    def refit(
        self,
        theta: Tensor,
        *,
        held: bool,
        budget: Budget,
        steps: int = _STEPS,
        near: float = _DONE,
    ) -> tuple[Tensor, float, bool]:
        """The minimum from a start: parameters, value, and whether it converged.

        Args:
            theta: initial parameters.
            held: whether the functional keeps its value.
            budget: of the factorisations; without one left it has not converged.
            steps: at most so many.
            near: predicted decrease at which it stops.
        """
        value = self._density.value(theta)
        if not math.isfinite(value):
            return theta, value, False
        damping, predicted = _LIGHT, math.inf
        for _ in range(steps):
            if not budget.spend():
                return theta, value, False
            risk = self._state.factor.risk.at(theta)
            try:
                state = State(
                    factors=Factors(risk, measurements(risk), self._state.factor.max_bytes),
                    noise=self._state.noise, prior_precision=self._alpha, tol=self._state.tol,
                )  # fmt: skip
                largest = float(state.precisions[0])
            except FAILURES:  # J vanishes there, or cannot be computed
                return theta, value, False
            if not 0 < damping * largest < math.inf:
                return theta, value, False
            slope = self._density.slope(theta)
            # a step with much damping is short wherever it is taken
            light = self._step(state, slope, min(damping, _LIGHT) * largest, held)
            predicted = -0.5 * float(light @ slope)
            if predicted <= near:
                return theta, value, True
            for _ in range(_TRIES):
                step = self._step(state, slope, damping * largest, held)
                there = self._density.value(theta + step)
                if there < value:
                    theta, value = theta + step, there
                    damping = max(damping / 10, 1e-12)
                    break
                damping *= 10
            else:
                break
        return theta, value, predicted <= _ENOUGH

    def _step(self, state: State, slope: Tensor, damping: float, held: bool) -> Tensor:
        """Damped Gauss-Newton step; the functional that is held does not move."""
        step = -state.solve(slope, damping)
        if not held:
            return step
        g = self._functional
        column = state.solve(g, damping)
        return step - column * (float(g @ step) / float(g @ column))

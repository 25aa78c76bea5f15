"""Search for a critical point of given index: ascend along k modes, descend along the rest."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from hessium.landscape.levenberg_marquardt import LevenbergMarquardt
from hessium.landscape.objective import Surface
from hessium.landscape.trajectory import Finder, Stopping, Walk, negative, spread
from hessium.linalg.damped import eigensystem

_TRUST = 0.5  # of a step: the largest error of the linear model, in the norm of steps
_PATIENCE = 12  # steps without progress, after which k changes
_STALLS = 150  # steps without progress, after which the search ends


@dataclass(frozen=True, slots=True)
class _Modes:
    """Eigenvalues and eigenvectors of the Hessian at a place, and the gradient in them."""

    values: Tensor
    vectors: Tensor
    slopes: Tensor

    @property
    def index(self) -> int:
        return negative(self.values)


class Saddle(Finder):
    r"""Reflected Newton dynamics: ascent along some modes of the Hessian, descent along the rest.

    $$p = -\sum_i \frac{\langle v_i, g\rangle}{s_i (|\lambda_i| + \mu)} v_i, $$

    $s_i = -1$ for the k lowest modes, 1 for the rest: uphill along the former, downhill along the
    latter, so only critical points of index k attract; with the right signs this is Newton's
    method, and k = 0 is the saddle-free Newton method (Dauphin et al. 2014).

    A step is trusted while the linear model of the gradient holds **in the norm of steps**,
    $|M (g(\theta + p) - g - H p)| \le |p| / 2$ with M the matrix that makes p from -g. In the norm
    of gradients, stiff modes, which the next step corrects, would prevent progress in soft ones.

    If modes swap order near zero, the reflection oscillates and there may be no point of index k
    nearby: after some steps without progress k is set to the index of the present point, within
    `tolerance` of the target, and Levenberg-Marquardt is tried from there. At targets above a fifth
    of the dimension k also follows the index downwards at once: ascent along modes of positive
    curvature makes such networks diverge (for smaller targets it would abandon the target too
    early).

    The search stops as stalled if $|g|$ no longer decreases, or if steps have shrunk to rounding
    without progress, as at a kink.

    Args:
        index: target k.
        tolerance: accepted difference from the target.

    Cost of a step: one gradient, one dense Hessian and all its eigenvectors, in float32 until the
    gradient is a thousandth of its initial value.
    """

    name = "saddle"

    def __init__(self, index: int, tolerance: int = 0) -> None:
        self._target, self._tolerance = index, tolerance

    def _walk(self, surface: Surface, walk: Walk, gradient: Tensor, stopping: Stopping) -> None:
        """The start should have about the target index."""
        theta = walk.theta
        damping, k = walk.gradients[0] / (40 * spread(theta)), self._target
        best, waited, tried = math.inf, 0, math.inf
        while True:
            coarse = walk.gradients[-1] > 1e-3 * walk.gradients[0]
            modes = self._modes(surface, theta, gradient, coarse=coarse)
            best, waited = _progress(walk.gradients[-1], best, waited)
            if waited >= _PATIENCE and self._near(modes.index):
                if walk.gradients[-1] < 0.7 * tried:
                    tried = walk.gradients[-1]
                    finished = self._finish(surface, theta, stopping)
                    if finished is not None:
                        walk.go_on(finished)
                        return
                if modes.index != k:
                    k, best, waited = modes.index, walk.gradients[-1], 0
                    walk.switches += 1
            if self._target > surface.dim / 5:
                k = min(k, max(modes.index, self._target - self._tolerance))
            theta, gradient, damping = self._step(surface, theta, gradient, modes, k, damping)
            if not walk.arrive(theta, gradient, stopping):
                return
            if walk.stalls(_STALLS) or (waited >= _PATIENCE and walk.rests):
                walk.ended = "stuck"
                return

    def _near(self, index: int) -> bool:
        return abs(index - self._target) <= self._tolerance

    @staticmethod
    def _modes(surface: Surface, theta: Tensor, gradient: Tensor, *, coarse: bool) -> _Modes:
        values, vectors = eigensystem(surface.hessian(theta), coarse=coarse)
        return _Modes(values, vectors, vectors.mT @ gradient)

    @staticmethod
    def _step(
        surface: Surface, theta: Tensor, gradient: Tensor, modes: _Modes, k: int, damping: float
    ) -> tuple[Tensor, Tensor, float]:
        """Shorten the step until the linear model holds, and adapt the damping."""
        signs = torch.ones_like(modes.values)
        signs[:k] = -1
        for _ in range(60):
            scale = signs * (modes.values.abs() + damping)
            along = -modes.slopes / scale
            there = theta + modes.vectors @ along
            new = surface.gradient(there)
            error = modes.vectors.mT @ (new - gradient) - modes.values * along
            misfit = float((error / scale).norm() / along.norm())
            if misfit < _TRUST:
                break
            damping = 3 * max(damping, 1e-10 * float(modes.values.abs().max()))
        if misfit < _TRUST / 5:
            damping /= 4
        elif misfit < _TRUST / 2:
            damping /= 1.5
        return there, new, damping

    def _finish(self, surface: Surface, theta: Tensor, stopping: Stopping) -> Walk | None:
        """A short Levenberg-Marquardt search, if it ends at a zero of accepted index."""
        short = Stopping(gradient=stopping.gradient, steps=40, growth=stopping.growth)
        walk = LevenbergMarquardt(patience=12).find(surface, theta, short)
        if walk.ended != "gradient":
            return None
        index = negative(torch.linalg.eigvalsh(surface.hessian(walk.theta)))
        return walk if self._near(index) else None


def _progress(now: float, best: float, waited: int) -> tuple[float, int]:
    """The smallest gradient norm, and the steps since it last decreased by a tenth."""
    return (now, 0) if now < 0.9 * best else (best, waited + 1)

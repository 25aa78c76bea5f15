"""Levenberg-Marquardt on the gradient, with the exact Hessian as its Jacobian."""

from __future__ import annotations

from torch import Tensor

from hessium.landscape.objective import Surface
from hessium.landscape.trajectory import Finder, Stopping, Walk, half_square, spread
from hessium.linalg.damped import damped_solve


class LevenbergMarquardt(Finder):
    r"""Minimises $\tfrac12|g|^2$ by steps $p = -H (H^2 + \mu)^{-1} g$.

    Quadratic at non-degenerate critical points of any index. Like all methods that minimise $|g|$
    it stalls where g lies in the kernel of H.

    Args:
        patience: stop as stalled if $|g|$ has not decreased by a tenth in this many steps.

    Cost of a step: one gradient, one dense Hessian if it is accepted, and one factorisation, no
    eigenvalues (`damped_solve`).
    """

    name = "levenberg-marquardt"

    def __init__(self, patience: int = 60) -> None:
        self._patience = patience

    def _walk(self, surface: Surface, walk: Walk, gradient: Tensor, stopping: Stopping) -> None:
        """The damping follows the ratio of actual to predicted decrease (Nielsen 1999)."""
        theta, matrix = walk.theta, surface.hessian(walk.theta)
        # |g| has the size of the curvature times the distance, here four times the parameters';
        # where the zero is further away than that, a first step of such length
        slope = float(gradient.norm()) / (4 * spread(theta))
        damping, factor = slope * min(slope, float(matrix.norm())), 2.0
        least = 1e-30 * float(matrix.diagonal().square().max())
        while True:
            step = -damped_solve(matrix, gradient, damping)
            image = matrix @ step
            if not bool(image.any()):  # the gradient is in the kernel of H
                walk.ended = "stuck"
                return
            there = theta + step
            new = surface.gradient(there)
            ratio = _gain(gradient, new, image)
            if ratio > 1e-4:
                theta, gradient = there, new
                if not walk.arrive(theta, gradient, stopping):
                    return
                matrix = surface.hessian(theta)
                damping *= max(1 / 9, 1 - (2 * ratio - 1) ** 3) if ratio < 0.9 else 1 / 9
                damping, factor = max(damping, least), 2.0
            else:
                walk.arrive(theta, gradient, stopping)
                damping, factor = damping * factor, factor * 2
            if self._stuck(walk) or factor > 1e12:
                walk.ended = walk.ended or "stuck"
            if walk.ended:
                return

    def _stuck(self, walk: Walk) -> bool:
        if walk.steps < self._patience:
            return False
        return walk.gradients[-1] > 0.9 * walk.gradients[-1 - self._patience]


def _gain(gradient: Tensor, new: Tensor, image: Tensor) -> float:
    r"""Actual over predicted decrease of $\tfrac12|g|^2$, by the linear model $g + H p$.

    Both avoid the difference of two squares, which cancels once only soft modes remain. If the
    predicted decrease is below the rounding of $|g|^2$, the step is accepted unless $|g|$
    increased; otherwise the damping would grow without bound and soft modes would not converge.
    """
    now = half_square(gradient)
    predicted = -float(image @ gradient) - half_square(image)
    if predicted <= 1e-14 * now:
        return 1.0 if predicted > 0 and half_square(new) <= now else -1.0
    return float((gradient - new) @ (gradient + new)) / 2 / predicted

"""Gradient descent on the squared norm of the gradient, as published."""

from __future__ import annotations

from torch import Tensor

from hessium.landscape.objective import Surface
from hessium.landscape.trajectory import Finder, Stopping, Walk, backtrack, half_square


class GradientNorm(Finder):
    r"""Plain gradient descent on $\tfrac12|g|^2$, whose gradient is $H g$ (one Hessian product).

    This is the second half of the protocol of Pennington & Bahri (2017), who accept points at
    $|g|^2 \le 10^{-6}$. The step length, not stated there, is set by backtracking and may increase.
    On their networks it takes more than $10^4$ steps.

    Cost of a step: one product and about two gradients.
    """

    name = "gradient-norm"

    def _walk(self, surface: Surface, walk: Walk, gradient: Tensor, stopping: Stopping) -> None:
        theta, length = walk.theta, 1.0
        while not walk.ended:
            downhill = -(surface.operator(theta) @ gradient)
            surface.cost.products += 1
            found = backtrack(
                lambda there: half_square(surface.gradient(there)),
                theta,
                downhill,
                half_square(gradient),
                -float(downhill @ downhill),
                length=length,
            )
            if found is None:
                walk.ended = "stuck"
                break
            theta, _, length = found
            length *= 2
            gradient = surface.gradient(theta)
            walk.arrive(theta, gradient, stopping)

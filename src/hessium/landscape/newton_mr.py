"""Newton-MR: least-squares Newton steps from Hessian products alone, for larger models."""

from __future__ import annotations

from torch import Tensor

from hessium.landscape.objective import Surface
from hessium.landscape.trajectory import Finder, Stopping, Walk, backtrack, half_square
from hessium.linalg.minres import minres


class NewtonMR(Finder):
    r"""Steps $p \approx -H^+ g$ of least norm, and backtracking on $\tfrac12|g|^2$.

    Roosta et al. (2018): any descent of the residual $|Hp + g|$ is a descent direction of the
    merit, so H may be indefinite or singular. It stalls where g is in the kernel of H.

    Args:
        tol: relative residual at which a linear solve stops, far from convergence; it decreases
            with the gradient, so that convergence becomes superlinear.
        products: largest number of Hessian products per step.
        patience: of `Walk.stalls`.
    """

    name = "newton-mr"

    def __init__(self, tol: float = 1e-2, products: int = 200, patience: int = 40) -> None:
        self._tol, self._products, self._patience = tol, products, patience

    def _walk(self, surface: Surface, walk: Walk, gradient: Tensor, stopping: Stopping) -> None:
        theta, first = walk.theta, float(gradient.norm())
        while not walk.ended:
            operator = surface.operator(theta)
            tol = min(self._tol, walk.gradients[-1] / first) if first else self._tol
            solved = minres(operator, -gradient, tol=max(tol, 1e-12), steps=self._products)
            surface.cost.products += solved.num_matvecs + 1
            slope = float(gradient @ (operator @ solved.solution))
            if not slope < 0:
                walk.ended = "stuck"
                break
            found = backtrack(
                lambda there: half_square(surface.gradient(there)),
                theta,
                solved.solution,
                half_square(gradient),
                slope,
            )
            if found is None:
                walk.ended = "stuck"
                break
            theta = found[0]
            gradient = surface.gradient(theta)
            if walk.arrive(theta, gradient, stopping) and walk.stalls(self._patience):
                walk.ended = "stuck"

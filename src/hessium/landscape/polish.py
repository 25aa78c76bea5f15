"""Newton's method down to the rounding error of the gradient."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from hessium.errors import NonFiniteError
from hessium.landscape.noise_floor import LocalModel, hessian_rounding, local_model
from hessium.landscape.objective import Surface
from hessium.landscape.trajectory import Walk

_LEFT = 0.25  # of the gradient after a Newton step, where h <= 1/2; at a multiple zero more is left


def polish(
    surface: Surface, walk: Walk, draws: Float[Tensor, "k n"]
) -> tuple[LocalModel, Float[Tensor, " n"]]:
    """Newton steps from the end of a search, until one leaves more than a quarter of the gradient.

    Each gradient component is compared with its own rounding error: relative to the norm of the
    gradient, rounding in stiff modes would hide that soft modes have not converged. A quarter is
    left where the Newton-Kantorovich theorem just holds (Deuflhard 2011, section 2.1).

    Args:
        surface: the function.
        walk: the search.
        draws: standard normal.

    Returns:
        The last point, and the scales of its parameters.

    Cost: 3 Hessians, and one with eigenvectors a step.
    """
    lengths = surface.lengths(walk.theta, walk.start)
    relative = hessian_rounding(surface, walk.theta, lengths, draws[0])
    local = local_model(surface, walk.theta, lengths, relative, draws)
    while True:
        theta = local.theta + local.newton_step()
        ahead = surface.lengths(theta, walk.start)
        try:
            new = local_model(surface, theta, ahead, relative, draws)
        except NonFiniteError:
            return local, lengths
        rounding = float(local.floors.norm())
        before, left = _left(local), _left(new)
        if not (left < before and new.norm <= local.norm + rounding):
            return local, lengths
        local, lengths = new, ahead
        if left > _LEFT * before:
            return local, lengths


def _left(local: LocalModel) -> float:
    """Gradient that a Newton step can still remove, in units of its rounding error."""
    return float(local.excess[local.curved].norm())

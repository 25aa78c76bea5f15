"""Newton's method down to the rounding error of the gradient."""

from __future__ import annotations

import itertools

from jaxtyping import Float
from torch import Tensor

from hessium.errors import NonFiniteError
from hessium.landscape.kantorovich import LARGEST_H
from hessium.landscape.noise_floor import LocalModel, hessian_rounding, local_model
from hessium.landscape.objective import Surface
from hessium.landscape.trajectory import Walk

_FREE = 4  # Newton steps; further ones only while each leaves what the theorem allows


def polish(
    surface: Surface, walk: Walk, draws: Float[Tensor, "k n"]
) -> tuple[LocalModel, Float[Tensor, " n"]]:
    """Newton steps from the end of a search, while they reduce the gradient.

    Each component is compared with its own rounding error: relative to the norm of the gradient,
    rounding in stiff modes would hide that soft modes have not converged. From the fifth step on
    each must leave at most h/2 of the gradient, h = 1/4, as Newton steps do where the
    Newton-Kantorovich theorem holds (Deuflhard 2011, section 2.1): at multiple zeros none does.

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
    for taken in itertools.count(1):
        theta = local.theta + local.newton_step()
        ahead = surface.lengths(theta, walk.start)
        try:
            new = local_model(surface, theta, ahead, relative, draws)
        except NonFiniteError:
            break
        rounding = float(local.floors.norm())
        before, left = _left(local), _left(new)
        if not (left < before and new.norm <= local.norm + rounding):
            break
        local, lengths = new, ahead
        if taken > _FREE and left > LARGEST_H / 2 * before:
            break
    return local, lengths


def _left(local: LocalModel) -> float:
    """Gradient that a Newton step can still remove, in units of its rounding error."""
    return float(local.excess[local.curved].norm())

"""Test for a kink: whether gradient or Hessian are discontinuous at a point."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from hessium.errors import NonFiniteError
from hessium.landscape.noise_floor import LocalModel, hessian_rounding, norm_of, ulps
from hessium.landscape.objective import Surface

_STUCK = 1e-7  # of |theta|: a search that stopped at a kink stopped within this distance of it


def kinked(
    surface: Surface,
    local: LocalModel,
    lengths: Float[Tensor, " n"],
    draws: Float[Tensor, " n"],
) -> bool:
    r"""Whether gradient or Hessian are discontinuous at a point, as in ReLU networks.

    At distance h, $|H(\theta \pm h u) - H(\theta)|$ is proportional to h where third derivatives
    exist, $|g(\theta \pm h u) - g(\theta) \mp h H u|$ to its square. Both are evaluated for a
    random u and two h, which are as small as rounding allows at a zero of the gradient, and at
    least 1e-7 of the parameters if a search stalled. At a kink they do not decrease with h.

    Args:
        surface: the function.
        local: the point.
        lengths: scales of the parameters.
        draws: standard normal.

    Cost: 7 Hessians, 4 gradients.
    """
    here = local.hessian
    units = ulps(local.theta, lengths) * draws
    near = max(3 * local.blur(), 1e3 * float(units.norm()))
    if float(local.excess.max()) > 1:
        near = max(near, _STUCK * float(lengths.norm()))
    move = lengths * draws * (near / float((lengths * draws).norm()))
    bends, jumps = [], []
    try:
        # beside the point: at a kink the second difference of the Hessian is not rounding
        relative = hessian_rounding(surface, local.theta + 3 * move, lengths, draws)
        for far in (10.0, 1.0):
            step = far * move
            sides = (step, -step)
            slopes = [surface.gradient(local.theta + s) - local.gradient for s in sides]
            bends.append(
                max(float((d - here @ s).norm()) for d, s in zip(slopes, sides, strict=True))
            )
            jumps.append(max(norm_of(surface.hessian(local.theta + s) - here) for s in sides))
    except NonFiniteError:
        return False
    noise = 30 * relative * local.scale + local.resolution
    return (jumps[1] > noise and jumps[1] > jumps[0] / 2) or (
        bends[1] > 10 * float(local.floors.norm()) and bends[1] > bends[0] / 2
    )

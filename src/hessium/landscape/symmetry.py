"""Zero eigenvalues due to a manifold of critical points."""

from __future__ import annotations

from torch import Tensor

from hessium.errors import NonFiniteError
from hessium.landscape.noise_floor import LocalModel, local_model
from hessium.landscape.objective import Surface
from hessium.linalg.damped import eigensystem, pseudo_solve

_LENGTH = 0.5  # |theta|, walked both ways: a shorter valley counts as a manifold
_STRIDE = 2e-2  # |theta|, the first one; doubled if Newton's method returns, else divided by 4
_STRIDES = 12  # tried on each walk


def on_manifold(
    surface: Surface, local: LocalModel, zero: Tensor, start: Tensor, lengths: Tensor, draws: Tensor
) -> bool:
    r"""Whether some modes are all tangent to a manifold of critical points.

    Moves along a random combination of them, by half the norm of the parameters in both directions,
    and back to the start of the search if that is further. After each stride Newton steps in the
    other modes return to zero gradient. At the furthest point from which these converge, a manifold
    again has no gradient component above rounding and equally many zero modes. This fails at a
    degenerate point such as the zero of $x^3$, along a mode of tiny curvature, and far out in a
    valley to infinity.

    Args:
        surface: the function.
        local: a critical point, at rounding level.
        zero: which modes.
        start: start of the search.
        lengths: of the parameters.
        draws: standard normal, shape (k, n).

    Cost: 2 to 5 Hessians with eigenvectors for each stride, 5 to 12 strides for each walk.
    """
    basis = local.vectors[:, zero]
    size = float(lengths.norm())
    random = basis @ (basis.mT @ (lengths * draws[0]))
    random *= _LENGTH * size / float(random.norm())
    walks = [random, -random]
    back = basis @ (basis.mT @ (start - local.theta))
    if float(back.norm()) > _LENGTH * size:
        walks.append(0.99 * back)
    try:
        return all(_zero_again(surface, local, zero, walk, lengths, draws) for walk in walks)
    except NonFiniteError:
        return False


def _zero_again(
    surface: Surface, local: LocalModel, zero: Tensor, walk: Tensor, lengths: Tensor, draws: Tensor
) -> bool:
    """Walk; compare the numbers of negative and zero modes where it ends."""
    count, size = int(zero.sum()), float(lengths.norm())
    here, free = local.theta, local.vectors[:, zero]
    left, stride = float(walk.norm()), _STRIDE * size
    for _ in range(_STRIDES):
        along = free @ (free.mT @ walk)
        length = min(stride, left)
        there = here + length * along / float(along.norm())
        returned = _returned(surface, there, length, size, local.cut, count)
        if returned is None:
            stride /= 4
            continue
        here, free = returned
        left, stride = left - length, 2 * stride
        if left <= 0:
            break
    if here is local.theta:
        return False
    found = local_model(surface, here, lengths, 0.0, draws[:4])
    flat = found.values.abs() <= 10 * local.cut * found.scale / local.scale
    return (
        float(found.excess.max()) <= 1
        and int(flat.sum()) == count
        and int((found.values[~flat] < 0).sum()) == int((local.values[~zero] < 0).sum())
    )


def _returned(
    surface: Surface, here: Tensor, length: float, size: float, cut: float, count: int
) -> tuple[Tensor, Tensor] | None:
    """Newton steps across, and the zero modes where they end; None if further than the stride."""
    began = here
    for _ in range(6):
        values, vectors = eigensystem(surface.hessian(here))
        step = pseudo_solve(values, vectors, surface.gradient(here), cut, drop=count)
        here = here - step
        if not float((here - began).norm()) <= length / 2:
            return None
        if float(step.norm()) <= 1e-10 * size:
            return here, vectors[:, values.abs().argsort()[:count]]
    return None

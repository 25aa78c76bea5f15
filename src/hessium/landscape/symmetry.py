"""Zero eigenvalues that belong to a whole manifold of critical points."""

from __future__ import annotations

import torch
from torch import Tensor

from hessium.landscape.surface import Surface
from hessium.linalg.damped import eigensystem

_ZERO = 1e-10  # of the largest |eigenvalue|: what a pseudo-inverse leaves out
_WALK = 1e-2  # relative length of the walk


def pseudo_solve(values: Tensor, vectors: Tensor, vector: Tensor, *, drop: int = 0) -> Tensor:
    """$H^+ b$ from the eigensystem of H.

    Args:
        values: eigenvalues.
        vectors: eigenvectors, in columns.
        vector: b.
        drop: leave out at least so many modes, those of least size.
    """
    size = values.abs()
    kept = size > _ZERO * size.max()
    if drop:
        kept[size.argsort()[:drop]] = False
    along = torch.where(kept, (vectors.mT @ vector) / torch.where(kept, values, 1.0), 0.0)
    return vectors @ along


def on_manifold(
    surface: Surface,
    theta: Tensor,
    values: Tensor,
    vectors: Tensor,
    threshold: float,
    size: float,
    draws: Tensor,
) -> bool:
    r"""Whether all modes within the threshold are tangent to a manifold of critical points.

    Walks a hundredth of `size` along a random combination of them, returns to zero gradient by
    Newton steps in the other modes, and looks: on a manifold the gradient vanishes there too, with
    as many zero modes; at a merely degenerate point, such as the zero of $x^3$, it does not.

    Args:
        surface: the function.
        theta: a critical point, at the floor.
        values: eigenvalues there.
        vectors: eigenvectors there.
        threshold: size of zero.
        size: of the parameters, at the point or where the search began.
        draws: standard normal, shape (n,).

    Cost: at most 8 Hessians with eigenvectors.
    """
    zero = values.abs() <= threshold
    count = int(zero.sum())
    tangent = vectors[:, zero] @ (vectors[:, zero].mT @ draws)
    length = _WALK * size
    here = theta + length * tangent / float(tangent.norm())
    scale = float(values.abs().max())
    floor = 1e3 * torch.finfo(torch.float64).eps * scale * max(float(here.norm()), length)
    for _ in range(8):
        now, basis = eigensystem(surface.hessian(here))
        gradient = surface.gradient(here)
        if float(gradient.norm()) <= floor:
            same = int((now.abs() <= 10 * threshold).sum()) == count
            return same and int((now < -threshold).sum()) == int((values < -threshold).sum())
        here = here - pseudo_solve(now, basis, gradient, drop=count)
    return False

"""Zero eigenvalues that belong to a whole manifold of critical points."""

from __future__ import annotations

import torch
from torch import Tensor

from hessium.landscape.rounding import Place, gradient_rounding
from hessium.landscape.surface import Surface
from hessium.linalg.damped import eigensystem

_WALK = 1e-2  # relative length of the walk


def pseudo_solve(
    values: Tensor, vectors: Tensor, vector: Tensor, cut: float, *, drop: int = 0
) -> Tensor:
    """$H^+ b$ from the eigensystem of H.

    Args:
        values: eigenvalues.
        vectors: eigenvectors, in columns.
        vector: b.
        cut: eigenvalues of this size and less are left out.
        drop: leave out at least so many modes, those of least size.
    """
    size = values.abs()
    kept = size > cut
    if drop:
        kept[size.argsort()[:drop]] = False
    along = torch.where(kept, (vectors.mT @ vector) / torch.where(kept, values, 1.0), 0.0)
    return vectors @ along


def on_manifold(
    surface: Surface, place: Place, threshold: float, size: float, draws: Tensor
) -> bool:
    r"""Whether all modes within the threshold are tangent to a manifold of critical points.

    Walks a hundredth of `size` along a random combination of them, returns to zero gradient by
    Newton steps in the other modes, and looks: on a manifold the gradient vanishes there too, to
    the rounding measured there, with as many zero modes; at a merely degenerate point, such as the
    zero of $x^3$, or along a mode of tiny curvature it does not.

    Args:
        surface: the function.
        place: a critical point, at the floor.
        threshold: size of zero.
        size: of the parameters, at the point or where the search began.
        draws: standard normal, shape (k, n).

    Cost: at most 8 Hessians with eigenvectors, and two gradients a draw.
    """
    values, vectors = place.values, place.vectors
    zero = values.abs() <= threshold
    count = int(zero.sum())
    tangent = vectors[:, zero] @ (vectors[:, zero].mT @ draws[0])
    here = place.theta + _WALK * size * tangent / float(tangent.norm())
    for _ in range(8):
        now, basis = eigensystem(surface.hessian(here))
        gradient = surface.gradient(here)
        rounding = gradient_rounding(surface, here, size, draws[:4])
        error = float(rounding.norm(dim=1).max())
        least = 4 * torch.finfo(torch.float64).eps * place.scale * size
        if float(gradient.norm()) <= max(16 * error, least):
            same = int((now.abs() <= 10 * threshold).sum()) == count
            return same and int((now < -threshold).sum()) == int((values < -threshold).sum())
        here = here - pseudo_solve(now, basis, gradient, place.cut, drop=count)
    return False

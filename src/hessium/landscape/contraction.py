"""Contraction of Newton's method near a point, and a test for kinks."""

from __future__ import annotations

from itertools import dropwhile, pairwise

from torch import Tensor

from hessium.errors import NonFiniteError
from hessium.landscape.noise_floor import Place, hessian_rounding, norm_of, ulps
from hessium.landscape.objective import Surface
from hessium.linalg.damped import eigensystem, pseudo_solve

_FIRST = 1e-2  # relative distances from which Newton's method may come back
_USUAL = 1e-5  # where it is first asked to
_CLEAR = 30.0  # times the blur: distances that rounding does not hide
_STUCK = 1e-7  # relative distance within which a search got stuck at a kink
_BACK = 0.1  # of the distance: what may be left of it


def contraction(
    surface: Surface, place: Place, lengths: Tensor, zeros: int, draws: Tensor
) -> tuple[tuple[float, ...], float]:
    """Contraction factors of Newton steps from a random nearby point, and its relative distance.

    The distance is the largest, from 1e-5 down, from which the steps contract quadratically **to
    the given point**; 0 if there is none. Larger distances are used if the rounding error of the
    point exceeds them. No factors are returned if it exceeds all distances.

    Args:
        surface: the function.
        place: a zero of its gradient, with derivatives.
        lengths: of the parameters.
        zeros: number of modes that belong to a symmetry; Newton steps exclude them.
        draws: standard normal, shape (n,).

    Cost: up to 8 Hessians with eigenvectors for each distance; 3 where the first one contracts.
    """
    kept = place.curved.clone()
    kept[place.values.abs().argsort()[:zeros]] = False
    move = lengths * draws * float(lengths.norm() / (lengths * draws).norm())
    length = float(move.norm())
    blur = place.blur(kept)
    clear = [d for k in range(12) if (d := _FIRST * 10.0**-k) * length > _CLEAR * blur]
    asked = [d for d in clear if d <= _USUAL * 1.1] or clear[-1:]
    factors: tuple[float, ...] = ()
    for distance in asked:
        away = place.theta + distance * move
        try:
            factors, end = _newton(surface, away, blur, place.cut, zeros)
        except NonFiniteError:
            continue
        left = float((place.vectors.mT @ (end - place.theta))[kept].norm())
        if quadratic(factors) and left <= max(_BACK * distance * length, 3 * blur):
            return factors, distance
    return factors, 0.0


def quadratic(factors: tuple[float, ...]) -> bool:
    """Whether all factors are at most one, and finally each the square of the last, to 1 %."""
    late = list(dropwhile(lambda factor: factor > 0.1, factors))
    return (
        bool(late)
        and max(factors) <= 1
        and late[-1] <= 1e-2
        and all(b <= max(30 * a**1.5, 1e-2) for a, b in pairwise(late))
    )


def kinked(surface: Surface, place: Place, lengths: Tensor, draws: Tensor) -> bool:
    r"""Whether gradient or Hessian are discontinuous at a point, as in ReLU networks.

    At distance h, $|H(\theta \pm h u) - H(\theta)|$ is proportional to h where third derivatives
    exist, $|g(\theta \pm h u) - g(\theta) \mp h H u|$ to its square. Both are evaluated for a
    random u and two h, which are as small as rounding allows at a zero of the gradient, and 1e-7 of
    the parameters if a search stalled. At a kink they do not decrease with h.

    Cost: 7 Hessians.
    """
    here = (place.vectors * place.values) @ place.vectors.mT
    sure = place.values.abs() > place.sure
    units = ulps(place.theta, lengths) * draws
    near = max(3 * place.blur(sure), 1e3 * float(units.norm()))
    if float(place.excess.max()) > 1:
        near = max(near, _STUCK * float(lengths.norm()))
    move = lengths * draws * (near / float((lengths * draws).norm()))
    bends, jumps = [], []
    try:
        # of the rounding itself one must not ask at the kink
        relative = hessian_rounding(surface, place.theta + 3 * move, lengths, draws)
        for far in (10.0, 1.0):
            step = far * move
            sides = (step, -step)
            slopes = [surface.gradient(place.theta + s) - place.gradient for s in sides]
            bends.append(
                max(float((d - here @ s).norm()) for d, s in zip(slopes, sides, strict=True))
            )
            jumps.append(max(norm_of(surface.hessian(place.theta + s) - here) for s in sides))
    except NonFiniteError:
        return False
    noise = 30 * relative * place.scale + place.sure
    return (jumps[1] > noise and jumps[1] > jumps[0] / 2) or (
        bends[1] > 10 * float(place.floors.norm()) and bends[1] > bends[0] / 2
    )


def _newton(
    surface: Surface, here: Tensor, blur: float, cut: float, drop: int
) -> tuple[tuple[float, ...], Tensor]:
    """Ratios of the lengths of successive Newton steps, down to rounding; and the last point.

    Steps rather than gradients: in a degenerate direction the gradient is below rounding long
    before the linear convergence of the steps is visible.
    """
    lengths: list[float] = []
    while len(lengths) < 8:
        values, vectors = eigensystem(surface.hessian(here))
        step = pseudo_solve(values, vectors, surface.gradient(here), cut, drop=drop)
        lengths.append(float(step.norm()))
        here = here - step
        if lengths[-1] <= blur:
            break
    return tuple(b / a for a, b in pairwise(lengths) if a > 0), here

"""Newton's method beside a point: does it come back, how fast, and is there a kink?"""

from __future__ import annotations

from itertools import dropwhile, pairwise

from torch import Tensor

from hessium.landscape.rounding import Place
from hessium.landscape.surface import Surface
from hessium.landscape.symmetry import pseudo_solve
from hessium.linalg.damped import eigensystem

# relative distances from which Newton's method may come back, the last two where much is blurred
_NEAR = (1e-5, 1e-6, 1e-7, 1e-8, 1e-4, 1e-3)
_USUAL = 4
_BESIDE = (1e-6, 1e-7)  # relative distances at which Hessians are compared
_JUMP = 1e-7  # of |H|


def contraction(
    surface: Surface, place: Place, size: float, zeros: int, draws: Tensor
) -> tuple[tuple[float, ...], float]:
    """Factors of Newton steps from a random point nearby, and its relative distance.

    The first distance from which they contract quadratically; the last one where none does; none
    and 0 where rounding blurs the place itself too much for any.

    Args:
        surface: the function.
        place: a zero of its gradient.
        size: of the parameters.
        zeros: how many modes belong to a symmetry; Newton's method leaves them alone.
        draws: standard normal, shape (n,).

    Cost: up to 8 Hessians with eigenvectors for each distance; 3 where the first one contracts.
    """
    blur = place.blur(zeros)
    clear = [distance for distance in _NEAR if distance * size > 10 * blur]
    factors: tuple[float, ...] = ()
    distance = 0.0
    for distance in clear[:_USUAL]:
        here = place.theta + distance * size * draws / float(draws.norm())
        factors = _newton_factors(surface, here, blur, place.cut, zeros)
        if quadratic(factors):
            break
    return factors, distance


def quadratic(factors: tuple[float, ...]) -> bool:
    """From some step on each factor at most about the square of the one before, to 1 % or less."""
    late = list(dropwhile(lambda factor: factor > 0.1, factors))
    return (
        bool(late)
        and late[-1] <= 1e-2
        and all(b <= max(30 * a**1.5, 1e-2) for a, b in pairwise(late))
    )


def kinked(surface: Surface, place: Place, size: float, draws: Tensor) -> bool:
    r"""Whether the Hessian jumps beside a point, as that of a ReLU network may.

    $|H(\theta \pm h u) - H(\theta)|$ is proportional to h where third derivatives exist; here it
    is looked at for a random u and two h, and does not shrink with h at a kink.

    Cost: 4 Hessians.
    """
    here = (place.vectors * place.values) @ place.vectors.mT
    jumps = []
    for distance in _BESIDE:
        move = distance * size * draws / float(draws.norm())
        beside = (surface.hessian(place.theta + sign * move) for sign in (1, -1))
        jumps.append(max(float((matrix - here).norm()) for matrix in beside))
    far, near = jumps
    return near > _JUMP * place.scale and near > far / 2


def _newton_factors(
    surface: Surface, here: Tensor, blur: float, cut: float, drop: int
) -> tuple[float, ...]:
    """Lengths of successive Newton steps, each over the one before, down to rounding.

    Lengths of steps, not of gradients: in a degenerate direction the gradient is lost in rounding
    long before the steps betray that they only shrink by a constant.
    """
    lengths: list[float] = []
    while len(lengths) < 8:
        values, vectors = eigensystem(surface.hessian(here))
        step = pseudo_solve(values, vectors, surface.gradient(here), cut, drop=drop)
        lengths.append(float(step.norm()))
        if lengths[-1] <= blur:
            break
        here = here - step
    return tuple(b / a for a, b in pairwise(lengths) if a > 0)

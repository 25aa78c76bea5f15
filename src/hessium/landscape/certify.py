"""Run to the floor of floating point, then judge: the four kinds of points."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import dropwhile, pairwise

import torch
from torch import Tensor

from hessium.estimate import Count
from hessium.landscape.point import Certificate, Kind
from hessium.landscape.surface import Surface
from hessium.landscape.symmetry import on_manifold, pseudo_solve
from hessium.landscape.walk import Walk
from hessium.linalg.damped import eigensystem
from hessium.measure import DiscreteMeasure

FLAT = 1e-7  # of kappa; methods that compare |g|^2 resolve it to the root of epsilon, 1.5e-8
_FLOOR = 256 * torch.finfo(torch.float64).eps  # of |g| / (|H| |theta|)
_ROUNDING = 8 * torch.finfo(torch.float64).eps  # of H theta, entry by entry
_SIGN = 1e-10  # of the largest |eigenvalue|: a thousand times what rounding moves it
_NEAR = (1e-5, 1e-6, 1e-7, 1e-8)  # relative distances from which Newton's method may come back
_MOVED = 0.1  # a critical point further away than this is another one
_POLISH = 12
_OPEN = 1e-2  # of |theta|: a Newton step of that length ends somewhere else
_GROWS = 1.02  # in the second half of a search


@dataclass(frozen=True, slots=True)
class Judged:
    """A point at the floor, with its kind and spectrum."""

    theta: Tensor
    gradient: float
    kind: Kind
    index: Count
    certificate: Certificate
    spectrum: DiscreteMeasure


def certify(surface: Surface, walk: Walk, draws: Tensor) -> Judged:
    r"""Polish the end of a walk by Newton's method and say what it is.

    A point is **critical** if its gradient is at the floor, its Newton step is negligible, the
    polishing hardly moved it, and Newton's method started beside it comes back quadratically. It is
    **gradient-flat** if the gradient stays above the floor inside the kernel of the Hessian,
    **diverging** if the parameters still grow, and **unconverged** otherwise.

    Args:
        surface: the function.
        walk: where a finder ended.
        draws: standard normal, shape (n,): the direction of the contraction test.

    Cost: a dense Hessian with all eigenvectors for each Newton step, 5 to 20 in all.
    """
    theta, gradient, values, vectors = _polish(surface, walk.theta)
    scale = float(values.abs().max())
    size = max(float(theta.norm()), walk.radii[0], torch.finfo(torch.float64).tiny)
    norm = float(gradient.norm())
    relative = norm / (scale * size) if scale else (math.inf if norm else 0.0)
    moved = float((theta - walk.theta).norm()) / size
    image = float((values * (vectors.mT @ gradient)).norm())
    flatness = image / (scale * norm) if norm and scale else 0.0
    shift = _shift(surface, theta, pseudo_solve(values, vectors, gradient), vectors, values)
    threshold = max(_SIGN * scale, shift)
    zeros = int((values.abs() <= threshold).sum())
    growth = walk.radii[-1] / max(walk.radii[len(walk.radii) // 2], 1e-300)
    at_floor = relative <= _FLOOR
    contraction: tuple[float, ...] = ()
    near = 0.0
    symmetric = 0
    if at_floor:
        if zeros and on_manifold(surface, theta, values, vectors, threshold, size, draws):
            symmetric = zeros
        contraction, near = _contraction(surface, theta, size, symmetric, draws)
    # without the pseudo-inverse's cut: a zero at infinity must look as far as it is
    sizes = values.abs().clamp_min(1e-30 * scale)
    along = (vectors.mT @ gradient) / sizes
    if symmetric:
        along[sizes.argsort()[:symmetric]] = 0.0
    distance = float(along.norm()) / size
    # a mode whose curvature stands above rounding belongs to no manifold: its step must be small
    rounding = 4 * values.numel() * torch.finfo(torch.float64).eps * scale
    soft = (vectors.mT @ gradient)[values.abs() > rounding] / values[values.abs() > rounding]
    open_ = float(soft.norm()) / size
    kind, reason = _kind(
        relative, flatness, distance, open_, moved, contraction, growth, walk, zeros - symmetric
    )
    low, high = int((values < -threshold).sum()), int((values < threshold).sum())
    upper = high - symmetric
    middle = min(max(int((values < 0).sum()) - symmetric, low), upper) if symmetric else None
    best = int((values < 0).sum()) if middle is None else middle
    return Judged(
        theta=theta,
        gradient=norm,
        kind=kind,
        index=Count(value=best, lower=low, upper=upper),
        certificate=Certificate(
            gradient=norm,
            relative_gradient=relative,
            flatness=flatness,
            newton_step=distance,
            moved=moved,
            contraction=contraction,
            contraction_distance=near,
            growth=growth,
            threshold=threshold,
            symmetry_zeros=symmetric,
            reason=reason,
        ),
        spectrum=DiscreteMeasure.uniform(values.cpu().numpy()),
    )


def _polish(surface: Surface, theta: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Newton steps for as long as they shrink the gradient; the last place and its eigensystem."""
    gradient = surface.gradient(theta)
    values, vectors = eigensystem(surface.hessian(theta))
    for _ in range(_POLISH):
        there = theta - pseudo_solve(values, vectors, gradient)
        new = surface.gradient(there)
        if not float(new.norm()) < float(gradient.norm()):
            break
        theta, gradient = there, new
        values, vectors = eigensystem(surface.hessian(theta))
    return theta, gradient, values, vectors


def _shift(surface: Surface, theta: Tensor, step: Tensor, vectors: Tensor, values: Tensor) -> float:
    r"""$|H(\theta + p) - H(\theta)|$: by Weyl no eigenvalue moves more on the way to the zero."""
    there = theta - step
    if not bool(torch.isfinite(there).all()):
        return math.inf
    change = surface.hessian(there) - (vectors * values) @ vectors.mT
    return float(torch.linalg.matrix_norm(change, 2))


def _contraction(
    surface: Surface, theta: Tensor, size: float, zeros: int, draws: Tensor
) -> tuple[tuple[float, ...], float]:
    """Factors of Newton steps from a random point nearby, and its relative distance.

    The largest distance from which they contract quadratically; the least one where none does.
    """
    factors: tuple[float, ...] = ()
    for distance in _NEAR:
        here = theta + distance * size * draws / float(draws.norm())
        factors = _newton_factors(surface, here, size, zeros)
        if _quadratic(factors):
            return factors, distance
    return factors, _NEAR[-1]


def _newton_factors(surface: Surface, here: Tensor, size: float, drop: int) -> tuple[float, ...]:
    """Lengths of successive Newton steps, each over the one before, down to rounding.

    Lengths of steps, not of gradients: in a degenerate direction the gradient is lost in rounding
    long before the steps betray that they only shrink by a constant.
    """
    lengths: list[float] = []
    while len(lengths) < 8:
        values, vectors = eigensystem(surface.hessian(here))
        step = pseudo_solve(values, vectors, surface.gradient(here), drop=drop)
        lengths.append(float(step.norm()))
        rounding = _ROUNDING * size * float(values.abs().max() / _least(values, drop))
        if lengths[-1] <= rounding:
            break
        here = here - step
    return tuple(b / a for a, b in pairwise(lengths) if a > 0)


def _least(values: Tensor, drop: int) -> Tensor:
    """The least size of an eigenvalue, the `drop` smallest left out; not zero."""
    size = values.abs().sort().values
    return size[min(drop, len(size) - 1)].clamp_min(1e-10 * float(size[-1]))


def _quadratic(contraction: tuple[float, ...]) -> bool:
    """From some step on each factor at most about the square of the one before, to 1 % or less."""
    late = list(dropwhile(lambda factor: factor > 0.1, contraction))
    return (
        bool(late)
        and late[-1] <= 1e-2
        and all(b <= max(30 * a**1.5, 1e-2) for a, b in pairwise(late))
    )


def _kind(
    relative: float,
    flatness: float,
    distance: float,
    open_: float,
    moved: float,
    contraction: tuple[float, ...],
    growth: float,
    walk: Walk,
    zeros: int,
) -> tuple[Kind, str]:
    if relative <= _FLOOR:
        if moved > _MOVED:
            return "unconverged", (
                f"Newton's method finds a critical point only {moved:.2g} |theta| away from where "
                "the search ended"
            )
        if open_ > _OPEN:
            kind: Kind = "diverging" if growth > _GROWS else "unconverged"
            return kind, (
                f"the gradient is at the floor, but along its softest directions Newton's method "
                f"would go {open_:.2g} |theta|"
            )
        if _quadratic(contraction):
            factors = ", ".join(f"{factor:.1g}" for factor in contraction)
            return "critical", f"gradient at the floor, Newton contracts by {factors}"
        if growth > _GROWS:
            return "diverging", f"the gradient fades as |theta| grows, {growth:.3g} times so far"
        return "unconverged", "gradient at the floor, but Newton does not contract quadratically"
    if walk.ended == "runs away" or (growth > _GROWS and distance > 1e-2):
        return "diverging", f"|theta| grew {growth:.3g} times in the second half of the search"
    if flatness <= FLAT:
        return "gradient-flat", (
            f"the gradient is in the kernel of the Hessian: |Hg| = {flatness:.1g} |H| |g|"
        )
    return "unconverged", (
        f"|g| = {relative:.1g} |H| |theta| after {walk.steps} steps, Newton step {distance:.1g} "
        f"|theta|, {zeros} eigenvalues without sign"
    )

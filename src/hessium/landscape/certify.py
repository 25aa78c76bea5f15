"""Run to the floor of floating point, then judge: the four kinds of points."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from hessium.errors import NonFiniteError
from hessium.estimate import Count
from hessium.landscape.contraction import contraction, kinked, quadratic
from hessium.landscape.point import Certificate, Kind
from hessium.landscape.rounding import Place, hessian_rounding, look, norm_of, size_of
from hessium.landscape.surface import Surface
from hessium.landscape.symmetry import on_manifold
from hessium.landscape.walk import Walk
from hessium.measure import DiscreteMeasure

FLAT = 1e-7  # of kappa; methods that compare |g|^2 resolve it to the root of epsilon, 1.5e-8
MOVED = 0.1  # of |theta|: a critical point further away than this is another one
_MARGIN = 3.0  # times what a Newton step changes the Hessian by: the zero may be further away
_POLISH = 12
_FAR = 100.0  # |theta|: as far as Newton's method would go along a gradient in the kernel
_OPEN = 1e-2  # of |theta|: a Newton step of that length ends somewhere else
_DRIFT = 1e-3  # of |theta|: what the last step of an ended search may cover along a symmetry


@dataclass(frozen=True, slots=True)
class Judged:
    """A point at the floor, with its kind and spectrum."""

    theta: Tensor
    gradient: float
    kind: Kind
    index: Count
    certificate: Certificate
    spectrum: DiscreteMeasure


def certify(surface: Surface, walk: Walk, draws: Float[Tensor, "k n"]) -> Judged:
    r"""Polish the end of a walk by Newton's method and say what it is.

    A point is **critical** if no mode of the Hessian has a slope above its own rounding, the
    polishing hardly moved it, the Hessian does not jump beside it, and Newton's method started
    there comes back quadratically. It is **gradient-flat** if what is left of the gradient lies in
    the kernel of the Hessian, **diverging** if the parameters still grow, and **unconverged**
    otherwise.

    Args:
        surface: the function.
        walk: where a finder ended.
        draws: standard normal, `rounding.PROBES` of them: directions of all tests.

    Raises:
        NonFiniteError: where the walk ended beyond what can be computed.

    Cost: a dense Hessian with all eigenvectors for each Newton step, 15 to 30 in all.
    """
    first = walk.radii[0]
    place = _polish(surface, walk.theta, first, draws)
    size = size_of(place.theta, first)
    excess = float(place.excess.max())
    threshold = max(place.cut, _MARGIN * _shift(surface, place))
    zeros = int((place.values.abs() <= threshold).sum())
    symmetric, near, kink = 0, 0.0, False
    factors: tuple[float, ...] = ()
    if excess <= 1:
        kink = kinked(surface, place, size, draws[0])
        if zeros and not kink and on_manifold(surface, place, threshold, size, draws):
            symmetric = zeros
        factors, near = contraction(surface, place, size, symmetric, draws[1])
    evidence = _evidence(place, walk, size, symmetric)
    kind, reason = _kind(evidence, walk, factors, zeros - symmetric, kink=kink)
    relative = place.norm / (place.scale * size) if place.scale else (math.inf if place.norm else 0)
    return Judged(
        theta=place.theta,
        gradient=place.norm,
        kind=kind,
        index=_index(place.values, threshold, symmetric),
        certificate=Certificate(
            gradient=place.norm,
            relative_gradient=relative,
            excess=excess,
            flatness=evidence.flatness,
            newton_step=evidence.distance,
            moved=evidence.moved,
            contraction=factors,
            contraction_distance=near,
            growth=walk.growth,
            threshold=threshold,
            symmetry_zeros=symmetric,
            reason=reason,
        ),
        spectrum=DiscreteMeasure.uniform(place.values.cpu().numpy()),
    )


def _polish(surface: Surface, theta: Tensor, first: float, draws: Tensor) -> Place:
    """Newton steps for as long as they shrink the slopes that rounding does not explain.

    Each slope is measured by its own rounding: measured by the gradient's norm, the rounding of
    stiff modes would hide that soft ones have not arrived.
    """
    size = size_of(theta, first)
    relative = hessian_rounding(surface, theta, size, draws[0])
    place = look(surface, theta, size, relative, draws)
    for _ in range(_POLISH):
        there = place.theta + place.newton_step()
        try:
            new = look(surface, there, size_of(there, first), relative, draws)
        except NonFiniteError:
            break
        noise = float(place.floors.norm())
        if not (_left(new) < _left(place) and new.norm <= place.norm + noise):
            break
        place = new
    return place


def _left(place: Place) -> float:
    """What a Newton step could still improve."""
    return float(place.excess[place.curved].norm())


def _shift(surface: Surface, place: Place) -> float:
    r"""$|H(\theta + p) - H(\theta)|$ with p the Newton step: how far eigenvalues may move."""
    there = place.theta + place.newton_step()
    if not bool(torch.isfinite(there).all()):
        return math.inf
    here = (place.vectors * place.values) @ place.vectors.mT
    try:
        return norm_of(surface.hessian(there) - here)
    except NonFiniteError:
        return math.inf


def _index(values: Tensor, threshold: float, symmetric: int) -> Count:
    """Eigenvalues below zero; those within the threshold are undecided unless of a symmetry."""
    low, high = int((values < -threshold).sum()), int((values < threshold).sum()) - symmetric
    below = int((values < 0).sum())
    if symmetric:
        below = min(max(below - symmetric, low), high)
    return Count(value=below, lower=low, upper=high)


@dataclass(frozen=True, slots=True)
class _Evidence:
    """Numbers that the kind depends on, lengths relative to those of the parameters."""

    excess: float
    flatness: float
    distance: float
    open: float
    drift: float
    moved: float
    blur: float
    relative: float


def _evidence(place: Place, walk: Walk, size: float, symmetric: int) -> _Evidence:
    last = torch.zeros_like(place.theta) if walk.last is None else walk.last
    slopes, values, scale = place.slopes, place.values, place.scale
    real = torch.where(place.excess > 1, slopes, 0.0)
    norm = float(real.norm())
    # without the pseudo-inverse's cut: a zero at infinity must look as far as it is
    along = slopes / values.abs().clamp_min(max(1e-30 * scale, 1e-300))
    free = values.abs().argsort()[:symmetric]
    along[free] = 0.0
    # a mode whose curvature stands above rounding belongs to no manifold: its step must be small
    soft = slopes[place.curved] / values[place.curved]
    return _Evidence(
        excess=float(place.excess.max()),
        flatness=float((values * real).norm()) / (scale * norm) if norm and scale else 0.0,
        distance=float(along.norm()) / size,
        open=float(soft.norm()) / size,
        drift=float((place.vectors[:, free].mT @ last).norm()) / size,
        moved=float((place.theta - walk.theta).norm()) / size,
        blur=place.blur(symmetric) / size,
        relative=norm / (scale * size) if scale else math.inf,
    )


def _kind(
    evidence: _Evidence, walk: Walk, factors: tuple[float, ...], zeros: int, *, kink: bool
) -> tuple[Kind, str]:
    if evidence.excess <= 1:
        return _at_zero(evidence, walk, factors, kink=kink)
    if walk.ended == "runs away" or (walk.grows and evidence.distance > _OPEN):
        return "diverging", (
            f"|theta| grew {walk.growth:.3g} times in the second half of the search"
        )
    if evidence.flatness <= FLAT and evidence.distance > _FAR:
        return "gradient-flat", (
            f"the gradient is in the kernel of the Hessian: |Hg| = {evidence.flatness:.1g} |H| |g|"
        )
    if evidence.flatness <= FLAT and evidence.distance < 1:
        return "unconverged", (
            f"the Hessian fades along the gradient as the gradient does, a Newton step of "
            f"{evidence.distance:.1g} |theta| away: a degenerate critical point"
        )
    return "unconverged", (
        f"|g| = {evidence.relative:.1g} |H| |theta| after {walk.steps} steps, Newton step "
        f"{evidence.distance:.1g} |theta|, {zeros} eigenvalues without sign"
    )


def _at_zero(
    evidence: _Evidence, walk: Walk, factors: tuple[float, ...], *, kink: bool
) -> tuple[Kind, str]:
    """The kind of a point whose gradient is at the floor."""
    away: Kind = "diverging" if walk.grows else "unconverged"
    if evidence.moved > MOVED:
        return away, (
            f"Newton's method finds a zero of the gradient only {evidence.moved:.2g} |theta| away "
            "from where the search ended"
        )
    if kink:
        return "unconverged", (
            "the gradient is at the floor, but the Hessian jumps beside the point: at a kink no "
            "index is defined"
        )
    if evidence.open > _OPEN:
        return away, (
            "the gradient is at the floor, but along its softest directions Newton's method "
            f"would go {evidence.open:.2g} |theta|"
        )
    if evidence.drift > _DRIFT:
        return away, (
            f"the gradient is at the floor, but the search's last step went {evidence.drift:.2g} "
            "|theta| along directions that no longer have slope or curvature"
        )
    if quadratic(factors):
        listed = ", ".join(f"{factor:.1g}" for factor in factors)
        return "critical", f"gradient at the floor, Newton contracts by {listed}"
    if walk.grows:
        return "diverging", f"the gradient fades as |theta| grows, {walk.growth:.3g} times so far"
    if not factors:
        return "unconverged", (
            "the gradient is at the floor, but rounding leaves open where it vanishes, by "
            f"{evidence.blur:.1g} |theta|"
        )
    return "unconverged", "gradient at the floor, but Newton does not contract quadratically"

"""Polish a point by Newton's method to rounding level and classify it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from hessium.errors import NonFiniteError
from hessium.landscape.contraction import contraction, kinked
from hessium.landscape.noise_floor import Place, hessian_rounding, look, norm_of
from hessium.landscape.objective import Surface
from hessium.landscape.point import Certificate, Kind
from hessium.landscape.symmetry import on_manifold
from hessium.landscape.trajectory import Walk
from hessium.spectra import Count, Spectrum

_FLAT = 1e-7  # of kappa; methods that compare |g|^2 resolve it to the root of epsilon, 1.5e-8
MOVED = 0.1  # of |theta|: a critical point further away than this is another one
_MARGIN = 3.0  # times what a Newton step changes the Hessian by: the zero may be further away
_POLISH = 12  # Newton steps at most
_SURE = 4  # of them; the others only while each leaves a quarter: at degenerate points none does
_LEAP = 10.0
_FAR = 100.0  # |theta|: as far as Newton's method would go along a gradient in the kernel
_OPEN = 1e-2  # of |theta|: a Newton step of that length ends somewhere else
_DRIFT = 1e-3  # of |theta|: what the last step of an ended search may cover along a symmetry


@dataclass(frozen=True, slots=True)
class Judged:
    """A point at rounding level, with its kind and spectrum."""

    theta: Tensor
    gradient: float
    kind: Kind
    index: Count
    certificate: Certificate
    spectrum: Spectrum | None


def certify(surface: Surface, walk: Walk, draws: Float[Tensor, "k n"]) -> Judged:
    r"""Polish the end of a trajectory by Newton's method and classify the point.

    A point is **critical** if no mode of the Hessian has a gradient component above its rounding,
    polishing moved it little, the Hessian is continuous nearby, and Newton's method started nearby
    converges back to it quadratically. It is **gradient-flat** if the remaining gradient lies in
    the kernel of the Hessian, **diverging** if the parameters still grow, and **unconverged**
    otherwise. A point whose Hessian vanishes is never classified as critical, since its index is
    undetermined.

    Args:
        surface: the function.
        walk: the trajectory of a finder.
        draws: standard normal, `rounding.PROBES` of them: directions of all tests.

    Returns:
        The kind with its evidence; without a spectrum, and with an open index, if derivatives are
        not finite at the end of the trajectory or near it.

    Cost: a dense Hessian with all eigenvectors for each Newton step, 15 to 30 in all.
    """
    try:
        return _judge(surface, walk, draws)
    except NonFiniteError:
        return _beyond(walk)


def _beyond(walk: Walk) -> Judged:
    """Result for a trajectory that ended where derivatives are not finite, or near such a point."""
    away = walk.ended == "runs away" or walk.grows
    return Judged(
        theta=walk.theta,
        gradient=walk.gradients[-1],
        kind="diverging" if away else "unconverged",
        index=Count(value=0, lower=0, upper=len(walk.theta)),
        certificate=Certificate(
            gradient=walk.gradients[-1],
            relative_gradient=math.inf,
            excess=math.inf,
            flatness=math.inf,
            newton_step=math.inf,
            moved=0.0,
            contraction=(),
            contraction_distance=0.0,
            growth=walk.growth,
            threshold=math.inf,
            symmetry_zeros=0,
            reason=(
                "loss, gradient or Hessian are not finite where the search ended or beside it, "
                f"at |theta| = {walk.radii[-1]:.3g} after {walk.steps} steps"
            ),
        ),
        spectrum=None,
    )


def _judge(surface: Surface, walk: Walk, draws: Float[Tensor, "k n"]) -> Judged:
    place, lengths = _polish(surface, walk, draws)
    if not math.isfinite(surface.value(place.theta)):  # derivatives may be finite
        msg = "loss: not finite"
        raise NonFiniteError(msg)
    excess = float(place.excess.max())
    kink = kinked(surface, place, lengths, draws[0])
    # where the Hessian is discontinuous the sign of no eigenvalue is decided
    threshold = math.inf if kink else max(place.cut, _MARGIN * _shift(surface, place))
    symmetric, near = 0, 0.0
    factors: tuple[float, ...] = ()
    if excess <= 1 and not kink and bool(place.curved.any()):
        symmetric = _symmetry(surface, place, threshold, walk.start, lengths, draws)
        factors, near = contraction(surface, place, lengths, symmetric, draws[1])
    size = float(lengths.norm())
    evidence = _evidence(place, walk, size, symmetric)
    zeros = int((place.values.abs() <= threshold).sum()) - symmetric
    kind, reason = _kind(evidence, walk, factors, zeros, back=near > 0, kink=kink)
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
        spectrum=Spectrum.of(place.values.cpu().numpy()),
    )


def _polish(surface: Surface, walk: Walk, draws: Tensor) -> tuple[Place, Tensor]:
    """Newton steps as long as they reduce the gradient components above rounding.

    Each component is compared with its own rounding: relative to the norm of the gradient, rounding
    in stiff modes would hide that soft modes have not converged. The total step stays below ten
    times the norm of the parameters.

    Returns:
        The last point, and the scales of its parameters.
    """
    lengths = surface.lengths(walk.theta, walk.start)
    room = float(lengths.norm())
    relative = hessian_rounding(surface, walk.theta, lengths, draws[0])
    place = look(surface, walk.theta, lengths, relative, draws)
    for taken in range(_POLISH):
        step = place.newton_step()
        gone = float((place.theta + step - walk.theta).norm())
        if not gone <= _LEAP * room:
            break
        ahead = surface.lengths(place.theta + step, walk.start)
        try:
            new = look(surface, place.theta + step, ahead, relative, draws)
        except NonFiniteError:
            break
        noise = float(place.floors.norm())
        before, left = _left(place), _left(new)
        if not (left < before and new.norm <= place.norm + noise):
            break
        place, lengths = new, ahead
        if taken >= _SURE and left > before / 4:
            break
    return place, lengths


def _symmetry(
    surface: Surface,
    place: Place,
    threshold: float,
    start: Tensor,
    lengths: Tensor,
    draws: Tensor,
) -> int:
    """Number of modes tangent to a manifold: of undecided sign, else of zero curvature."""
    for cut in sorted({threshold, place.cut}, reverse=True):
        zero = place.values.abs() <= cut
        if zero.any() and on_manifold(surface, place, zero, start, lengths, draws):
            return int(zero.sum())
    return 0


def _left(place: Place) -> float:
    """Largest reduction that a Newton step could still achieve."""
    return float(place.excess[place.curved].norm())


def _shift(surface: Surface, place: Place) -> float:
    r"""$|H(\theta + p) - H(\theta)|$ with p the Newton step; bounds the change of eigenvalues."""
    there = place.theta + place.newton_step()
    if not bool(torch.isfinite(there).all()):
        return math.inf
    here = (place.vectors * place.values) @ place.vectors.mT
    try:
        return norm_of(surface.hessian(there) - here)
    except NonFiniteError:
        return math.inf


def _index(values: Tensor, threshold: float, symmetric: int) -> Count:
    """Number of negative eigenvalues; open within the threshold, unless due to a symmetry."""
    low, high = int((values < -threshold).sum()), int((values <= threshold).sum()) - symmetric
    high = max(low, high)
    below = int((values < 0).sum())
    if symmetric:
        below = min(max(below - symmetric, low), high)
    return Count(value=below, lower=low, upper=high)


@dataclass(frozen=True, slots=True)
class _Evidence:
    """Quantities that determine the kind; lengths are relative to the parameters."""

    excess: float
    flatness: float
    distance: float
    open: float
    flat: int
    dim: int
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
    kept = place.curved.clone()
    kept[free] = False
    # a mode whose curvature stands above rounding belongs to no manifold: its step must be small
    soft = slopes[place.curved] / values[place.curved]
    return _Evidence(
        excess=float(place.excess.max()),
        flatness=float((values * real).norm()) / (scale * norm) if norm and scale else 0.0,
        distance=float(along.norm()) / size,
        open=float(soft.norm()) / size,
        flat=int((~place.curved).sum()) - symmetric,
        dim=len(place.theta),
        drift=float((place.vectors[:, free].mT @ last).norm()) / size,
        moved=float((place.theta - walk.theta).norm()) / size,
        blur=place.blur(kept) / size,
        relative=norm / (scale * size) if scale else math.inf,
    )


def _kind(
    evidence: _Evidence,
    walk: Walk,
    factors: tuple[float, ...],
    zeros: int,
    *,
    back: bool,
    kink: bool,
) -> tuple[Kind, str]:
    if evidence.excess <= 1:
        return _at_zero(evidence, walk, factors, back=back, kink=kink)
    if walk.ended == "runs away" or (walk.grows and evidence.distance > _OPEN):
        return "diverging", (
            f"|theta| grew {walk.growth:.3g} times in the second half of the search"
        )
    if evidence.flatness <= _FLAT and evidence.distance > _FAR:
        return "gradient-flat", (
            f"the gradient is in the kernel of the Hessian: |Hg| = {evidence.flatness:.1g} |H| |g|"
        )
    if kink:
        return "unconverged", (
            f"|g| = {evidence.relative:.1g} |H| |theta|, and gradient or Hessian are discontinuous "
            "at the point: a kink, where a search by derivatives cannot continue"
        )
    if evidence.flatness <= _FLAT and evidence.distance < 1:
        return "unconverged", (
            "the Hessian nearly vanishes along the remaining gradient, with a Newton step of "
            f"{evidence.distance:.1g} |theta|: a degenerate critical point, or far from it"
        )
    return "unconverged", (
        f"|g| = {evidence.relative:.1g} |H| |theta| after {walk.steps} steps, Newton step "
        f"{evidence.distance:.1g} |theta|, {zeros} eigenvalues of undecided sign"
    )


def _at_zero(
    evidence: _Evidence, walk: Walk, factors: tuple[float, ...], *, back: bool, kink: bool
) -> tuple[Kind, str]:
    """The kind of a point whose gradient is at rounding level."""
    away: Kind = "diverging" if walk.grows else "unconverged"
    if evidence.moved > MOVED:
        return away, (
            f"the zero of the gradient found by Newton's method lies {evidence.moved:.2g} |theta| "
            "away from the end of the search"
        )
    if kink:
        return "unconverged", (
            "the gradient is at rounding level, but gradient or Hessian are discontinuous at the "
            "point: at a kink no index is defined"
        )
    if evidence.flat == evidence.dim:
        return away, (
            "gradient and Hessian both vanish to rounding: a degenerate critical point, or a "
            "locally constant function; second derivatives do not determine the index"
        )
    if evidence.open > _OPEN:
        return away, (
            "the gradient is at rounding level, but Newton's step along its softest directions is "
            f"{evidence.open:.2g} |theta|"
        )
    if evidence.drift > _DRIFT:
        return away, (
            f"the gradient is at rounding level, but the last step moved {evidence.drift:.2g} "
            "|theta| along directions without gradient and curvature"
        )
    if evidence.flat > 0:
        return away, (
            f"the gradient is at rounding level, but {evidence.flat} modes without curvature do "
            "not belong to a manifold of critical points: degenerate, or a valley to infinity"
        )
    if back:
        listed = ", ".join(f"{factor:.1g}" for factor in factors)
        return "critical", f"gradient at rounding level, Newton contracts by {listed}"
    if not factors:
        return "unconverged", (
            "the gradient is at rounding level, and rounding determines its zero only within "
            f"{evidence.blur:.1g} |theta|"
        )
    if walk.grows:
        return "diverging", f"the gradient decreases as |theta| grows ({walk.growth:.3g} times)"
    return "unconverged", "gradient at rounding level, but Newton's method does not return to it"

"""Classify the end of a search, with evidence."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from hessium.errors import NonFiniteError
from hessium.landscape.kantorovich import LARGEST_H, NOWHERE, Kantorovich, kantorovich
from hessium.landscape.kinks import kinked
from hessium.landscape.noise_floor import LocalModel
from hessium.landscape.objective import Surface
from hessium.landscape.point import Certificate, Kind
from hessium.landscape.polish import polish
from hessium.landscape.symmetry import on_manifold
from hessium.landscape.trajectory import Walk
from hessium.linalg.threads import dense_algebra
from hessium.progress import Progress, silent
from hessium.spectra import Count, Spectrum

_FLAT = 1e-7  # |Hg| / (|H| |g|): methods that compare |g|^2 resolve it to sqrt(epsilon), 1.5e-8
_PARTS = 4  # Newton steps, kinks, the theorem, manifolds
_FAR = 100.0  # |theta|: shorter Newton steps are due to ill-conditioning, not to a kernel


@dataclass(frozen=True, slots=True)
class Judged:
    """A point at rounding level, with its kind and spectrum."""

    theta: Tensor
    gradient: float
    kind: Kind
    index: Count
    certificate: Certificate
    spectrum: Spectrum | None


def certify(
    surface: Surface, walk: Walk, draws: Float[Tensor, "k n"], progress: Progress = silent
) -> Judged:
    r"""Polish the end of a search by Newton's method and classify the point.

    A point is **critical** if

    1. gradient and Hessian are continuous at the point (`kinked`),
    2. in the modes whose curvature exceeds rounding the Newton-Kantorovich theorem holds
       (`kantorovich`), and
    3. the other modes, if any, have no gradient above rounding and are tangent to a manifold of
       critical points (`on_manifold`).

    It is **gradient-flat** if the remaining gradient lies in the kernel of the Hessian,
    **diverging** if the parameters still grow, and **unconverged** otherwise. A point whose Hessian
    vanishes is never critical, since its index is undetermined.

    Args:
        surface: the function.
        walk: the trajectory of a finder.
        draws: standard normal, `noise_floor.PROBES` of them: directions of all tests.
        progress: called with the finished parts of the certificate and all four.

    Returns:
        The kind with its evidence; without a spectrum, and with an open index, if derivatives are
        not finite at the end of the trajectory or near it.

    Cost: a Hessian with all eigenvectors for each Newton step, 15 to 30 in all.
    """
    try:
        with dense_algebra(len(walk.theta)):
            return _judge(surface, walk, draws, progress)
    except NonFiniteError:
        return _beyond(walk)


def _beyond(walk: Walk) -> Judged:
    """Result for a search that ended where derivatives are not finite, or near such a point."""
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
            kantorovich=math.inf,
            distance=math.inf,
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


def _judge(surface: Surface, walk: Walk, draws: Float[Tensor, "k n"], progress: Progress) -> Judged:
    progress(0, _PARTS, "parts of the certificate")
    local, lengths = polish(surface, walk, draws)
    if not math.isfinite(surface.value(local.theta)):  # derivatives may be finite
        msg = "loss: not finite"
        raise NonFiniteError(msg)
    size = float(lengths.norm())
    progress(1, _PARTS, "parts of the certificate")
    kink = kinked(surface, local, lengths, draws[0])
    progress(2, _PARTS, "parts of the certificate")
    theorem = NOWHERE if kink else kantorovich(surface, local, draws)
    progress(3, _PARTS, "parts of the certificate")
    zero = ~local.curved
    manifold = (
        theorem.holds
        and bool(zero.any())
        and float(local.excess[zero].max()) <= 1
        and on_manifold(surface, local, zero, walk.start, lengths, draws)
    )
    progress(4, _PARTS, "parts of the certificate")
    symmetric = int(zero.sum()) if manifold else 0
    # without the theorem the sign of an eigenvalue may differ within the distance of the probes
    threshold = local.cut if theorem.holds else max(local.cut, theorem.change)
    evidence = _evidence(local, size, symmetric)
    kind, reason = _kind(evidence, walk, theorem, kink=kink, size=size)
    relative = local.norm / (local.scale * size) if local.scale else (math.inf if local.norm else 0)
    return Judged(
        theta=local.theta,
        gradient=local.norm,
        kind=kind,
        index=_index(local.values, threshold, symmetric),
        certificate=Certificate(
            gradient=local.norm,
            relative_gradient=relative,
            excess=evidence.excess,
            flatness=evidence.flatness,
            newton_step=evidence.distance,
            moved=float((local.theta - walk.theta).norm()) / size,
            kantorovich=theorem.h,
            distance=theorem.distance / size,
            growth=walk.growth,
            threshold=threshold,
            symmetry_zeros=symmetric,
            reason=reason,
        ),
        spectrum=Spectrum.of(local.values.cpu().numpy()),
    )


def _index(values: Tensor, threshold: float, symmetric: int) -> Count:
    """Number of negative eigenvalues; open within the threshold, unless due to a symmetry."""
    low, high = int((values < -threshold).sum()), int((values <= threshold).sum()) - symmetric
    below = int((values < 0).sum())
    return Count(value=min(below, high), lower=low, upper=high)


@dataclass(frozen=True, slots=True)
class _Evidence:
    """Quantities that determine the kind; lengths are relative to the parameters."""

    excess: float
    flatness: float
    distance: float
    relative: float
    curved: int
    flat: int


def _evidence(local: LocalModel, size: float, symmetric: int) -> _Evidence:
    slopes, values, scale = local.slopes, local.values, local.scale
    real = torch.where(local.excess > 1, slopes, 0.0)
    norm = float(real.norm())
    # without the pseudo-inverse's cut: a zero at infinity must look as far as it is
    along = slopes / values.abs().clamp_min(max(1e-30 * scale, 1e-300))
    along[values.abs().argsort()[:symmetric]] = 0.0
    curved = int(local.curved.sum())
    return _Evidence(
        excess=float(local.excess.max()),
        flatness=float((values * real).norm()) / (scale * norm) if norm and scale else 0.0,
        distance=float(along.norm()) / size,
        relative=norm / (scale * size) if scale else math.inf,
        curved=curved,
        flat=len(values) - curved - symmetric,
    )


def _kind(
    evidence: _Evidence, walk: Walk, theorem: Kantorovich, *, kink: bool, size: float
) -> tuple[Kind, str]:
    if theorem.holds and not evidence.flat:
        return "critical", (
            f"Kantorovich's h = {theorem.h:.1g}: a zero of the gradient within "
            f"{theorem.distance / size:.1g} |theta|"
        )
    if evidence.excess <= 1:
        return _at_zero(evidence, walk, theorem, kink=kink)
    if walk.ended == "runs away" or walk.grows:
        return "diverging", (
            f"|theta| grew {walk.growth:.3g} times in the second half of the search"
        )
    flat = evidence.flatness <= _FLAT
    if flat and evidence.distance > _FAR:
        return "gradient-flat", (
            f"the gradient is in the kernel of the Hessian: |Hg| = {evidence.flatness:.1g} |H| |g|"
        )
    if kink:
        return "unconverged", (
            f"|g| = {evidence.relative:.1g} |H| |theta|, and gradient or Hessian are discontinuous "
            "at the point: a kink, where a search by derivatives cannot continue"
        )
    if flat and evidence.distance < 1:
        return "unconverged", (
            "the Hessian nearly vanishes along the remaining gradient, with a Newton step of "
            f"{evidence.distance:.1g} |theta|: a degenerate critical point, or far from it"
        )
    return "unconverged", (
        f"|g| = {evidence.relative:.1g} |H| |theta| after {walk.steps} steps, Newton step "
        f"{evidence.distance:.1g} |theta|, Kantorovich's h = {theorem.h:.1g}"
    )


def _at_zero(
    evidence: _Evidence, walk: Walk, theorem: Kantorovich, *, kink: bool
) -> tuple[Kind, str]:
    """The kind of a point without a certificate, whose gradient is at rounding level."""
    away: Kind = "diverging" if walk.grows else "unconverged"
    if kink:
        return "unconverged", (
            "the gradient is at rounding level, but gradient or Hessian are discontinuous at the "
            "point: at a kink no index is defined"
        )
    if not evidence.curved:
        return away, (
            "gradient and Hessian both vanish to rounding: a degenerate critical point, or a "
            "locally constant function; second derivatives do not determine the index"
        )
    if not theorem.holds:
        return away, (
            f"the gradient is at rounding level, but Kantorovich's h = {theorem.h:.1g} exceeds "
            f"{LARGEST_H}: rounding does not determine its zero"
        )
    return away, (
        f"the gradient is at rounding level, but {evidence.flat} modes without curvature do "
        "not belong to a manifold of critical points: degenerate, or a valley to infinity"
    )

"""Check of the gradient of a risk against differences of its values."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from hessium.curvature.differences import Accuracy, Claim, Outcome
from hessium.curvature.places import (
    SHARE,
    SINGLE_SLOPES,
    ClaimAt,
    Precisions,
    agrees_finely,
    directions,
)
from hessium.errors import SelfCheckError, SelfCheckWarning
from hessium.problem import EmpiricalRisk
from hessium.problem.layout import Layout
from hessium.problem.one_pass import values

SLOPE = "slope"


def check_gradient(risk: EmpiricalRisk, who: str) -> None:
    """Check the gradient of a risk once for a model: on a part of the samples, or else on all.

    Errors as in `check_slope`. Cost: one to two gradients; more where all samples are needed.
    """
    if SLOPE in risk.proven:
        return
    if gradient_agrees(risk.beginning(SHARE)):
        risk.prove(SLOPE)
        return
    check_slope(Precisions(risk), who)


def gradient_agrees(part: EmpiricalRisk) -> bool:
    """Whether the slopes of `check_slope` agree with one difference each; else nothing is decided.

    Args:
        part: the risk with all or a part of its samples.
    """
    return confirmed(lambda: agrees_finely(part, lambda fine: slopes_agree(part, fine)))


def confirmed(agrees: Callable[[], bool]) -> bool:
    """The result of a check that can only confirm: False if it fails."""
    try:
        return agrees()
    except torch.OutOfMemoryError:
        raise
    except Exception:  # the careful check meets it again, and reports it
        return False


def check_slope(
    precisions: Precisions,
    who: str,
    value: Callable[[EmpiricalRisk, float], float] | None = None,
) -> None:
    """Check directional derivatives of the loss, along the gradient and two random directions.

    A missing part of a gradient may be orthogonal to it, so other directions are needed. Done once
    for a model.

    Args:
        precisions: the risk whose gradient is compared.
        who: prefix of the messages.
        value: (risk, h) -> value at distance h along the first random direction, if known.

    Raises:
        SelfCheckError: if it is not.

    Cost: one gradient and six evaluations of the loss.
    """
    risk = precisions.risk
    if SLOPE in risk.proven:
        return
    height, gradient_here = risk.value_and_gradient()
    known = {id(risk): gradient_here}
    length = float(gradient_here.norm())
    lines = [gradient_here / length if length else directions(risk)[0], *directions(risk)]
    here = _Values(risk, lines if value is None else [lines[0], lines[2]])

    def gradient_at(place: EmpiricalRisk) -> Tensor:
        return known[id(place)] if id(place) in known else place.gradient()

    def values_of(fine: EmpiricalRisk, direction: Tensor) -> Callable[[float], float]:
        source = here if fine is risk and here.has(direction) else _Values(fine, [direction])
        return functools.partial(source.at, direction)

    def along_itself(place: EmpiricalRisk, fine: EmpiricalRisk) -> Claim:
        gradient = gradient_at(place)
        norm = float(gradient.norm())
        direction = lines[0] if place is risk else gradient / norm if norm else lines[1]
        return slope_claim(norm, norm, values_of(fine, direction), place, fine)

    def along_random(number: int, place: EmpiricalRisk, fine: EmpiricalRisk) -> Claim:
        gradient, direction = gradient_at(place), directions(place)[number]
        along = values_of(fine, direction)
        if value is not None and number == 0:
            along = functools.partial(value, fine)
        size = typical_slope(gradient, direction, place.layout)
        return slope_claim(float(gradient @ direction), size, along, place, fine)

    def judge(where: str, claim_at: ClaimAt) -> None:
        found = precisions.settled(claim_at, SINGLE_SLOPES)
        if found.outcome is Outcome.WRONG:
            msg = (
                f"{who}: along {where} the gradient gives a slope of {found.claimed:.6g}, and "
                f"differences of the loss deviate by {found.difference:.3g}; the model or "
                "loss may stop gradients (detach, no_grad), or have a wrong backward pass"
            )
            raise SelfCheckError(msg)
        if found.outcome is Outcome.OPEN:
            what = f"the gradient with differences of the loss along {where}"
            say_undecided(who, what, risk.dtype)
        # at a minimum the gradient is its own rounding error, and no kink
        above = found.difference * float(risk.theta.norm()) > rounding * abs(height)
        if found.outcome is Outcome.CORNER and above and not at_kink:
            at_kink.append(where)
            warnings.warn(
                f"{who}: along {where} the gradient gives a slope of {found.claimed:.6g}, and "
                f"differences of the loss deviate by {found.difference:.3g} at these parameters, "
                "but agree beside them: the loss has a kink exactly here (ReLU of exact zeros, as "
                "after zero initialisation, or max-pooling of equal values), so gradient and "
                "Hessian are those of one side; move the parameters a little (risk.at)",
                SelfCheckWarning,
                stacklevel=5,
            )

    at_kink: list[str] = []
    rounding = torch.finfo(risk.dtype).eps ** 0.5
    judge("its gradient", along_itself)
    if precisions.single:
        accuracy = Accuracy.of(risk.dtype, risk.dtype, risk.length)
        sizes = (typical_slope(gradient_here, d, risk.layout) for d in directions(risk))
        if any(accuracy.hides(abs(height), size) for size in sizes):
            risk.refuted.add(SINGLE_SLOPES)
    judge("a random direction", functools.partial(along_random, 0))
    judge("another random direction", functools.partial(along_random, 1))
    risk.prove(SLOPE)


def slopes_agree(
    risk: EmpiricalRisk, fine: EmpiricalRisk, value: Callable[[float], float] | None = None
) -> bool:
    """Whether the slopes of `check_slope` agree with one difference each; else nothing is decided.

    Args:
        risk: the risk whose gradient is compared.
        fine: the same risk in the precision of the differences.
        value: h -> value of `fine` at distance h along the first random direction, if known.

    Cost: one gradient and six evaluations of the loss, or four.
    """
    gradient = risk.gradient()
    length = float(gradient.norm())
    one, other = directions(risk)
    itself = gradient / length if length else one
    here = _Values(fine, [itself, other] if value is not None else [itself, one, other])
    for line in (itself, one, other):
        size = length if line is itself else typical_slope(gradient, line, risk.layout)
        along = value if line is one and value is not None else functools.partial(here.at, line)
        if not slope_claim(float(gradient @ line), size, along, risk, fine).agrees_at_once():
            return False
    return True


def slope_claim(
    slope: float,
    size: float,
    along: Callable[[float], float],
    place: EmpiricalRisk,
    fine: EmpiricalRisk,
) -> Claim:
    """Claim about a directional derivative of the loss with typical size `size`."""
    return Claim(
        derivative=[torch.tensor(slope, dtype=torch.float64, device="cpu")],
        function=lambda h: [torch.tensor(along(h), dtype=torch.float64, device="cpu")],
        accuracy=Accuracy.of(place.dtype, fine.dtype, place.length),
        scale=size,
    )


def typical_slope(gradient: Tensor, direction: Tensor, layout: Layout) -> float:
    """Root mean square of the directional derivative along such random directions."""
    parts = zip(layout.unflatten(gradient), layout.unflatten(direction), strict=True)
    return float(sum(float(g.norm() * d.norm()) ** 2 / max(1, g.numel()) for g, d in parts)) ** 0.5


def say_undecided(who: str, what: str, dtype: torch.dtype) -> None:
    """Warn that a comparison was not possible."""
    advice = "" if dtype is torch.float64 else " (dtype=torch.float64 may decide it)"
    warnings.warn(
        f"{who}: could not check {what}: differences do not converge at any step (kinks, "
        f"noise, or low precision); results rely on automatic differentiation alone{advice}",
        SelfCheckWarning,
        stacklevel=6,
    )


class _Values:
    """Values of a risk along some lines, at both ends of all of them in one pass."""

    def __init__(self, risk: EmpiricalRisk, lines: Sequence[Tensor]) -> None:
        self._risk, self._lines = risk, lines
        self._found: dict[tuple[int, float], float] = {}

    def has(self, line: Tensor) -> bool:
        """Whether it is one of them."""
        return any(line is one for one in self._lines)

    def at(self, line: Tensor, h: float) -> float:
        """The value at distance h along a line."""
        if (id(line), h) not in self._found:
            risk = self._risk
            places = [(one, end) for one in self._lines for end in (h, -h)]
            found = values([risk.moved(one, end) for one, end in places])
            self._found |= {(id(one), end): v for (one, end), v in zip(places, found, strict=True)}
        return self._found[id(line), h]

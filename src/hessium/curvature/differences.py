r"""Derivatives by differences, with their errors: the oracle that shares no graph with a product.

A claimed derivative $y'(0)$ is compared with $(y(h) - y(-h)) / 2h$ at two steps h and h / 2. Their
difference bounds the error of the extrapolated value, and rounding adds $\epsilon |y| / h$. A
ladder of steps serves smooth, stiff and piecewise smooth functions alike: at a kink differences
diverge as h falls, between kinks they converge, and many kinks need the smallest steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

import torch
from torch import Tensor

_LADDER = (1.0, 2.0**-5, 2.0**5, 2.0**-10, 2.0**10)  # steps in turn, in units of the first
_SAFETY = 1e-3  # rounding at the first step, in units of what is allowed
STEPS, ONCE = len(_LADDER), 0
_SHARP = 0.05  # relative error up to which a difference decides
_MARGIN = 3.0  # estimated errors by which a claim may differ: a kink makes 2.3
_ROUNDINGS = 4.0  # machine epsilons by which an evaluation is rounded


class Outcome(Enum):
    """What a comparison with differences shows."""

    AGREES = "agrees"
    WRONG = "wrong"
    OPEN = "open"


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A claimed derivative beside one by differences.

    Attributes:
        outcome: whether they agree; open where no step is sharp enough to decide.
        part: position of the part in which they differ most, in units of what is allowed.
        claimed: norm of the claim in that part.
        difference: norm of its difference from the derivative by differences.
    """

    outcome: Outcome
    part: int = 0
    claimed: float = 0.0
    difference: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """How closely a claim must agree, and how exactly differences are evaluated.

    Attributes:
        epsilon: machine epsilon of the evaluations.
        step: the first step.
        within: relative difference that is allowed in each part.
        floor: difference that is allowed in each part, relative to the whole.
    """

    epsilon: float
    step: float
    within: float
    floor: float

    @classmethod
    def of(cls, claimed: torch.dtype, evaluated: torch.dtype, length: float) -> Accuracy:
        """For a claim of one dtype and evaluations of another at parameters of some length."""
        coarse, fine = torch.finfo(claimed).eps, torch.finfo(evaluated).eps
        within = coarse ** (1 / 3)
        # as short as rounding permits, to cross few kinks, but no longer than truncation permits
        step = min(max(_ROUNDINGS * fine / (_SAFETY * within), fine ** (1 / 2)), fine ** (1 / 3))
        return cls(
            epsilon=fine,
            step=step * max(1.0, length),
            within=within,
            floor=coarse ** (3 / 8),
        )


def compare(
    claim: Sequence[Tensor],
    moved: Callable[[float], Sequence[Tensor]],
    accuracy: Accuracy,
    *,
    scale: float = 0.0,
    natural: float = 0.0,
    steps: int = STEPS,
) -> Comparison:
    r"""Compare a claimed derivative at zero with differences of the function.

    Args:
        claim: $y'(0)$ in parts, which are judged one by one.
        moved: $h \mapsto y(h)$, in the same parts.
        accuracy: of the comparison.
        scale: size that the derivative is expected to have, if larger than that of the claim.
        natural: the same in units of $|y|$.
        steps: how many of the ladder are tried; with `ONCE` one difference at the first step, with
            no estimate of truncation: only agreement is then to be believed.

    Cost: four evaluations where the claim is right and the function smooth, at most twenty; two
    with `ONCE`.
    """
    worst: Comparison | None = None
    for factor in _LADDER[: max(steps, 1)]:
        h = accuracy.step * factor
        coarse = _central(moved, h)
        value = coarse[0]
        errors = [_ROUNDINGS * accuracy.epsilon * size / h for size in coarse[1]]
        if steps != ONCE:
            fine = _central(moved, h / 2)
            errors = [
                float((b - a).norm()) + 2 * e
                for a, b, e in zip(value, fine[0], errors, strict=True)
            ]
            value = [(4 * b - a) / 3 for a, b in zip(value, fine[0], strict=True)]
        sizes = [max(float(c.norm()), float(v.norm())) for c, v in zip(claim, value, strict=True)]
        whole = max(scale, natural * _root_sum(coarse[1]), _root_sum(sizes))
        if not whole < float("inf"):  # overflow, or NaN
            continue
        apart = [float((v - c).norm()) for c, v in zip(claim, value, strict=True)]
        allowed = [
            accuracy.within * size + accuracy.floor * whole + _MARGIN * error
            for size, error in zip(sizes, errors, strict=True)
        ]
        if _root_sum(errors) > _SHARP * whole:
            continue
        part = max(range(len(apart)), key=lambda k: apart[k] / (allowed[k] or 1.0))
        if apart[part] <= allowed[part]:
            return Comparison(outcome=Outcome.AGREES)
        worst = worst or Comparison(
            outcome=Outcome.WRONG,
            part=part,
            claimed=float(claim[part].norm()),
            difference=apart[part],
        )
    return worst or Comparison(outcome=Outcome.OPEN)


def _central(
    moved: Callable[[float], Sequence[Tensor]], h: float
) -> tuple[list[Tensor], list[float]]:
    """The central difference, and the sizes of what was subtracted."""
    up, down = moved(h), moved(-h)
    sizes = [max(float(a.norm()), float(b.norm())) for a, b in zip(up, down, strict=True)]
    return [(a - b) / (2 * h) for a, b in zip(up, down, strict=True)], sizes


def _root_sum(sizes: Sequence[float]) -> float:
    return sum(size**2 for size in sizes) ** 0.5

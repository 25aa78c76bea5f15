r"""Derivatives by differences with error estimates, independent of the graph of a product.

A claimed derivative $y'(0)$ is compared with $(y(h) - y(-h)) / 2h$ at two steps h and h / 2. Their
difference bounds the error of the extrapolated value, and rounding adds $\epsilon |y| / h$. A
ladder of steps serves smooth, stiff and piecewise smooth functions alike: at a kink differences
diverge as h falls, between kinks they converge, and many kinks need the smallest steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

import torch
from torch import Tensor

_LADDER = (1.0, 2.0**-5, 2.0**5, 2.0**-10, 2.0**10)  # steps in turn, in units of the first
_SAFETY = 1e-3  # rounding at the first step, relative to the tolerance
_SHARP = 0.01  # relative error up to which a difference decides
_TINY = 1e-3  # lengths below are tried beside a length of one
_MARGIN = 3.0  # estimated errors by which a claim may differ: a kink makes 2.3
_ROUNDINGS = 4.0  # machine epsilons by which an evaluation is rounded


class Outcome(Enum):
    """Outcome of a comparison with differences."""

    AGREES = "agrees"
    WRONG = "wrong"
    CORNER = "wrong there, right beside it"
    OPEN = "open"


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Comparison of a claimed derivative with a difference quotient.

    Attributes:
        outcome: whether they agree; open if no step is accurate enough to decide.
        part: index of the part with the largest difference relative to its tolerance.
        claimed: norm of the claim in that part.
        difference: norm of its difference from the difference quotient.
    """

    outcome: Outcome
    part: int = 0
    claimed: float = 0.0
    difference: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """Tolerances of a comparison and accuracy of the differences.

    Attributes:
        epsilon: machine epsilon of the evaluations.
        steps: tried in turn.
        within: relative tolerance in each part.
        floor: tolerance in each part relative to the whole.
    """

    epsilon: float
    steps: tuple[float, ...]
    within: float
    floor: float

    @classmethod
    def of(cls, claimed: torch.dtype, evaluated: torch.dtype, length: float) -> Accuracy:
        """Accuracy for a claim in one dtype and evaluations in another, at given |theta|."""
        coarse, fine = torch.finfo(claimed).eps, torch.finfo(evaluated).eps
        within = coarse ** (1 / 3)
        # as short as rounding permits, to cross few kinks, but no longer than truncation permits
        step = min(max(_ROUNDINGS * fine / (_SAFETY * within), fine ** (1 / 2)), fine ** (1 / 3))
        lengths = (length, 1.0) if 0 < length < _TINY else (max(1.0, length),)
        return cls(
            epsilon=fine,
            steps=tuple(step * unit * factor for unit in lengths for factor in _LADDER),
            within=within,
            floor=coarse ** (3 / 8),
        )

    @property
    def sharp(self) -> float:
        """Largest relative error with which one difference can confirm a claim."""
        return self.within / _MARGIN

    def rounding(self, size: float, h: float) -> float:
        """Rounding error of a central difference of step h."""
        return _ROUNDINGS * self.epsilon * size / h

    def hides(self, size: float, scale: float) -> bool:
        """Whether rounding hides a derivative of size `scale` at the first step."""
        return self.rounding(size, self.steps[0]) > self.sharp * scale


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    r"""A claimed derivative $y'(0)$ and the function y.

    Attributes:
        derivative: $y'(0)$ in parts, which are judged one by one.
        function: $h \mapsto y(h)$, in the same parts.
        accuracy: of the comparison.
        scale: expected size of the derivative, if larger than that of the claim.
        natural: the same in units of $|y|$.
    """

    derivative: Sequence[Tensor]
    function: Callable[[float], Sequence[Tensor]]
    accuracy: Accuracy
    scale: float = 0.0
    natural: float = 0.0

    def compare(self) -> Comparison:
        """The first step that is sharp and agrees; else the first that is sharp.

        Cost: four evaluations where the claim is right and the function smooth, four for each
        further step.
        """
        worst: Comparison | None = None
        for h in self.accuracy.steps:
            coarse, fine = _Difference(self.function, h), _Difference(self.function, h / 2)
            pairs = list(zip(coarse.value, fine.value, strict=True))
            rounding = [self.accuracy.rounding(size, h / 2) for size in coarse.sizes]
            errors = [norm(b - a) + e for (a, b), e in zip(pairs, rounding, strict=True)]
            extrapolated = [(4 * b - a) / 3 for a, b in pairs]
            found = self._judged(extrapolated, errors, coarse.size, sharp=_SHARP)
            if found.outcome is Outcome.AGREES:
                return found
            if found.outcome is Outcome.WRONG:
                worst = worst or found
        return worst or Comparison(outcome=Outcome.OPEN)

    def agrees_at_once(self) -> bool:
        """Whether one difference at the first step agrees; if not, nothing is decided.

        Truncation is not estimated, and rounding must be negligible. Cost: two evaluations.
        """
        h = self.accuracy.steps[0]
        difference = _Difference(self.function, h)
        errors = [self.accuracy.rounding(size, h) for size in difference.sizes]
        found = self._judged(difference.value, errors, difference.size, sharp=self.accuracy.sharp)
        return found.outcome is Outcome.AGREES

    def _judged(
        self, value: Sequence[Tensor], errors: Sequence[float], size: float, *, sharp: float
    ) -> Comparison:
        claim = self.derivative
        apart = [norm(v - c) for c, v in zip(claim, value, strict=True)]
        if not any(apart):
            return Comparison(outcome=Outcome.AGREES)
        sizes = [max(norm(c), norm(v)) for c, v in zip(claim, value, strict=True)]
        whole = max(self.scale, self.natural * size, _root_sum(sizes))
        if not whole < math.inf or _root_sum(errors) > sharp * whole:  # overflow, NaN, or rounding
            return Comparison(outcome=Outcome.OPEN)
        allowed = [
            self.accuracy.within * size + self.accuracy.floor * whole + _MARGIN * error
            for size, error in zip(sizes, errors, strict=True)
        ]
        part = max(range(len(apart)), key=lambda k: apart[k] / (allowed[k] or 1e-300))
        return Comparison(
            outcome=Outcome.AGREES if apart[part] <= allowed[part] else Outcome.WRONG,
            part=part,
            claimed=norm(claim[part]),
            difference=apart[part],
        )


class _Difference:
    """A central difference and the norm of its terms."""

    def __init__(self, moved: Callable[[float], Sequence[Tensor]], h: float) -> None:
        up, down = moved(h), moved(-h)
        self.sizes = [max(norm(a), norm(b)) for a, b in zip(up, down, strict=True)]
        self.value = [(a - b).div_(2 * h) for a, b in zip(up, down, strict=True)]

    @property
    def size(self) -> float:
        return _root_sum(self.sizes)


def norm(tensor: Tensor) -> float:
    """Euclidean norm."""
    # in double precision, where squares of small numbers do not underflow
    return float(torch.linalg.vector_norm(tensor, dtype=torch.float64))


def _root_sum(sizes: Sequence[float]) -> float:
    return math.hypot(*sizes)

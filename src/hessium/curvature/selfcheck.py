"""Checks of an operator before anybody believes an eigenvalue.

Values and gradients of the loss are the oracle: differences of the loss for the gradient,
differences of gradients (or of outputs) for products. Neither shares a graph with the product.
"""

from __future__ import annotations

import functools
import re
import warnings
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor

from hessium.curvature.differences import ONCE, STEPS, Accuracy, Comparison, Outcome, compare
from hessium.curvature.finite_difference import CentralDifference
from hessium.errors import InputError, NonFiniteError, SelfCheckError, SelfCheckWarning
from hessium.linalg.operator import SymmetricOperator
from hessium.problem import EmpiricalRisk

if TYPE_CHECKING:
    from hessium.curvature.base import RiskOperator

Test: TypeAlias = Callable[[EmpiricalRisk, EmpiricalRisk, int], Comparison]

# how torch says that an operation has a first derivative only
_ONCE = ("is not implemented", "differentiate twice", "not supported for double backward")
_FEW_DIGITS = "differences in single precision"
_NEARBY = 1e-2  # of theta: the distance of the places beside a kink or a critical point
_NATURAL = 1e-3  # of |y| / |theta|: derivatives below that are compared with zero


def tolerance(dtype: torch.dtype) -> float:
    """Largest relative difference that rounding explains: the square root of machine epsilon."""
    return float(torch.finfo(dtype).eps ** 0.5)


def probe_vectors(operator: SymmetricOperator, count: int) -> Tensor:
    """Fixed random unit vectors (n, count), the same on every device."""
    generator = torch.Generator().manual_seed(20170706)
    vectors = torch.randn(
        operator.shape[0], count, generator=generator, dtype=torch.float64, device="cpu"
    )
    vectors /= vectors.norm(dim=0)
    return vectors.to(operator.device, operator.dtype)


def self_check(operator: RiskOperator) -> None:
    """Try an operator on two vectors.

    An operator that passed on a model is tried on one vector only at other parameters, and in full
    if that does not decide.

    Raises:
        InputError: if torch cannot differentiate an operation of the model or loss twice.
        NonFiniteError: if the gradient or a product is not finite.
        SelfCheckError: naming the check that failed, with the size of the disagreement.

    Cost: 13 to 20 gradients; about 4 where the operator is known from other parameters.
    """
    risk = operator.risk
    kind = f"{type(operator).__name__} {'by differences' if operator.differenced else ''}"
    v, w = directions(risk)
    line = _Line(operator, v)
    if kind in risk.proven and _agrees_at_once(operator, line, v):
        return
    before = _state(risk)
    check_slope(risk, repr(operator), line.value)
    try:
        _check_derivatives(operator, v, w, line)
    except (InputError, NonFiniteError, SelfCheckError, RuntimeError):
        if not operator.can_fall_back:
            raise
        operator.fall_back()
        _check_derivatives(operator, v, w, line)
    if _state(risk) != before:
        msg = (
            f"{operator!r}: a product changed the model (a parameter, buffer, gradient or mode); "
            "its forward pass writes to something that is not a registered buffer"
        )
        raise SelfCheckError(msg)
    risk.proven.add(kind)


def _agrees_at_once(operator: RiskOperator, line: _Line, v: Tensor) -> bool:
    risk = operator.risk
    fine = with_more_digits(risk) if _FEW_DIGITS in risk.refuted else None
    found = line.compared(operator @ v, risk, fine or risk, ONCE)
    return found.outcome is Outcome.AGREES


class _Line:
    r"""What an operator differentiates, on lines $\theta + h v$, each point evaluated once.

    Args:
        operator: whose product with v is the derivative.
        direction: v.
    """

    def __init__(self, operator: RiskOperator, direction: Tensor) -> None:
        # not held: an operator must go as soon as its user lets it go, with its graphs
        self._operator: RiskOperator = weakref.proxy(operator)
        self._direction = direction
        self._others: dict[int, RiskOperator] = {}  # by the risk, which they keep alive
        self._known: dict[tuple[int, float], tuple[float, Tensor]] = {}

    def at(self, fine: EmpiricalRisk, h: float) -> tuple[float, Tensor]:
        """Value of the loss and the vector that is differentiated."""
        key = (id(fine), h)
        if key not in self._known:
            source = self._operator
            if fine is not source.risk:
                source = self._others.setdefault(id(fine), source.elsewhere(fine))
            moved = fine.at(fine.theta + h * self._direction.to(fine.dtype))
            self._known[key] = source.primitive(moved)
        return self._known[key]

    def value(self, fine: EmpiricalRisk, h: float) -> float:
        """Value of the loss."""
        return self.at(fine, h)[0]

    def product(self, place: EmpiricalRisk) -> Tensor:
        """The product at another place."""
        return self._operator.elsewhere(place) @ self._direction

    def compared(
        self,
        product: Tensor,
        place: EmpiricalRisk,
        fine: EmpiricalRisk,
        steps: int,
    ) -> Comparison:
        """A product at `place` beside differences evaluated by `fine`, the same in more digits."""
        layout, length = place.layout, max(1.0, float(place.theta.norm()))
        return compare(
            layout.unflatten(product.to(fine.dtype)),
            lambda h: layout.unflatten(self.at(fine, h)[1]),
            Accuracy.of(place.dtype, fine.dtype, length),
            natural=_NATURAL / length,
            steps=steps,
        )


def directions(risk: EmpiricalRisk) -> tuple[Tensor, Tensor]:
    """Two fixed random unit vectors with the same share in every parameter tensor.

    Zero in the padding rows of embeddings, which torch keeps constant by its own rule.
    """
    generator = torch.Generator().manual_seed(20170706)
    normal = torch.randn(2, risk.dim, generator=generator, dtype=torch.float64, device="cpu")
    pair = normal.unbind(0)
    for vector in pair:
        for at in risk.constant_entries():
            vector[at] = 0.0
        for part in risk.layout.unflatten(vector):
            part /= float(part.norm()) or 1.0
        vector /= float(vector.norm()) or 1.0
    one, other = (vector.to(risk.theta) for vector in pair)
    return one, other


def _check_derivatives(operator: RiskOperator, v: Tensor, w: Tensor, line: _Line) -> None:
    product = _product(operator, v)
    _check_products(operator, v, w, product)
    if not operator.differenced:
        _check_against_differences(operator, line, product)


def _product(operator: RiskOperator, vector: Tensor) -> Tensor:
    try:
        return operator @ vector
    except NonFiniteError as error:
        product = error.partial
        names = operator.risk.not_finite(product) if isinstance(product, Tensor) else []
        msg = (
            f"{operator!r}: entries of a product are NaN or infinite, in the rows of "
            f"{', '.join(names)}; a second derivative does not exist there (a norm, sqrt, acos or "
            "power at the boundary of its domain), or overflows"
        )
        raise NonFiniteError(msg, partial=product) from error
    except RuntimeError as error:
        if operator.can_fall_back or not any(words in str(error) for words in _ONCE):
            raise
        raise InputError(_once_only(operator.risk, str(error))) from error


def _check_products(operator: RiskOperator, v: Tensor, w: Tensor, product: Tensor) -> None:
    """Determinism, blocks, symmetry, and another graph."""
    block = operator @ torch.stack([v, w], dim=1)
    scale = float(product.norm() + block[:, 1].norm())
    found = operator.by_double_backward(v)
    if found is not None:
        expected, size = found
        scale = max(scale, size)
        _agree(operator, "agrees with double backward", product, expected, scale)
    error = float((block[:, 0] - product).norm())
    if error > tolerance(operator.dtype) * scale:
        _agree(operator, "gives the same product twice", product, operator @ v, scale)
        _agree(operator, "gives the same products in a block", block[:, 0], product, scale)
    _agree(operator, "is symmetric", w @ product, v @ block[:, 1], scale)


def _agree(
    operator: SymmetricOperator, what: str, one: Tensor, other: Tensor, scale: float
) -> None:
    error = float((one - other).norm())
    allowed = tolerance(operator.dtype) * scale
    if error > allowed:
        msg = (
            f"{operator!r}: failed the check that it {what} (difference {error:.3g}, rounding "
            f"allows {allowed:.3g}); the model may be random or stateful, need float64 "
            "(dtype=torch.float64), or use an operation whose second derivative is wrong"
        )
        raise SelfCheckError(msg)


def check_slope(
    risk: EmpiricalRisk, who: str, value: Callable[[EmpiricalRisk, float], float] | None = None
) -> None:
    """The gradient is the slope of the loss, along itself and along a random direction.

    Missing parts of a gradient are orthogonal to it: only other directions see them.

    Args:
        risk: whose gradient.
        who: what the messages begin with.
        value: (risk, h) -> value at distance h along the random direction, where it is known.

    Raises:
        SelfCheckError: if it is not.
    """
    if "slope" in risk.proven:
        return
    known = {id(risk): risk.gradient()}

    def gradient_at(place: EmpiricalRisk) -> Tensor:
        return known[id(place)] if id(place) in known else place.gradient()

    def along_itself(place: EmpiricalRisk, fine: EmpiricalRisk, steps: int) -> Comparison:
        gradient = gradient_at(place)
        norm = float(gradient.norm())
        if not norm:
            return Comparison(outcome=Outcome.OPEN)
        direction = (gradient / norm).to(fine.dtype)

        def moved(h: float) -> float:
            return fine.at(fine.theta + h * direction).value()

        return _slope(norm, norm, moved, place, fine, steps)

    def along_random(
        number: int, place: EmpiricalRisk, fine: EmpiricalRisk, steps: int
    ) -> Comparison:
        gradient, direction = gradient_at(place), directions(place)[number]
        typical, wide = _typical(gradient, direction, place), direction.to(fine.dtype)

        def moved(h: float) -> float:
            if value and number == 0:
                return value(fine, h)
            return fine.at(fine.theta + h * wide).value()

        return _slope(float(gradient @ direction), typical, moved, place, fine, steps)

    for where, test in (
        ("its gradient", along_itself),
        ("a random direction", functools.partial(along_random, 0)),
        ("another random direction", functools.partial(along_random, 1)),
    ):
        found = settled(risk, test)
        if found.outcome is Outcome.WRONG:
            msg = (
                f"{who}: along {where} the gradient claims a slope of {found.claimed:.6g}, from "
                f"which differences of the loss differ by {found.difference:.3g}; the model or "
                "loss may stop gradients (detach, no_grad), or have a wrong backward pass"
            )
            raise SelfCheckError(msg)
        if found.outcome is Outcome.OPEN:
            _say(who, f"the gradient with differences of the loss along {where}")
    risk.proven.add("slope")


def _slope(
    claim: float,
    scale: float,
    moved: Callable[[float], float],
    place: EmpiricalRisk,
    fine: EmpiricalRisk,
    steps: int,
) -> Comparison:
    accuracy = Accuracy.of(place.dtype, fine.dtype, float(place.theta.norm()))
    number = torch.tensor
    return compare(
        [number(claim, dtype=torch.float64)],
        lambda h: [number(moved(h), dtype=torch.float64)],
        accuracy,
        scale=scale,
        steps=steps,
    )


def _typical(gradient: Tensor, direction: Tensor, risk: EmpiricalRisk) -> float:
    """Root mean square of the slope along random directions of this kind."""
    parts = zip(risk.layout.unflatten(gradient), risk.layout.unflatten(direction), strict=True)
    return float(sum(float(g.norm() * d.norm()) ** 2 / max(1, g.numel()) for g, d in parts)) ** 0.5


def _check_against_differences(operator: RiskOperator, line: _Line, product: Tensor) -> None:
    """Products are derivatives of gradients (or of outputs)."""
    risk = operator.risk
    found = settled(
        risk,
        lambda place, fine, steps: line.compared(
            product if place is risk else line.product(place), place, fine, steps
        ),
    )
    if found.outcome is Outcome.WRONG:
        raise SelfCheckError(_opaque(operator, risk.names[found.part], found))
    if found.outcome is Outcome.OPEN:
        _say(repr(operator), "products with differences of gradients")


def settled(risk: EmpiricalRisk, test: Test) -> Comparison:
    """The outcome of a test at the risk, with more digits or beside it where that is not enough.

    A network may sit at a kink, where differences are no derivatives, or at a critical point, where
    rounding hides the slope. So a disagreement counts if it persists beside the place.

    Args:
        risk: where.
        test: (place, the same place in more digits if possible, steps) -> comparison.
    """
    single = risk.dtype is not torch.float64
    if not single or _FEW_DIGITS not in risk.refuted:
        found = test(risk, risk, ONCE)
        if found.outcome is Outcome.AGREES:
            return found
    fine = with_more_digits(risk) if single else None
    for steps in (ONCE, STEPS) if fine is not None else (STEPS,):
        found = _tried(test, risk, fine or risk, steps)
        if found.outcome is Outcome.AGREES:
            if fine is not None:
                risk.refuted.add(_FEW_DIGITS)  # as they will be for other products
            return found
    length = float(risk.theta.norm()) or 1.0
    beside = []
    for direction in directions(risk):
        theta = risk.theta + _NEARBY * length * direction
        place = risk.at(theta)
        there = place if fine is None else fine.at(theta.to(fine.dtype))
        beside.append(_tried(test, place, there, STEPS))
    wrong = [one for one in beside if one.outcome is Outcome.WRONG]
    if wrong:
        return found if found.outcome is Outcome.WRONG else wrong[0]
    return max(beside, key=lambda one: one.outcome is Outcome.AGREES)


def _tried(test: Test, place: EmpiricalRisk, fine: EmpiricalRisk, steps: int) -> Comparison:
    """A test that is open where it cannot be made."""
    try:
        return test(place, fine, steps)
    except (InputError, NonFiniteError):
        return Comparison(outcome=Outcome.OPEN)


def with_more_digits(risk: EmpiricalRisk) -> EmpiricalRisk | None:
    """The risk in float64, if it is not there already and can be evaluated there."""
    if risk.dtype is torch.float64:
        return None
    try:
        fine = risk.in_dtype(torch.float64)
        fine.value()
    except Exception:  # kernels for one dtype, devices without float64, data that do not convert
        return None
    return fine


def _say(who: str, what: str) -> None:
    warnings.warn(
        f"{who}: could not compare {what}, because these do not converge at any step (kinks, "
        "noise, or too few digits); what follows rests on automatic differentiation alone "
        "(dtype=torch.float64 may decide it)",
        SelfCheckWarning,
        stacklevel=5,
    )


def _opaque(operator: RiskOperator, name: str, found: Comparison) -> str:
    way = "; hs.Hessian(risk, route='finite-difference') works without them"
    return (
        f"{operator!r}: products disagree with differences, most in the rows of '{name}' (norm "
        f"{found.claimed:.3g}, disagreement {found.difference:.3g}); the model or loss has second "
        "derivatives that autograd does not see (a custom autograd.Function that computes in its "
        "backward pass under no_grad, with detach, in NumPy or in a compiled kernel)"
        + (way if type(operator).__name__ == "Hessian" else "")
    )


def _once_only(risk: EmpiricalRisk, error: str) -> str:
    """The message for an operation without a second derivative: which, where, and what works."""
    operation = re.search(r"derivative for '?(?:aten::)?(\w+)'? is not implemented", error)
    name = operation[1] if operation else error.splitlines()[0]
    try:
        difference = CentralDifference(risk, directions(risk)[0])
        way = (
            "hs.Hessian(risk, route='finite-difference') works here, with a relative error of "
            f"about {difference.error:.1g}"
        )
    except (SelfCheckError, NonFiniteError) as failure:
        way = f"finite differences do not work here either ({failure})"
    return (
        f"{_culprit(risk)}: torch cannot differentiate one of its operations twice ({name}); {way}"
    )


def _culprit(risk: EmpiricalRisk) -> str:
    """The argument whose operations have no second derivative."""
    if not risk.has_outputs:
        return "closure"
    inputs, targets = next(iter(risk.batches()))
    f = risk.outputs(risk.leaves(), inputs).detach()
    try:
        with torch.enable_grad():
            risk.output_hessian(f, targets).product(torch.ones_like(f).reshape(len(f), -1))
    except RuntimeError:
        return "loss"
    return "model"


def _state(risk: EmpiricalRisk) -> list[object]:
    """What must not change: versions count in-place writes."""
    tensors = [*risk.model.parameters(), *risk.model.buffers()]
    return [
        *((id(t), t._version, t.requires_grad, id(t.grad)) for t in tensors),
        *(m.training for m in risk.model.modules()),
    ]

"""Self-check of an operator against independent derivatives.

The gradient is compared with differences of the loss, products with differences of gradients (or of
outputs). Neither shares a graph with the product.
"""

from __future__ import annotations

import re
import warnings
import weakref
from collections import OrderedDict
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from hessium.curvature.differences import Accuracy, Claim, Comparison, Outcome, norm
from hessium.curvature.finite_difference import CentralDifference
from hessium.curvature.gradient_check import (
    check_slope,
    say_undecided,
    slope_claim,
    typical_slope,
)
from hessium.curvature.places import SINGLE_PRODUCTS, SINGLE_SLOPES, Precisions, directions
from hessium.errors import InputError, NonFiniteError, SelfCheckError, SelfCheckWarning
from hessium.linalg.operator import SymmetricOperator
from hessium.problem import EmpiricalRisk
from hessium.problem.one_pass import values

if TYPE_CHECKING:
    from hessium.curvature.base import RiskOperator

NATURAL = 1e-3  # of |y| / |theta|: derivatives below that are compared with zero
_VECTORS = 4  # kept of one line: as many as one comparison needs again


def tolerance(dtype: torch.dtype) -> float:
    """Relative tolerance for rounding: the square root of machine epsilon."""
    return float(torch.finfo(dtype).eps ** 0.5)


def same_products(one: Tensor, other: Tensor) -> bool:
    """Whether two products are equal to rounding."""
    return bool((one - other).norm() <= tolerance(one.dtype) * other.norm())


def probe_vectors(operator: SymmetricOperator, count: int) -> Tensor:
    """Fixed random unit vectors (n, count), the same on every device."""
    generator = torch.Generator().manual_seed(20170706)
    vectors = torch.randn(
        operator.shape[0], count, generator=generator, dtype=torch.float64, device="cpu"
    )
    vectors /= vectors.norm(dim=0)
    return vectors.to(operator.device, operator.dtype)


def self_check(operator: RiskOperator) -> None:
    """Check an operator on two vectors.

    An operator that passed on a model is checked on one vector only at other parameters, and in
    full if that is inconclusive.

    Raises:
        InputError: if torch cannot differentiate an operation of the model or loss twice.
        NonFiniteError: if the gradient or a product is not finite.
        SelfCheckError: with the check that failed and the size of the disagreement.

    Cost: 9 to 20 gradients, most in single precision with kinks; 5 to 8 where the operator is
    known from other parameters.
    """
    risk = operator.risk
    kind = f"{type(operator).__name__} {'by differences' if operator.differenced else ''}"
    v, w = directions(risk)
    line = _Line(operator, v)
    precisions = Precisions(risk)
    if kind in risk.proven:
        if _still_right(operator, line, precisions):
            return
        risk.proven.discard("slope")
    before = _state(risk)
    check_slope(precisions, repr(operator), line.value)
    try:
        _check_derivatives(operator, v, w, line, precisions)
    except (InputError, NonFiniteError, SelfCheckError, RuntimeError):
        if not operator.can_fall_back:
            raise
        operator.fall_back()
        _check_derivatives(operator, v, w, line, precisions)
    with risk.ranks.together("check of the state"):
        if _state(risk) != before:
            msg = (
                f"{operator!r}: a product changed the model (a parameter, buffer, gradient or "
                "mode); its forward pass writes to something that is not a registered buffer"
            )
            raise SelfCheckError(msg)
    risk.proven.add(kind)


def _still_right(operator: RiskOperator, line: _Line, precisions: Precisions) -> bool:
    """Check one product and the gradient by one difference each; False if inconclusive."""
    risk = operator.risk
    fine = precisions.finest(SINGLE_PRODUCTS)
    claim = line.claim(operator @ line.direction, risk, fine)
    if not claim.agrees_at_once():
        return False
    if not operator.differences_gradients:
        return True
    # the mean of the slopes at both ends is that of the values, to the same order
    h = claim.accuracy.steps[0]
    along = line.direction.to(fine.dtype)
    up, down = line.at(fine, h)[1], line.at(fine, -h)[1]
    size = typical_slope(up, along, risk.layout)
    slope = float((up + down) @ along) / 2
    sharp = precisions.finest(SINGLE_SLOPES)
    return slope_claim(slope, size, lambda x: line.value(sharp, x), risk, sharp).agrees_at_once()


class _Line:
    r"""The function that an operator differentiates, on the line $\theta + h v$; values are cached.

    Args:
        operator: whose product with v is the derivative.
        direction: v.
    """

    def __init__(self, operator: RiskOperator, direction: Tensor) -> None:
        # a weak reference: an operator and its graphs must be freed with the user's reference
        self._operator: RiskOperator = weakref.proxy(operator)
        self.direction = direction
        self._others: dict[int, RiskOperator] = {}  # by the risk, which they keep alive
        self._values: dict[tuple[int, float], float] = {}
        self._vectors: OrderedDict[tuple[int, float], Tensor] = OrderedDict()

    def at(self, fine: EmpiricalRisk, h: float) -> tuple[float, Tensor]:
        """Value of the loss and the vector that is differentiated."""
        key = (id(fine), h)
        if key not in self._vectors:
            source = self._operator
            if fine is not source.risk:
                if id(fine) not in self._others:
                    self._others[id(fine)] = source.elsewhere(fine)
                source = self._others[id(fine)]
            along = self.direction.to(fine.dtype)
            # a difference needs both ends: one pass over the data
            ends = (-h, h)
            found = source.primitives([fine.at(fine.theta + end * along) for end in ends])
            for end, (value, vector) in zip(ends, found, strict=True):
                self._values[id(fine), end], self._vectors[id(fine), end] = value, vector
            while len(self._vectors) > _VECTORS:
                self._vectors.popitem(last=False)
        return self._values[key], self._vectors[key]

    def value(self, fine: EmpiricalRisk, h: float) -> float:
        """Value of the loss."""
        key = (id(fine), h)
        if key not in self._values and self._gradients_there(fine):
            return self.at(fine, h)[0]
        if key not in self._values:
            along = self.direction.to(fine.dtype)
            found = values([fine.at(fine.theta + end * along) for end in (-h, h)])
            self._values |= {(id(fine), end): v for end, v in zip((-h, h), found, strict=True)}
        return self._values[key]

    def _gradients_there(self, fine: EmpiricalRisk) -> bool:
        """Whether products are compared at the same place: one pass gives values and vectors."""
        risk = self._operator.risk
        single = risk.dtype is not torch.float64
        return (fine is not risk) == (single and SINGLE_PRODUCTS in risk.refuted)

    def product(self, place: EmpiricalRisk) -> Tensor:
        """The product at another place."""
        return self._operator.elsewhere(place) @ self.direction

    def claim(self, product: Tensor, place: EmpiricalRisk, fine: EmpiricalRisk) -> Claim:
        """A product at `place`, whose differences `fine` evaluates."""
        layout, length = place.layout, float(place.theta.norm())
        return Claim(
            derivative=layout.unflatten(product.to(fine.dtype)),
            function=lambda h: layout.unflatten(self.at(fine, h)[1]),
            accuracy=Accuracy.of(place.dtype, fine.dtype, length),
            natural=NATURAL / (length or 1.0),
        )


def _check_derivatives(
    operator: RiskOperator, v: Tensor, w: Tensor, line: _Line, precisions: Precisions
) -> None:
    product = _product(operator, v)
    _check_products(operator, v, w, product)
    if not operator.differenced:
        _check_against_differences(operator, line, precisions, product)


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
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        if operator.can_fall_back:
            raise
        raise InputError(_once_only(operator.risk, str(error))) from error


def _check_products(operator: RiskOperator, v: Tensor, w: Tensor, product: Tensor) -> None:
    """Symmetry; block products, recorded programs and determinism where they may differ."""
    if not operator.multiplies_blocks:
        other = operator @ w
        scale = norm(product) + norm(other)
        _agree(operator, "products are not symmetric", w @ product, v @ other, scale)
        return
    block = operator @ torch.stack([v, w], dim=1)
    scale = norm(product) + norm(block[:, 1])
    if norm(block[:, 0] - product) > tolerance(operator.dtype) * scale:
        _agree(operator, "a repeated product differs", product, operator @ v, scale)
        _agree(operator, "block products differ from single products", block[:, 0], product, scale)
    _agree(operator, "products are not symmetric", w @ product, v @ block[:, 1], scale)


def _agree(
    operator: SymmetricOperator, what: str, one: Tensor, other: Tensor, scale: float
) -> None:
    error = norm(one - other)
    allowed = tolerance(operator.dtype) * scale
    if error > allowed:
        msg = (
            f"{operator!r}: self-check failed: {what} (difference {error:.3g}, rounding "
            f"allows {allowed:.3g}); the model may use an operation whose second derivative is "
            "wrong (hs.Hessian(risk, route='finite-difference') avoids it), be random or "
            "stateful, or need float64 (dtype=torch.float64)"
        )
        raise SelfCheckError(msg)


def _check_against_differences(
    operator: RiskOperator, line: _Line, precisions: Precisions, product: Tensor
) -> None:
    """Compare products with differences of gradients (or of outputs)."""
    risk = operator.risk
    found = precisions.settled(
        lambda place, fine: line.claim(
            product if place is risk else line.product(place), place, fine
        ),
        SINGLE_PRODUCTS,
    )
    name = risk.names[found.part]
    if found.outcome is Outcome.WRONG:
        raise SelfCheckError(_opaque(operator, name, found))
    if found.outcome is Outcome.OPEN:
        say_undecided(repr(operator), "products with differences of gradients")
    if found.outcome is Outcome.CORNER:
        warnings.warn(
            f"{operator!r}: products disagree with differences at these parameters, most in the "
            f"rows of '{name}', but agree beside them; the gradient may have a corner here (ELU, "
            "Huber), or an expression that is guarded at one point (torch.where) loses its second "
            "derivative there",
            SelfCheckWarning,
            stacklevel=5,
        )


def _opaque(operator: RiskOperator, name: str, found: Comparison) -> str:
    way = "; hs.Hessian(risk, route='finite-difference') works without them"
    return (
        f"{operator!r}: products disagree with differences, most in the rows of '{name}' (norm "
        f"{found.claimed:.3g}, disagreement {found.difference:.3g}); the model or loss has second "
        "derivatives that autograd does not see, such as those of a custom autograd.Function whose "
        "backward pass uses no_grad, detach, NumPy or a compiled kernel, or of an adjoint solver "
        "(differentiate through its steps: torchdiffeq's odeint, not odeint_adjoint)"
        + (way if type(operator).__name__ == "Hessian" else "")
    )


def _once_only(risk: EmpiricalRisk, error: str) -> str:
    """Error message for an operation without a second derivative, with location and remedy."""
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
    inputs, targets = next(iter(risk.own_batches()), (None, None))
    if inputs is None:  # no data in this process
        return "model or loss"
    f = risk.outputs(risk.leaves(), inputs).detach()
    try:
        with torch.enable_grad():
            risk.output_hessian(f, targets).product(torch.ones_like(f).reshape(len(f), -1))
    except RuntimeError:
        return "loss"
    return "model"


def _state(risk: EmpiricalRisk) -> list[object]:
    """State of the model that must not change; versions count in-place writes."""
    with risk.undisturbed():
        tensors = [*risk.model.parameters(), *risk.model.buffers()]
        return [
            *((id(t), t._version, t.requires_grad, id(t.grad)) for t in tensors),
            *(m.training for m in risk.model.modules()),
        ]

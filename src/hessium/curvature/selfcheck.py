"""Self-check of an operator against independent derivatives.

The gradient is compared with differences of the loss, products with differences of gradients (or of
outputs). Neither shares a graph with the product.
"""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from hessium.curvature.differences import Comparison, Outcome
from hessium.curvature.finite_difference import CentralDifference
from hessium.curvature.gradient_check import SLOPE, check_slope, say_undecided
from hessium.curvature.line import Line
from hessium.curvature.places import SINGLE_PRODUCTS, Precisions, direction, directions
from hessium.curvature.product_checks import check_products
from hessium.curvature.quick_check import agrees_on_part
from hessium.errors import InputError, NonFiniteError, SelfCheckError, SelfCheckWarning
from hessium.problem import EmpiricalRisk

if TYPE_CHECKING:
    from hessium.curvature.base import RiskOperator


def self_check(operator: RiskOperator) -> None:
    """Check an operator on two vectors.

    Differences are taken on a part of the samples of every batch, in float64, and on all of them,
    with several steps, if one difference does not confirm the derivatives. An operator that passed
    on an architecture is checked on one vector only at other parameters and with other data.

    Raises:
        InputError: if torch cannot differentiate an operation of the model or loss twice.
        NonFiniteError: if the gradient or a product is not finite.
        SelfCheckError: with the check that failed and the size of the disagreement.

    Cost: 6 to 11 gradients, three to five of them for the graphs of all samples, which products
    need anyway, and one product; 1 to 3 where the operator is known. 10 to 25 where differences are
    needed on all samples.
    """
    risk = operator.risk
    kind = f"{type(operator).__name__} {'by differences' if operator.differenced else ''}"
    known = risk.knows(kind)
    before = [] if known else _state(risk)
    if agrees_on_part(operator, known=known):
        if known:
            return
        _require_product(operator)
    else:
        before = before or _state(risk)
        risk.proven.discard(SLOPE)
        _check_in_full(operator)
    with risk.ranks.together("check of the state"):
        if _state(risk) != before:
            msg = (
                f"{operator!r}: a product changed the model (a parameter, buffer, gradient or "
                "mode); its forward pass writes to something that is not a registered buffer"
            )
            raise SelfCheckError(msg)
    risk.prove(kind)


def _require_product(operator: RiskOperator) -> None:
    """Check that a product with all samples exists and is finite."""
    try:
        _product(operator, direction(operator.risk))
    except RuntimeError:
        if not operator.can_fall_back:
            raise
        _check_in_full(operator)


def _check_in_full(operator: RiskOperator) -> None:
    """The gradient on three lines and products on two, on all samples."""
    precisions = Precisions(operator.risk)
    v, w = directions(operator.risk)
    line = Line(operator, v)
    check_slope(precisions, repr(operator), line.value)
    try:
        _check_derivatives(operator, v, w, line, precisions)
    except (InputError, NonFiniteError, SelfCheckError, RuntimeError):
        if not operator.can_fall_back:
            raise
        operator.fall_back()
        _check_derivatives(operator, v, w, line, precisions)


def _check_derivatives(
    operator: RiskOperator, v: Tensor, w: Tensor, line: Line, precisions: Precisions
) -> None:
    product = _product(operator, v)
    check_products(operator, v, w, product)
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


def _check_against_differences(
    operator: RiskOperator, line: Line, precisions: Precisions, product: Tensor
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
        say_undecided(repr(operator), "products with differences of gradients", risk.dtype)
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
        difference = CentralDifference(risk, direction(risk))
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

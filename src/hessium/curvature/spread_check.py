"""Self-check of products where the parameters are spread over processes.

All decisions are made from numbers that are the same in all processes, so that these go on alike.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from hessium.curvature.differences import Accuracy, Claim, Outcome
from hessium.curvature.gradient_check import say_undecided
from hessium.curvature.places import Precisions
from hessium.curvature.product_checks import tolerance
from hessium.curvature.product_plan import RouteName
from hessium.errors import InputError, SelfCheckError
from hessium.linalg.operator import SymmetricOperator
from hessium.linalg.vectors import gaussian_share, norm
from hessium.problem import EmpiricalRisk

if TYPE_CHECKING:
    from hessium.curvature.base import RiskOperator

_ROUTES = ("auto", "streaming", "finite-difference")


def require_spread_route(kind: str, route: RouteName, *, supported: bool) -> None:
    """Check that products exist where parameters are spread over processes.

    Raises:
        InputError: for another operator than the Hessian, or another route.
    """
    if not supported:
        msg = (
            f"risk: its parameters are spread over processes (fully_shard), where {kind} has no "
            "products; use hs.Hessian, or load the parameters into a plain module, and give "
            "process_group= for data on several processes"
        )
        raise InputError(msg)
    if route not in _ROUTES:
        msg = (
            f"route: {route!r}; of parameters that are spread over processes (fully_shard) no "
            f"graph is kept: one of {', '.join(map(repr, _ROUTES))} is required"
        )
        raise InputError(msg)


def random_unit(operator: SymmetricOperator, number: int) -> Tensor:
    """The share of a fixed random unit vector, the same on any number of processes."""
    share = gaussian_share(operator, np.random.default_rng([20170706, number]))
    return share / norm(share, operator.shares)


def check_spread(operator: RiskOperator) -> None:
    """Compare the gradient and a product with differences, and test symmetry.

    Differences are taken along one random direction, in float64 if the model can be evaluated
    there; of gradients those of three projections are compared.

    Raises:
        SelfCheckError: if they disagree.

    Cost: two products, one gradient, and in most cases four values and four gradients.
    """
    risk, shares = operator.risk, operator.shares
    fine = Precisions(risk).double or risk
    u, w, other = (random_unit(operator, number) for number in range(3))

    def dot(one: Tensor, two: Tensor) -> float:
        return float(shares.sum(one.double() @ two.double()))

    def at(h: float) -> EmpiricalRisk:
        return fine.at(fine.own_theta + h * u.to(fine.dtype))

    length = float(norm(risk.own_theta, shares))
    accuracy = Accuracy.of(risk.dtype, fine.dtype, length)
    gradient = risk.gradient()
    scale = float(norm(gradient, shares)) / shares.dim**0.5
    _judge(
        operator, "the gradient", [dot(gradient, u)], scale, accuracy,
        lambda h: [at(h).value()],
    )  # fmt: skip
    product, image = operator.times_shares(torch.stack([u, w]))
    sizes = [float(norm(one, shares)) for one in (product, image)]
    error, allowed = abs(dot(w, product) - dot(u, image)), tolerance(risk.dtype) * sum(sizes)
    if not operator.differenced and error > allowed:
        msg = (
            f"{operator!r}: products are not symmetric (difference {error:.3g}, rounding allows "
            f"{allowed:.3g}); the model may use an operation whose second derivative is wrong, be "
            "random or stateful, or need float64 (dtype=torch.float64)"
        )
        raise SelfCheckError(msg)
    if operator.differenced:  # it is a difference itself, with its own control
        return
    onto = (u, w, other)

    @functools.cache
    def projections(h: float) -> tuple[float, ...]:
        found = at(h).gradient()
        return tuple(dot(found, one) for one in onto)

    _judge(
        operator, "products", [dot(product, one) for one in onto], sizes[0] / shares.dim**0.5,
        accuracy, projections,
    )  # fmt: skip


def _judge(
    operator: RiskOperator,
    what: str,
    claimed: list[float],
    scale: float,
    accuracy: Accuracy,
    function: Callable[[float], Sequence[float]],
) -> None:
    """Compare numbers with the derivatives of a function at zero."""
    found = Claim(
        derivative=[_number(one) for one in claimed],
        function=lambda h: [_number(one) for one in function(h)],
        accuracy=accuracy,
        scale=scale,
    ).compare()
    if found.outcome is Outcome.WRONG:
        msg = (
            f"{operator!r}: {what} and differences disagree along a random direction "
            f"({found.claimed:.6g}, deviation {found.difference:.3g}); the model or loss may stop "
            "gradients (detach, no_grad), or have derivatives that autograd does not see "
            "(hs.Hessian(risk, route='finite-difference') needs first ones only)"
        )
        raise SelfCheckError(msg)
    if found.outcome is Outcome.OPEN:
        say_undecided(repr(operator), f"{what} with differences", operator.dtype)


def _number(value: float) -> Tensor:
    return torch.tensor(value, dtype=torch.float64, device="cpu")

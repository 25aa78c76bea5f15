"""Products with the Jacobian of a network, and their check."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch
from torch import Tensor

from hessium._arithmetic import full_precision
from hessium.curvature.differences import Accuracy, Claim, Outcome
from hessium.curvature.gradient_check import check_gradient, confirmed
from hessium.curvature.graph import OutputGraph
from hessium.curvature.places import (
    SHARE,
    SINGLE_PRODUCTS,
    Precisions,
    agrees_finely,
    direction,
)
from hessium.errors import SelfCheckError
from hessium.problem import EmpiricalRisk
from hessium.problem.one_pass import rows_of_all

_CHECKED = "jacobian"
DOUBLE_REVERSE = "double reverse"  # products with a Jacobian from two backward passes


def output_graph(risk: EmpiricalRisk, outputs: Tensor, leaves: Sequence[Tensor]) -> OutputGraph:
    """The Jacobian of one batch, by rows if double reverse failed its check."""
    by_rows = DOUBLE_REVERSE in risk.refuted
    return OutputGraph(outputs, leaves, risk.inside(leaves), by_rows=by_rows)


@full_precision()
def check_jacobian(risk: EmpiricalRisk, who: str) -> None:
    r"""Check $J v$ for a random v against differences of the outputs; once for a model.

    If double reverse is wrong or fails, the Jacobian is formed row by row from then on.

    Args:
        risk: a loss of outputs.
        who: prefix of the messages.

    Raises:
        SelfCheckError: if the rows are wrong too.

    Cost: two to three gradients the first time, about one on a known architecture; more where the
    check needs all samples.
    """
    if _CHECKED in risk.proven:
        return
    check_gradient(risk, who)
    v = direction(risk)
    part = risk.beginning(SHARE)
    if confirmed(lambda: agrees_finely(part, lambda fine: _claim(v, part, fine).agrees_at_once())):
        risk.prove(_CHECKED)
        return
    precisions = Precisions(risk)
    try:
        agrees = _pushes(precisions, v)
    except RuntimeError:
        agrees = False
    if not agrees:
        risk.refuted.add(DOUBLE_REVERSE)
        if not _pushes(precisions, v):
            msg = f"{who}: products with the Jacobian disagree with differences of the outputs"
            raise SelfCheckError(msg)
    risk.prove(_CHECKED)


def _pushes(precisions: Precisions, v: Tensor) -> bool:
    claim_at = functools.partial(_claim, v)
    return precisions.settled(claim_at, SINGLE_PRODUCTS).outcome is not Outcome.WRONG


def _claim(v: Tensor, place: EmpiricalRisk, fine: EmpiricalRisk) -> Claim:
    """J v at a place, whose differences `fine` evaluates."""
    length = place.length
    return Claim(
        derivative=[_jacobian_product(place, v).to(fine.dtype)],
        function=lambda h: [_outputs(fine.moved(v, h))],
        accuracy=Accuracy.of(place.dtype, fine.dtype, length),
        natural=1e-3 / (length or 1.0),
    )


@torch.enable_grad()
def _jacobian_product(risk: EmpiricalRisk, v: Tensor) -> Tensor:
    parts = risk.layout.unflatten(v)
    images = [v.new_empty(0)]
    with risk.ranks.together("check of the Jacobian"):
        for inputs, _ in risk.own_batches():
            leaves = risk.leaves()
            graph = output_graph(risk, risk.outputs(leaves, inputs), leaves)
            images.append(graph.push(parts, batched=False).reshape(-1))
    return rows_of_all(risk, torch.cat(images))


def _outputs(risk: EmpiricalRisk) -> Tensor:
    found = [torch.empty(0, dtype=risk.dtype, device=risk.device)]
    with risk.ranks.together("outputs"):
        leaves = risk.leaves()
        found += [risk.outputs(leaves, x).detach().reshape(-1) for x, _ in risk.own_batches()]
    return rows_of_all(risk, torch.cat(found))

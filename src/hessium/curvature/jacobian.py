"""Products with the Jacobian of a network, and their check."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from hessium._arithmetic import full_precision
from hessium.curvature.differences import Accuracy, Claim, Outcome
from hessium.curvature.gradient_check import check_slope
from hessium.curvature.graph import OutputGraph
from hessium.curvature.places import SINGLE_PRODUCTS, Precisions, directions
from hessium.errors import SelfCheckError
from hessium.problem import EmpiricalRisk
from hessium.problem.one_pass import rows_of_all

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

    Cost: about six gradients, the first time.
    """
    precisions = Precisions(risk)
    v = directions(risk)[0]
    ahead = _Ahead(v)
    shared = risk.ranks.alone and "jacobian" not in risk.proven
    check_slope(precisions, who, ahead.value if shared else None)
    if "jacobian" in risk.proven:
        return
    try:
        agrees = _pushes(precisions, v, ahead)
    except RuntimeError:
        agrees = False
    if not agrees:
        risk.refuted.add(DOUBLE_REVERSE)
        if not _pushes(precisions, v, ahead):
            msg = f"{who}: products with the Jacobian disagree with differences of the outputs"
            raise SelfCheckError(msg)
    risk.proven.add("jacobian")


class _Ahead:
    """Outputs and losses at distances along v, for both checks in one pass."""

    def __init__(self, v: Tensor) -> None:
        self._v = v
        # the risk is kept, so that no other has its id
        self._found: dict[tuple[int, float], tuple[EmpiricalRisk, Tensor, float]] = {}

    def outputs(self, risk: EmpiricalRisk, h: float) -> Tensor:
        """All outputs, flat."""
        return self._at(risk, h)[1]

    def value(self, risk: EmpiricalRisk, h: float) -> float:
        """The loss, of data in one process."""
        return self._at(risk, h)[2]

    def _at(self, risk: EmpiricalRisk, h: float) -> tuple[EmpiricalRisk, Tensor, float]:
        if (id(risk), h) not in self._found:
            there = risk.at(risk.theta + h * self._v.to(risk.dtype))
            self._found[id(risk), h] = (risk, *_outputs(there))
        return self._found[id(risk), h]


def _pushes(precisions: Precisions, v: Tensor, ahead: _Ahead) -> bool:
    def claim_at(place: EmpiricalRisk, fine: EmpiricalRisk) -> Claim:
        length = float(place.theta.norm())
        return Claim(
            derivative=[_jacobian_product(place, v).to(fine.dtype)],
            function=lambda h: [ahead.outputs(fine, h)],
            accuracy=Accuracy.of(place.dtype, fine.dtype, length),
            natural=1e-3 / (length or 1.0),
        )

    return precisions.settled(claim_at, SINGLE_PRODUCTS).outcome is not Outcome.WRONG


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


def _outputs(risk: EmpiricalRisk) -> tuple[Tensor, float]:
    """Outputs of all processes, and the loss of this one's data."""
    found, totals = [torch.empty(0, dtype=risk.dtype, device=risk.device)], []
    with risk.ranks.together("outputs"):
        leaves = risk.leaves()
        for inputs, targets in risk.own_batches():
            f = risk.outputs(leaves, inputs).detach()
            found.append(f.reshape(-1))
            totals.append(float(risk.loss_of(f, targets).detach()))
    return rows_of_all(risk, torch.cat(found)), math.fsum(totals) / risk.denominator

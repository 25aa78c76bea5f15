"""The Hessian of a risk, and the part of it that the curvature of the network makes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from hessium.curvature.base import RiskOperator, require_outputs
from hessium.curvature.finite_difference import CentralDifference
from hessium.curvature.graph import GradientGraph
from hessium.curvature.layerwise import dense_second_order
from hessium.curvature.routes import BatchProduct, RouteName
from hessium.curvature.selfcheck import probe_vectors
from hessium.problem import EmpiricalRisk
from hessium.problem.data import Batch


class Hessian(RiskOperator):
    r"""$H = \nabla^2 L(\theta)$, exact, by double backward.

    For ReLU networks this is the Hessian almost everywhere: the kinks contribute nothing.
    Arguments and errors as in `RiskOperator`. Cost of a product: 1.3 to 2.3 gradients while the
    graphs are kept, one gradient more otherwise.
    """

    # the engine walks these graphs as fast as a recorded program runs (0.98 to 1.09 of its time)
    _recording_pays = False

    def _graph(self, leaves: Sequence[Tensor], batch: Batch) -> BatchProduct:
        return GradientGraph(self.risk.total(leaves, batch), leaves)

    def _assemble(self, work: int) -> Tensor | None:
        return dense_second_order(self.risk, self.risk.loss.total, work)

    def _differences(self) -> CentralDifference:
        return CentralDifference(self.risk, probe_vectors(self, 1)[:, 0])

    def _reference(self, vector: Tensor) -> tuple[Tensor, float] | None:
        if self._asked == "finite-difference":  # asked for where double backward is not to be had
            return None
        return double_backward(self.risk, self.risk.loss.total, vector)


class ResidualHessian(RiskOperator):
    r"""$H_1 = \frac1D \sum_{s,c} \frac{\partial\ell}{\partial f_{sc}} \nabla^2 f_{sc} = H - H_0$.

    Computed directly, as the Hessian of $\langle f(\theta), e\rangle$ with $e = \nabla_f \ell$ held
    fixed, not as a difference (Pennington & Bahri 2017, eq. 5; their $H_1$). Zero at zero residual.
    Arguments and errors as in `RiskOperator`; a closure has none. Cost as for `Hessian`.
    """

    _recording_pays = False

    def __init__(
        self,
        risk: EmpiricalRisk,
        *,
        check: bool = True,
        graph_bytes: int = 2**30,
        route: RouteName = "auto",
    ) -> None:
        require_outputs(risk, "residual part")
        super().__init__(risk, check=check, graph_bytes=graph_bytes, route=route)

    def _graph(self, leaves: Sequence[Tensor], batch: Batch) -> BatchProduct:
        f = self.risk.outputs(leaves, batch[0])
        return GradientGraph(self._weighted_outputs(f, batch[1]), leaves)

    def _assemble(self, work: int) -> Tensor | None:
        return dense_second_order(self.risk, self._weighted_outputs, work)

    def _weighted_outputs(self, outputs: Tensor, targets: Any) -> Tensor:
        return (outputs * output_gradient(self.risk, outputs, targets)).sum()


def output_gradient(risk: EmpiricalRisk, outputs: Tensor, targets: Any) -> Tensor:
    r"""$e = \nabla_f \ell$ at the outputs, a constant tensor of their shape."""
    point = outputs.detach().requires_grad_()
    with torch.enable_grad():
        total = risk.loss.total(point, targets)
        if not total.requires_grad:
            return torch.zeros_like(point)
        (gradient,) = torch.autograd.grad(total, point, materialize_grads=True)
    return gradient


def double_backward(
    risk: EmpiricalRisk, scalar: Callable[[Tensor, Any], Tensor], vector: Tensor
) -> tuple[Tensor, float]:
    """Hessian-vector product of a scalar of the outputs, started over: nothing kept, one vector.

    Returns:
        The product and its norm.
    """
    product = torch.zeros_like(vector)
    parts = risk.layout.unflatten(vector)
    for inputs, targets in risk.batches():
        leaves = risk.leaves()
        total = scalar(risk.outputs(leaves, inputs), targets)
        if not total.requires_grad:
            continue
        slopes = torch.autograd.grad(total, leaves, create_graph=True, materialize_grads=True)
        along = torch.stack([(s * p).sum() for s, p in zip(slopes, parts, strict=True)]).sum()
        if along.requires_grad:
            second = torch.autograd.grad(along, leaves, materialize_grads=True)
            product += torch.cat([s.reshape(-1) for s in second])
    product /= risk.denominator
    return product, float(product.norm())

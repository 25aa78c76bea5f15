"""The Hessian of a risk and its residual part."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from hessium.curvature.base import RiskOperator
from hessium.curvature.closed_forms.mode import closed_forms
from hessium.curvature.dense_assembly import dense_second_order
from hessium.curvature.finite_difference import CentralDifference
from hessium.curvature.graph import GradientGraph
from hessium.curvature.product_checks import probe_vectors
from hessium.curvature.product_plan import BatchProduct, RouteName
from hessium.curvature.requirements import require_outputs
from hessium.curvature.spread_check import random_unit
from hessium.problem import EmpiricalRisk
from hessium.problem.data import Batch
from hessium.problem.one_pass import in_one_pass, values_and_gradients


class Hessian(RiskOperator):
    r"""$H = \nabla^2 L(\theta)$, exact, by double backward.

    For ReLU networks this is the Hessian almost everywhere, without contributions of the kinks.
    Arguments and errors as in `RiskOperator`. Cost of a product: 1.3 to 2.3 gradients if the graphs
    are cached, one gradient more otherwise.

    Example:
        >>> H = hs.Hessian(risk)
        >>> v = torch.ones(risk.dim, dtype=risk.dtype)
        >>> bool(torch.allclose(H @ v, H.dense() @ v))
        True
    """

    # recorded programs are no faster than these graphs (0.98 to 1.09 of the time)
    _recording_pays = False
    _spreads = True

    def _graph(self, leaves: Sequence[Tensor], batch: Batch) -> BatchProduct:
        with closed_forms(self.risk):
            total = self.risk.total(leaves, batch)
        return GradientGraph(total, leaves, self.risk.inside(leaves))

    def value_and_gradient(self) -> tuple[float, Tensor]:
        r"""$L(\theta)$ and $\nabla L(\theta)$, from the cached graphs.

        Cost: none where all graphs are cached, else one pass over the data.
        """
        if self.differenced or self.risk.spread is not None:
            return self.risk.value_and_gradient()
        totals, gradient = [], torch.zeros_like(self.risk.theta)
        shapes = self.risk.layout.unflatten(gradient)
        ranks = self.risk.ranks
        with torch.enable_grad(), ranks.together("gradient of the graphs"):
            for graph in self._products.over(self._make):
                assert isinstance(graph, GradientGraph)
                totals.append(graph.value)
                for part, found in zip(shapes, graph.gradient, strict=True):
                    if found is not None:
                        part += found
        (value,) = ranks.all_fsum([math.fsum(totals)])
        ranks.all_sum(gradient)
        return value / self.risk.denominator, gradient / self.risk.denominator

    @property
    def differences_gradients(self) -> bool:
        """True."""
        return True

    def primitives(self, moved: Sequence[EmpiricalRisk]) -> list[tuple[float, Tensor]]:
        """The gradient."""
        return values_and_gradients(moved)

    def _assemble(self, work: int) -> Tensor | None:
        return dense_second_order(self.risk, self.risk.loss_of, work)

    def _differences(self) -> CentralDifference:
        if self.risk.spread is not None:
            return CentralDifference(self.risk, random_unit(self, 0))
        return CentralDifference(self.risk, probe_vectors(self, 1)[:, 0])


class ResidualHessian(RiskOperator):
    r"""$H_1 = \frac1D \sum_{s,c} \frac{\partial\ell}{\partial f_{sc}} \nabla^2 f_{sc} = H - H_0$.

    Computed directly, as the Hessian of $\langle f(\theta), e\rangle$ with $e = \nabla_f \ell$ held
    fixed, not as a difference (Pennington & Bahri 2017, eq. 5; their $H_1$). Zero at zero residual.
    Arguments and errors as in `RiskOperator`; closures are rejected. Cost as for `Hessian`.

    Example:
        >>> H1 = hs.ResidualHessian(risk)
        >>> bool(torch.allclose(H1.dense(), H.dense() - H0.dense()))
        True
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
        with closed_forms(self.risk):
            f = self.risk.outputs(leaves, batch[0])
        return GradientGraph(self._weighted_outputs(f, batch[1]), leaves, self.risk.inside(leaves))

    def primitives(self, moved: Sequence[EmpiricalRisk]) -> list[tuple[float, Tensor]]:
        r"""$J(\theta + h v)^T e(\theta)$."""
        return pulled(
            self.risk, moved, lambda _, f, y: self.risk.output_gradient(f, y), through_moved=True
        )

    def _assemble(self, work: int) -> Tensor | None:
        return dense_second_order(self.risk, self._weighted_outputs, work)

    def _weighted_outputs(self, outputs: Tensor, targets: Any) -> Tensor:
        return (outputs * self.risk.output_gradient(outputs, targets)).sum()


def pulled(
    risk: EmpiricalRisk,
    moved: Sequence[EmpiricalRisk],
    cotangent: Callable[[Tensor, Tensor, Any], Tensor],
    *,
    through_moved: bool = False,
) -> list[tuple[float, Tensor]]:
    r"""Value of the loss at each of `moved`, and $J^T u / D$, in one pass.

    Args:
        risk: the risk of the operator.
        moved: the same risk nearby.
        cotangent: (outputs at one of `moved`, outputs at `risk`, targets) -> u, of their shape.
        through_moved: whether J is that at `moved`, not that at `risk`.

    Cost: two forward passes and one backward pass for each.
    """
    totals: list[list[float]] = [[] for _ in moved]
    products = [torch.zeros_like(risk.theta) for _ in moved]
    with risk.ranks.together("products with the Jacobian"):
        for position, place, (inputs, targets) in in_one_pass(moved):
            there, here = place.leaves(), risk.leaves()
            with place.bound(there):
                f_there = place.outputs(there, inputs)
                totals[position].append(float(place.loss.total(f_there, targets).detach()))
            f_here = risk.outputs(here, inputs)
            u = cotangent(f_there.detach(), f_here.detach(), targets)
            f, leaves = (f_there, there) if through_moved else (f_here, here)
            if f.requires_grad:
                with (place if through_moved else risk).bound(leaves):
                    parts = torch.autograd.grad(f, leaves, u, materialize_grads=True)
                products[position] += torch.cat([part.reshape(-1) for part in parts])
    sums = risk.ranks.all_fsum([math.fsum(one) for one in totals])
    return [
        (one / risk.denominator, risk.ranks.all_sum(product) / risk.denominator)
        for one, product in zip(sums, products, strict=True)
    ]

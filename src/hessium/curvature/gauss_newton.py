r"""Matrices of the form $J^T \Lambda J$: Gauss-Newton and empirical Fisher."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

from torch import Tensor

from hessium.curvature.base import RiskOperator
from hessium.curvature.closed_forms.mode import closed_forms
from hessium.curvature.dense_assembly import dense_outer
from hessium.curvature.gram import Gram
from hessium.curvature.graph import OutputGraph
from hessium.curvature.hessian import pulled
from hessium.curvature.jacobian import output_graph
from hessium.curvature.product_plan import BatchProduct, RouteName
from hessium.curvature.requirements import require_outputs
from hessium.errors import InputError
from hessium.linalg.operator import SymmetricOperator
from hessium.problem import EmpiricalRisk, SumRisk
from hessium.problem.additivity import couples_samples
from hessium.problem.data import Batch
from hessium.problem.losses import CallableLoss, rows
from hessium.problem.output_hessian import OutputHessian


class GaussNewton(RiskOperator):
    r"""$H_0 = \frac1D \sum_s J_s^T \Lambda_s J_s$ with $\Lambda = \nabla_f^2 \ell$.

    For `SquaredError(scale=c)` it is $2c \sum_s J_s^T J_s / D$: the ADCME.jl documentation
    omits the 2. Its rank is at most samples times outputs, and its non-zero eigenvalues are those
    of `Gram`. Positive semidefinite for losses convex in the outputs.

    Arguments and errors as in `RiskOperator`; closures are rejected. Cost of a product: 1.1 to 1.5
    gradients if the graphs are cached.

    Example:
        >>> H0 = hs.GaussNewton(risk)
        >>> hs.inertia(H0).negative.value, hs.rank(H0).upper <= risk.num_samples
        (0, True)
    """

    _pushes = True

    def __init__(
        self,
        risk: EmpiricalRisk,
        *,
        check: bool = True,
        graph_bytes: int = 2**30,
        route: RouteName = "auto",
    ) -> None:
        require_outputs(risk, "Gauss-Newton part")
        super().__init__(risk, check=check, graph_bytes=graph_bytes, route=route)

    @property
    def positive_semidefinite(self) -> bool:
        """Whether the loss is convex in the outputs. Cost: one forward pass, the first time."""
        return self._gram is not None

    @property
    def rank_bound(self) -> int:
        """Samples times outputs."""
        return min(self.risk.dim, self.risk.num_outputs)

    def companion(self) -> SymmetricOperator | None:
        """The Gram matrix, if it is smaller and the loss is convex."""
        return self._gram if self.risk.num_outputs < self.risk.dim else None

    @cached_property
    def _gram(self) -> Gram | None:
        try:
            return Gram(self.risk)
        except InputError:  # no factor: not convex, or samples coupled
            return None

    def _graph(self, leaves: Sequence[Tensor], batch: Batch) -> BatchProduct:
        with closed_forms(self.risk, linear=True):
            f = self.risk.outputs(leaves, batch[0])
        return _OuterProduct(
            output_graph(self.risk, f, leaves), self.risk.output_hessian(f, batch[1])
        )

    def primitives(self, moved: Sequence[EmpiricalRisk]) -> list[tuple[float, Tensor]]:
        r"""$J(\theta)^T e(\theta + h v)$."""
        return pulled(self.risk, moved, lambda f, _, y: self.risk.output_gradient(f, y))

    def _assemble(self, work: int) -> Tensor | None:
        try:
            return dense_outer(self.risk, self.risk.output_hessian, work)
        except InputError:  # no factor: columns need none
            return None


class EmpiricalFisher(RiskOperator):
    r"""$F = \frac1D \sum_s \nabla\ell_s \nabla\ell_s^T$: second moment of per-sample gradients.

    $\ell_s$ is the contribution of sample s to the numerator of the risk, including its class
    weight. It uses the labels of the data. The Fisher information averages over labels drawn from
    the model and equals `GaussNewton` for the common losses.

    Arguments and errors as in `RiskOperator`; a closure has none. Cost of a product: as for
    `GaussNewton`.

    Example:
        >>> F = hs.EmpiricalFisher(risk)
        >>> hs.inertia(F).negative.value
        0
    """

    _pushes = True

    def __init__(
        self,
        risk: EmpiricalRisk,
        *,
        check: bool = True,
        graph_bytes: int = 2**30,
        route: RouteName = "auto",
    ) -> None:
        require_outputs(risk, "empirical Fisher")
        if isinstance(risk, SumRisk):
            msg = (
                "risk: samples of different terms have no common denominator, so a sum has no "
                "empirical Fisher matrix; add those of its terms: "
                "risk.weights[name] * hs.EmpiricalFisher(risk.terms[name])"
            )
            raise InputError(msg)
        if check:
            _require_samples(risk)
        super().__init__(risk, check=check, graph_bytes=graph_bytes, route=route)

    @property
    def positive_semidefinite(self) -> bool:
        """Always."""
        return True

    @property
    def rank_bound(self) -> int:
        """Samples times outputs, as for `GaussNewton`."""
        return min(self.risk.dim, self.risk.num_outputs)

    def _graph(self, leaves: Sequence[Tensor], batch: Batch) -> BatchProduct:
        with closed_forms(self.risk, linear=True):
            f = self.risk.outputs(leaves, batch[0])
        return _OuterProduct(
            output_graph(self.risk, f, leaves), _RankOne(self._slopes(f, batch[1]))
        )

    def primitives(self, moved: Sequence[EmpiricalRisk]) -> list[tuple[float, Tensor]]:
        r"""$J(\theta)^T e\, e^T f(\theta + h v)$, sample by sample."""

        def cotangent(there: Tensor, here: Tensor, targets: Any) -> Tensor:
            return _RankOne(self._slopes(here, targets)).product(rows(there)).reshape(here.shape)

        return pulled(self.risk, moved, cotangent)

    def _assemble(self, work: int) -> Tensor | None:
        return dense_outer(self.risk, lambda f, y: _RankOne(self._slopes(f, y)), work)

    def _slopes(self, outputs: Tensor, targets: Any) -> Tensor:
        return rows(self.risk.output_gradient(outputs, targets))


def _require_samples(risk: EmpiricalRisk) -> None:
    """Check that the loss is a sum over samples.

    Raises:
        InputError: if the loss couples samples, or samples are not the first dimension of the
            outputs.
    """
    if risk.sample_axis != 0:
        msg = (
            f"risk: samples are dimension {risk.sample_axis} of the outputs, so their rows are "
            "not samples; put samples first with forward="
        )
        raise InputError(msg)
    if not isinstance(risk.loss, CallableLoss):
        return
    with risk.ranks.together("check of the samples"):
        for inputs, targets in risk.own_batches():
            f = risk.outputs(risk.leaves(), inputs).detach()
            if couples_samples(partial(risk.loss_of, targets=targets), f):
                msg = (
                    f"loss: {risk.loss!r} couples samples, so per-sample losses and gradients do "
                    "not exist; a loss that is a sum over samples is required"
                )
                raise InputError(msg)


@dataclass(frozen=True)
class _RankOne(OutputHessian):
    """e e^T for each sample, in place of the output Hessian."""

    slopes: Tensor

    @property
    def rank(self) -> int:
        return 1

    def product(self, u: Tensor) -> Tensor:
        return self.slopes * (self.slopes * u).sum(dim=-1, keepdim=True)

    def factor(self, w: Tensor) -> Tensor:
        return self.slopes * w

    def factor_transpose(self, u: Tensor) -> Tensor:
        return (self.slopes * u).sum(dim=-1, keepdim=True)

    def scaled(self, factor: float) -> _RankOne:
        return _RankOne(factor**0.5 * self.slopes)

    def require_factor(self) -> None:
        pass

    @property
    def _like(self) -> Tensor:
        return self.slopes


@dataclass(frozen=True)
class _OuterProduct:
    """J^T Lambda J of one batch."""

    graph: OutputGraph
    middle: OutputHessian

    def product(self, parts: Sequence[Tensor], *, batched: bool) -> list[Tensor]:
        pushed = self.graph.push(parts, batched=batched)
        shape = self.graph.outputs.shape
        lead = pushed.shape[: pushed.dim() - len(shape)]
        samples = rows(self.graph.outputs).shape[0]
        weighted = self.middle.product(pushed.reshape(*lead, samples, -1)).reshape(pushed.shape)
        return self.graph.pull(weighted, parts, batched=batched)

    def trace(self, *, compiled: bool) -> None:
        self.graph.trace(compiled=compiled)

    def forget(self) -> None:
        self.graph.program = None

    def nbytes(self) -> int:
        return self.graph.nbytes()

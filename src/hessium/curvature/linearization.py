"""The first-order Taylor model of a network, its minimiser and its error."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import overload

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from hessium._arithmetic import full_precision
from hessium._display import Displayable
from hessium._typing import FloatArray
from hessium.curvature.gauss_newton import GaussNewton
from hessium.curvature.gram import Gram
from hessium.curvature.graph import OutputGraph
from hessium.curvature.jacobian import check_jacobian, output_graph
from hessium.curvature.requirements import require_outputs
from hessium.errors import InputError
from hessium.problem import EmpiricalRisk
from hessium.problem.losses import rows
from hessium.problem.output_hessian import Diagonal


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearizationError(Displayable):
    r"""Error of the linear model at one point.

    Attributes:
        distance: $\|\theta - \theta_0\| / \|\theta_0\|$.
        absolute: $\|f(\theta) - f_{lin}(\theta)\|$ over all samples and outputs.
        relative: the same over $\|f(\theta) - f(\theta_0)\|$: 0 for a model linear in its
            parameters, 1 if the linear model is no better than constant outputs.
        loss: of the network.
        linear_loss: of the linear model.
    """

    distance: float
    absolute: float
    relative: float
    loss: float
    linear_loss: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LinearizationPath(Displayable, Sequence[LinearizationError]):
    """Errors of the linear model at points of a path, as arrays of shape (points,).

    Indexing and iteration give a `LinearizationError` for each point, whose attributes these are.
    """

    distance: FloatArray
    absolute: FloatArray
    relative: FloatArray
    loss: FloatArray
    linear_loss: FloatArray

    def __len__(self) -> int:
        return self.distance.size

    @overload
    def __getitem__(self, index: int) -> LinearizationError: ...

    @overload
    def __getitem__(self, index: slice) -> list[LinearizationError]: ...

    def __getitem__(self, index: int | slice) -> LinearizationError | list[LinearizationError]:
        if isinstance(index, slice):
            return [self[k] for k in range(*index.indices(len(self)))]
        return LinearizationError(
            **{one.name: float(getattr(self, one.name)[index]) for one in fields(self)}
        )

    def __repr__(self) -> str:
        return (
            f"LinearizationPath({len(self)} points, relative error up to "
            f"{self.relative.max(initial=0.0):.3g})"
        )


class Linearization:
    r"""$f_{lin}(\theta) = f(\theta_0) + J(\theta_0)(\theta - \theta_0)$ with the loss of the risk.

    For a squared error its loss is quadratic, with the constant Hessian $H_0(\theta_0)$, whose rank
    is at most samples x outputs. This applies to the network only where its linearisation is
    accurate; `error` measures that.

    Args:
        risk: a loss of outputs, at $\theta_0 =$ `risk.theta`.

    Raises:
        InputError: for a closure.

    Cost: one forward pass and one graph of the Jacobian, cached.

    Example:
        >>> lin = hs.Linearization(risk)
        >>> path = lin.along(1.01 * risk.theta)
        >>> type(path).__name__
        'LinearizationPath'
    """

    @full_precision()
    @torch.enable_grad()
    def __init__(self, risk: EmpiricalRisk) -> None:
        require_outputs(risk, "linearisation")
        check_jacobian(risk, "Linearization")
        self.risk = risk
        self._graphs: list[OutputGraph] = []
        self._targets: list[object] = []
        for inputs, targets in risk.batches():
            leaves = risk.leaves()
            self._graphs.append(output_graph(risk, risk.outputs(leaves, inputs), leaves))
            self._targets.append(targets)
        self._theta = risk.theta

    @full_precision()
    def outputs(self, theta: Float[Tensor, " n"]) -> list[Tensor]:
        """Outputs of the linear model, one tensor for each batch. Cost: one Jacobian product."""
        parts = self.risk.layout.unflatten(self.risk.at(theta).theta - self._theta)
        return [
            g.outputs.detach() + g.push(parts, batched=False).reshape(g.outputs.shape)
            for g in self._graphs
        ]

    def loss(self, theta: Float[Tensor, " n"]) -> float:
        """Loss of the linear model, normalised as the risk."""
        return self._loss_of(self.outputs(theta))

    def hessian(self, *, check: bool = True) -> GaussNewton:
        r"""$H_0(\theta_0)$: for a squared error the constant Hessian of the linear model's loss."""
        return GaussNewton(self.risk, check=check)

    def minimiser(self, *, rcond: float | None = None) -> Float[Tensor, " n"]:
        r"""The minimiser of the linear model's loss that lies closest to $\theta_0$.

        $\theta_0 - R^T (R R^T)^+ \rho$ with $R = S^T J / \sqrt D$ and $\rho$ the scaled residuals:
        a Gram problem of size samples x outputs.

        Args:
            rcond: eigenvalues of the Gram matrix below this fraction of the largest count as zero;
                by default ten times the size times the machine epsilon.

        Raises:
            InputError: if the loss is not a squared error (other losses may have no minimiser).
        """
        gram = Gram(self.risk)
        residuals = []
        for graph, targets in zip(self._graphs, self._targets, strict=True):
            f = graph.outputs.detach()
            middle = self.risk.output_hessian(f, targets)
            if not isinstance(middle, Diagonal) or not isinstance(targets, Tensor):
                msg = (
                    f"loss: {self.risk.loss!r}; the minimiser has a formula for squared errors only"
                )
                raise InputError(msg)
            residual = rows(f - targets)
            slope = middle.product(residual)
            exact = self.risk.loss_of(f, targets) - 0.5 * (slope * residual).sum()
            if float(exact.abs()) > 1e-6 * float(slope.abs().sum()) + 1e-300:
                msg = (
                    f"loss: {self.risk.loss!r} is not quadratic; only squared errors have a formula"
                )
                raise InputError(msg)
            residuals.append((middle.entries.sqrt() * residual).reshape(-1))
        if rcond is None:
            rcond = 10 * gram.shape[0] * torch.finfo(self.risk.dtype).eps
        # in float64: torch's solver for singular float32 matrices can return NaN where numbers
        # underflow
        values, vectors = torch.linalg.eigh(gram.dense().double())
        keep = values > rcond * values[-1]
        along = vectors[:, keep].mT @ torch.cat(residuals).double()
        solved = (vectors[:, keep] @ (along / values[keep])).to(self.risk.dtype)
        # K = R R^T with R = S^T J / sqrt(D), and rho carries the same 1 / sqrt(D)
        step = torch.cat([p.reshape(-1) for p in gram.pull(solved)]) / self.risk.denominator
        return self._theta - step

    def error(self, theta: Float[Tensor, " n"]) -> LinearizationError:
        """Error of the linear model at `theta`. Cost: one forward pass, one Jacobian product."""
        there = self.risk.at(theta)
        linear = self.outputs(theta)
        leaves = [p.detach() for p in there.layout.unflatten(there.theta)]
        actual = [there.outputs(leaves, inputs).detach() for inputs, _ in there.batches()]
        start = [g.outputs.detach() for g in self._graphs]
        absolute, moved = _distance(actual, linear), _distance(actual, start)
        return LinearizationError(
            distance=float((theta - self._theta).norm() / self._theta.norm()),
            absolute=absolute,
            relative=absolute / moved if moved else 0.0,
            loss=self._loss_of(actual),
            linear_loss=self._loss_of(linear),
        )

    def along(self, theta: Float[Tensor, " n"], steps: int = 11) -> LinearizationPath:
        r"""The error at equidistant points on the straight line from $\theta_0$ to `theta`.

        Raises:
            InputError: if steps < 2.
        """
        if steps < 2:
            msg = f"steps: {steps}; at least both ends, 2, are required"
            raise InputError(msg)
        times = torch.linspace(0, 1, steps, dtype=self.risk.dtype, device=self.risk.device)
        found = [self.error(self._theta + t * (theta - self._theta)) for t in times]
        return LinearizationPath(
            **{
                one.name: np.array([getattr(error, one.name) for error in found])
                for one in fields(LinearizationPath)
            }
        )

    def _loss_of(self, outputs: list[Tensor]) -> float:
        totals = [
            float(self.risk.loss_of(f, y).detach())
            for f, y in zip(outputs, self._targets, strict=True)
        ]
        return math.fsum(totals) / self.risk.denominator

    def __repr__(self) -> str:
        return f"Linearization(of {self.risk!r})"


def _distance(one: list[Tensor], other: list[Tensor]) -> float:
    return math.sqrt(sum(float((a - b).square().sum()) for a, b in zip(one, other, strict=True)))

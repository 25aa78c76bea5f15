"""What finders walk on: a function of a flat vector with two derivatives, and a ridge."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from hessium.curvature import Hessian
from hessium.errors import NonFiniteError
from hessium.linalg import SymmetricOperator
from hessium.problem import EmpiricalRisk


@dataclass(slots=True)
class Cost:
    """How often the derivatives were asked for."""

    values: int = 0
    gradients: int = 0
    hessians: int = 0
    products: int = 0


class Surface(ABC):
    r"""$F(\theta) = L(\theta) + \tfrac r2 |\theta|^2$ with its derivatives.

    Subclasses give those of L; the ridge is added and every call counted here.

    Args:
        dim: number of parameters.
        ridge: r.
        sizes: of the parameter tensors, one after the other; one of all where not given.
    """

    def __init__(self, dim: int, ridge: float, sizes: tuple[int, ...] = ()) -> None:
        self.dim = dim
        self.ridge = ridge
        self.sizes = sizes or (dim,)
        self.cost = Cost()

    @abstractmethod
    def _loss(self, theta: Tensor) -> float:
        """L."""

    @abstractmethod
    def _gradient(self, theta: Tensor) -> Tensor:
        """Gradient of L, shape (n,)."""

    @abstractmethod
    def _hessian(self, theta: Tensor) -> Tensor:
        """Hessian of L, dense, a fresh tensor."""

    @abstractmethod
    def _operator(self, theta: Tensor) -> SymmetricOperator:
        """Hessian of L by its products."""

    def lengths(self, theta: Float[Tensor, " n"], start: Tensor) -> Float[Tensor, " n"]:
        """What each parameter is measured by: the root mean square of its tensor.

        Of that where the search began if the tensor has become zero (a thousandth), of all
        parameters if that is zero too, and one if all are zero.
        """
        whole = max(_rms(theta), _rms(start)) or 1.0
        parts = zip(theta.split(list(self.sizes)), start.split(list(self.sizes)), strict=True)
        return torch.cat([torch.full_like(now, _length(now, then, whole)) for now, then in parts])

    def loss(self, theta: Float[Tensor, " n"]) -> float:
        """L, without the ridge."""
        self.cost.values += 1
        return self._loss(theta)

    def value(self, theta: Float[Tensor, " n"]) -> float:
        """F; infinite where it cannot be computed."""
        if not bool(torch.isfinite(theta).all()):
            return math.inf
        return self.loss(theta) + self.ridge / 2 * float(theta @ theta)

    def gradient(self, theta: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
        r"""$\nabla F$; entries are infinite where it cannot be computed."""
        self.cost.gradients += 1
        if not bool(torch.isfinite(theta).all()):
            return torch.full_like(theta, torch.inf)
        try:
            return self._gradient(theta) + self.ridge * theta
        except NonFiniteError:
            return torch.full_like(theta, torch.inf)

    def hessian(self, theta: Float[Tensor, " n"]) -> Float[Tensor, "n n"]:
        r"""$\nabla^2 F$, dense."""
        self.cost.hessians += 1
        matrix = self._hessian(theta)
        matrix.diagonal().add_(self.ridge)
        return matrix

    def operator(self, theta: Float[Tensor, " n"]) -> SymmetricOperator:
        r"""$\nabla^2 F$ by its products; the caller counts them."""
        return self._operator(theta).shifted(self.ridge)


def _rms(values: Tensor) -> float:
    return float(values.square().mean().sqrt())


def _length(now: Tensor, then: Tensor, whole: float) -> float:
    return _rms(now) if _rms(now) > 1e-3 * _rms(then) else _rms(then) or whole


class RiskSurface(Surface):
    """Any risk.

    Args:
        risk: whose loss is L.
        ridge: r.
    """

    def __init__(self, risk: EmpiricalRisk, ridge: float) -> None:
        super().__init__(risk.dim, ridge, tuple(risk.layout.sizes))
        self._risk = risk

    def _loss(self, theta: Tensor) -> float:
        return self._risk.at(theta).value()

    def _gradient(self, theta: Tensor) -> Tensor:
        return self._risk.at(theta).gradient()

    def _hessian(self, theta: Tensor) -> Tensor:
        return Hessian(self._risk.at(theta), check=False).dense()

    def _operator(self, theta: Tensor) -> SymmetricOperator:
        return Hessian(self._risk.at(theta), check=False)

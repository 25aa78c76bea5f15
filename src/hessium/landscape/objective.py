"""Objective of the finders: a function of a flat vector with two derivatives, and a ridge."""

from __future__ import annotations

import copy
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
    """Counts of derivative evaluations."""

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

    def with_ridge(self, ridge: float) -> Surface:
        """The same L with another ridge and counts reset to zero."""
        other = copy.copy(self)
        other.ridge, other.cost = ridge, Cost()
        return other

    def lengths(self, theta: Float[Tensor, " n"], start: Tensor) -> Float[Tensor, " n"]:
        """Scale of each parameter: the root mean square of its tensor.

        A thousandth of the initial scale if the tensor is zero, the scale of all parameters if that
        is zero too, and one if all are zero.
        """
        whole = max(_rms(theta), _rms(start)) or 1.0
        parts = zip(theta.split(list(self.sizes)), start.split(list(self.sizes)), strict=True)
        return torch.cat([torch.full_like(now, _length(now, then, whole)) for now, then in parts])

    def loss(self, theta: Float[Tensor, " n"]) -> float:
        """L, without the ridge."""
        self.cost.values += 1
        return self._loss(theta)

    def value(self, theta: Float[Tensor, " n"]) -> float:
        """F; infinity if it is not finite."""
        if not _finite(theta):
            return math.inf
        value = self.loss(theta) + self.ridge / 2 * float(theta @ theta)
        return value if math.isfinite(value) else math.inf

    def gradient(self, theta: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
        r"""$\nabla F$; all entries are infinite if one is not finite."""
        self.cost.gradients += 1
        nowhere = torch.full_like(theta, torch.inf)
        if not _finite(theta):
            return nowhere
        try:
            gradient = self._gradient(theta) + self.ridge * theta
        except NonFiniteError:
            return nowhere
        return gradient if _finite(gradient) else nowhere

    def hessian(self, theta: Float[Tensor, " n"]) -> Float[Tensor, "n n"]:
        r"""$\nabla^2 F$, dense.

        Raises:
            NonFiniteError: where parameters or entries are not finite.
        """
        self.cost.hessians += 1
        self._require_finite("theta", theta)
        matrix = self._hessian(theta)
        matrix.diagonal().add_(self.ridge)
        self._require_finite("Hessian", matrix)
        return matrix

    def operator(self, theta: Float[Tensor, " n"]) -> SymmetricOperator:
        r"""$\nabla^2 F$ as an operator; the caller counts its products.

        Raises:
            NonFiniteError: where parameters are not finite; the products raise it, too.
        """
        self._require_finite("theta", theta)
        return self._operator(theta).shifted(self.ridge)

    @staticmethod
    def _require_finite(name: str, values: Tensor) -> None:
        if not _finite(values):
            msg = f"{name}: {int((~torch.isfinite(values)).sum())} entries are NaN or infinite"
            raise NonFiniteError(msg)


def _finite(values: Tensor) -> bool:
    return bool(torch.isfinite(values).all())


def _rms(values: Tensor) -> float:
    return float(values.square().mean().sqrt())


def _length(now: Tensor, then: Tensor, whole: float) -> float:
    return _rms(now) if _rms(now) > 1e-3 * _rms(then) else _rms(then) or whole


class RiskSurface(Surface):
    """The objective of any risk.

    Args:
        risk: the risk with loss L.
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

"""Dense posteriors by plain linear algebra, and models of a few parameters."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hessium._typing import FloatArray


def jacobian(model: nn.Module, inputs: Any, names: tuple[str, ...] | None = None) -> FloatArray:
    """Row by row, by one backward pass for each output."""
    named = dict(model.named_parameters())
    leaves = [named[name] for name in (names or tuple(named))]
    outputs = model(inputs).reshape(-1)
    rows = []
    for one in outputs:
        parts = torch.autograd.grad(one, leaves, retain_graph=True, materialize_grads=True)
        rows.append(torch.cat([p.reshape(-1) for p in parts]))
    return np.asarray(torch.stack(rows).double().numpy())


def dense_covariance(J: FloatArray, noise: float, prior_precision: float) -> FloatArray:
    """(J^T J / noise^2 + prior_precision I)^-1."""
    return np.asarray(np.linalg.inv(J.T @ J / noise**2 + prior_precision * np.eye(J.shape[1])))


class Scalars(nn.Module):
    """Named scalars and a formula of them and x."""

    def __init__(self, formula: Any, **values: float) -> None:
        super().__init__()
        self.formula = formula
        for name, value in values.items():
            self.register_parameter(name, nn.Parameter(torch.tensor(value, dtype=torch.float64)))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.formula(x, dict(self.named_parameters()))
        return out


def line_of_product(b: float = 2.0, c: float = 3.0) -> Scalars:
    """a + b c x: b and c enter as a product only."""
    return Scalars(lambda x, p: p["a"] + p["b"] * p["c"] * x, a=0.5, b=b, c=c)


class Linear6(nn.Module):
    """Linear in six parameters: a scalar k and five weights w."""

    def __init__(self) -> None:
        super().__init__()
        self.k = nn.Parameter(torch.tensor(1.0, dtype=torch.float64))
        self.w = nn.Parameter(torch.arange(1.0, 6.0, dtype=torch.float64))

    def forward(self, z: Tensor) -> Tensor:
        return self.k * z[:, :1] + z[:, 1:] @ self.w[:, None]


THREE_ROWS = torch.tensor(
    [[2.0, 0, 0, 0, 0, 0], [0, 1, 1, 0, 0, 0], [0, 0, 0, 1, 0, 0]], dtype=torch.float64
)

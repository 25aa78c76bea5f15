"""Training with SciPy's L-BFGS-B, as ADCME.jl does it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import minimize

from hessium._typing import FloatArray
from hessium.problem import EmpiricalRisk


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """The end of a training.

    Attributes:
        risk: at the final parameters.
        loss: there.
        gradient_norm: there, Euclidean.
        iterations: of L-BFGS-B.
        message: why it stopped.
    """

    risk: EmpiricalRisk
    loss: float
    gradient_norm: float
    iterations: int
    message: str


def train(
    risk: EmpiricalRisk, *, max_iterations: int, ftol: float = 1e-12, gtol: float = 1e-12
) -> Trained:
    """Minimise a risk from where it is, over all its parameters, without bounds.

    Args:
        risk: in float64.
        max_iterations: of L-BFGS-B; function evaluations are not limited.
        ftol: stop when an iteration lowers the loss by less than this times max(loss, 1).
        gtol: stop when no gradient entry is larger.
    """

    def function(theta: FloatArray) -> tuple[float, FloatArray]:
        return value_and_gradient(risk.at(torch.from_numpy(np.array(theta))))

    found = minimize(
        function,
        risk.theta.numpy(),
        jac=True,
        method="L-BFGS-B",
        options={
            "maxiter": max_iterations,
            "maxfun": 100 * max_iterations,
            "ftol": ftol,
            "gtol": gtol,
        },
    )
    end = risk.at(torch.from_numpy(np.array(found.x)))
    value, gradient = value_and_gradient(end)
    return Trained(
        risk=end,
        loss=value,
        gradient_norm=float(np.linalg.norm(gradient)),
        iterations=int(found.nit),
        message=str(found.message),
    )


def value_and_gradient(risk: EmpiricalRisk) -> tuple[float, FloatArray]:
    """Both from one pass over the data."""
    value, gradient = 0.0, np.zeros(risk.dim)
    for batch in risk.batches():
        leaves = risk.leaves()
        total = risk.total(leaves, batch)
        parts = torch.autograd.grad(total, leaves, materialize_grads=True)
        value += float(total.detach())
        gradient += torch.cat([part.reshape(-1) for part in parts]).numpy()
    return value / risk.denominator, gradient / risk.denominator

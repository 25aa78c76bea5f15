"""Hessian products from differences of gradients, for kernels without second derivatives."""

from __future__ import annotations

import torch
from torch import Tensor

from hessium.errors import SelfCheckError
from hessium.problem import EmpiricalRisk

_LADDER = 4.0  # ratio of the steps that are compared
_ACCEPT = 0.02  # relative disagreement of two steps above which the route fails


class CentralDifference:
    r"""$H v \approx |v| \frac{g(\theta + h u) - g(\theta - h u)}{2h}$ with $u = v / |v|$.

    The error is $h^2 |D^3 g| / 6$ from the Taylor series and about $\epsilon |g| / h$ from
    rounding. Among several steps it uses the one at which neighbouring steps agree best on a random
    vector.

    Args:
        risk: the risk, at its parameters.
        vector: the vector on which the step is chosen.

    Raises:
        SelfCheckError: if no two steps agree within 2 %, as where the gradient jumps (ReLU).

    Attributes:
        step: h, in units of theta.
        error: relative disagreement of the two best neighbours.

    Cost: two gradients for each product; ten for the constructor.
    """

    def __init__(self, risk: EmpiricalRisk, vector: Tensor) -> None:
        self._risk = risk
        eps = torch.finfo(risk.dtype).eps
        scale = max(1.0, float(risk.theta.norm()))
        steps = [eps ** (1 / 3) * scale * _LADDER**k for k in (-2, -1, 0, 1, 2)]
        products = [self._difference(vector, step) for step in steps]
        pairs = [
            (float((b - a).norm()) / max(float(a.norm()), float(b.norm()), 1e-300), step)
            for a, b, step in zip(products, products[1:], steps, strict=False)
        ]
        self.error, self.step = min(pairs)
        if self.error > _ACCEPT:
            msg = (
                f"route: finite differences of the gradient disagree by {self.error:.2g} (relative)"
                " at any two steps; the gradient jumps (ReLU, max-pooling) or is too noisy"
            )
            raise SelfCheckError(msg)

    def __call__(self, vector: Tensor) -> Tensor:
        """Product with a vector (n,)."""
        return self._difference(vector, self.step)

    def _difference(self, vector: Tensor, step: float) -> Tensor:
        norm = float(vector.norm())
        if norm == 0:
            return torch.zeros_like(vector)
        theta, move = self._risk.theta, vector * (step / norm)
        up, down = self._risk.at(theta + move).gradient(), self._risk.at(theta - move).gradient()
        return (up - down) * (norm / (2 * step))

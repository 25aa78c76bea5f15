"""Hessian products from differences of gradients, for kernels without second derivatives."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from hessium.errors import SelfCheckError, SelfCheckWarning
from hessium.linalg.vectors import norm
from hessium.problem import EmpiricalRisk

_LADDER = 4.0  # ratio of the steps that are compared
_ACCEPT = 0.02  # relative disagreement of two steps above which the route fails
_KINK = 0.1  # of a product, by which its two one-sided differences may differ in a smooth function


class CentralDifference:
    r"""$H v \approx |v| \frac{g(\theta + h u) - g(\theta - h u)}{2h}$ with $u = v / |v|$.

    The error is $h^2 |D^3 g| / 6$ from the Taylor series and about $\epsilon |g| / h$ from
    rounding. Among several steps it uses the one at which neighbouring steps agree best on a random
    vector. Every product is also compared with its one-sided differences, which differ by
    $h |D^2 g|$ where the gradient is smooth and by the jump over 2h where it has one between the
    two points.

    Args:
        risk: the risk, at its parameters. Where they are spread over processes, vectors are shares.
        vector: the vector on which the step is chosen.

    Raises:
        SelfCheckError: if no two steps agree within 2 %, as where the gradient jumps (ReLU).

    Attributes:
        step: h, in units of theta.
        error: relative disagreement of the two best neighbours.
        rounding: estimate of the error from rounding, in units of the products with unit vectors.
        jump: largest difference of one-sided differences so far, in the same units.

    Cost: two gradients for each product; eleven for the constructor.
    """

    def __init__(self, risk: EmpiricalRisk, vector: Tensor) -> None:
        self._risk = risk
        # vectors are whole unless the parameters are spread
        self._shares = None if risk.spread is None else risk.shares
        eps = torch.finfo(risk.dtype).eps
        self._here = risk.gradient()
        scale = max(1.0, self._norm(risk.own_theta))
        steps = [eps ** (1 / 3) * scale * _LADDER**k for k in (-2, -1, 0, 1, 2)]
        self.jump, self._warned = 0.0, True
        products = [self._difference(vector, step) for step in steps]
        pairs = [
            (self._norm(b - a) / max(self._norm(a), self._norm(b), 1e-300), step)
            for a, b, step in zip(products, products[1:], steps, strict=False)
        ]
        self.error, self.step = min(pairs)
        if self.error > _ACCEPT:
            msg = (
                f"route: finite differences of the gradient disagree by {self.error:.2g} (relative)"
                " at any two steps; the gradient jumps (ReLU, max-pooling) or is too noisy"
            )
            raise SelfCheckError(msg)
        self.rounding = 4 * eps * self._norm(self._here) / self.step
        self.size = self._norm(products[steps.index(self.step)]) / self._norm(vector)
        self.jump, self._warned = 0.0, False

    def __call__(self, vector: Tensor) -> Tensor:
        """Product with a vector (n,), or its share."""
        return self._difference(vector, self.step)

    def _difference(self, vector: Tensor, step: float) -> Tensor:
        length = self._norm(vector)
        if length == 0:
            return torch.zeros_like(vector)
        theta, move = self._risk.own_theta, vector * (step / length)
        up, down = self._risk.at(theta + move).gradient(), self._risk.at(theta - move).gradient()
        product = (up - down) * (length / (2 * step))
        if not self._warned:
            self._watch((up - self._here) - (self._here - down), product, length)
        return product

    def _watch(self, bend: Tensor, product: Tensor, length: float) -> None:
        """Warn once if the one-sided differences of a product differ as at a kink."""
        found = self._norm(bend) / (2 * self.step)
        self.jump = max(self.jump, found)
        self.size = max(self.size, self._norm(product) / length)
        if found > _KINK * self.size + self.rounding:
            self._warned = True
            warnings.warn(
                f"route: one-sided differences of the gradient differ by {found:.2g} for a unit "
                f"vector, where products have a norm of {self.size:.2g}: the gradient jumps there "
                "(a kink of ReLU or max-pooling between the two points), and the product has an "
                "error of about that size",
                SelfCheckWarning,
                stacklevel=4,
            )

    def _norm(self, vector: Tensor) -> float:
        return float(norm(vector, self._shares))

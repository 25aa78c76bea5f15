r"""The negative log-likelihood of measurements whose values and noises are known."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from hessium.problem.losses import Loss, Reduction, rows
from hessium.problem.output_hessian import Diagonal


class Known(NamedTuple):
    """What a batch was measured to be.

    Attributes:
        values: y, in the shape of the outputs.
        weights: m over the squared noise, in the same shape.
    """

    values: Tensor
    weights: Tensor


class KnownLoss(Loss):
    r"""$\frac12 \sum w (f - y)^2$ with the weights of `Known`: a negative log-likelihood."""

    reduction: Reduction = "sum"
    samples_first = True

    def total(self, outputs: Tensor, targets: Known) -> Tensor:
        """Half of the weighted sum of squares."""
        return 0.5 * (targets.weights * (outputs - targets.values).square()).sum()

    def count(self, outputs: Tensor, targets: Known) -> float:
        """One."""
        return 1.0

    def convex(self, targets: Known) -> bool:
        """Always."""
        return True

    def hessian(self, outputs: Tensor, targets: Known) -> Diagonal:
        """The weights."""
        return Diagonal(rows(targets.weights))

    def __repr__(self) -> str:
        return "KnownLoss()"

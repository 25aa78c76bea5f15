"""The loss of a weighted sum of terms: each batch belongs to one term."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor, nn

from hessium.errors import InputError
from hessium.problem.forward import Forward
from hessium.problem.losses import Loss, Reduction
from hessium.problem.output_hessian import OutputHessian


class OfTerm(NamedTuple):
    """Inputs, or targets, of one term.

    Attributes:
        term: its name.
        value: the inputs or targets as the term takes them.
    """

    term: str
    value: Any


class TermLoss(Loss):
    r"""$\sum_k \frac{w_k}{D_k} \ell_k$, where a batch has the loss of its term.

    Args:
        losses: of the terms, by name.
        weights: $w_k$, for the words only.
        factors: $w_k / D_k$.
    """

    reduction: Reduction = "sum"
    samples_first = True

    def __init__(
        self, losses: Mapping[str, Loss], weights: Mapping[str, float], factors: Mapping[str, float]
    ) -> None:
        self.losses, self._weights, self._factors = dict(losses), dict(weights), dict(factors)

    def total(self, outputs: Tensor, targets: OfTerm) -> Tensor:
        """Weighted loss of one batch."""
        return self._factors[targets.term] * self._of(targets).total(outputs, targets.value)

    def count(self, outputs: Tensor, targets: OfTerm) -> float:
        """One: the denominators are in the factors."""
        return 1.0

    def check(self, outputs: Tensor, targets: OfTerm) -> None:
        """As the loss of the term."""
        self._of(targets).check(outputs, targets.value)

    def convex(self, targets: OfTerm) -> bool:
        """As the loss of the term."""
        return self._of(targets).convex(targets.value)

    def hessian(self, outputs: Tensor, targets: OfTerm) -> OutputHessian:
        """That of the term, weighted."""
        middle = self._of(targets).hessian(outputs, targets.value)
        return middle.scaled(self._factors[targets.term])

    def _of(self, targets: OfTerm) -> Loss:
        return self.losses[targets.term]

    def __repr__(self) -> str:
        return " + ".join(f"{self._weights[name]:g} {loss!r}" for name, loss in self.losses.items())


class TermForward:
    """Outputs of a batch by the forward function of its term.

    Args:
        functions: of the terms, by name.
    """

    def __init__(self, functions: Mapping[str, Forward]) -> None:
        self.functions = dict(functions)

    def __call__(self, model: nn.Module, inputs: Any) -> Any:
        """Outputs of one batch.

        Raises:
            InputError: for inputs that name no term, if the terms have different functions.
        """
        if isinstance(inputs, OfTerm):
            return self.functions[inputs.term](model, inputs.value)
        distinct = list(dict.fromkeys(self.functions.values()))
        if len(distinct) == 1:
            return distinct[0](model, inputs)
        name = next(iter(self.functions))
        msg = (
            f"inputs: {type(inputs).__name__}; the terms {', '.join(self.functions)} have outputs "
            f"of their own, so name one of them: risk.inputs_of({name!r}, inputs)"
        )
        raise InputError(msg)

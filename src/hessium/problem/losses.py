"""Losses as numerator and denominator, independent of the split into batches.

A mean over a data set is (sum of numerators) / (sum of denominators); the average of batch means is
wrong if batches differ in size, class weight or number of ignored targets.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor

from hessium.errors import InputError
from hessium.problem.kernels import at_least
from hessium.problem.output_hessian import Autodiff, Diagonal, OutputHessian

Reduction: TypeAlias = Literal["mean", "sum"]


class Loss(ABC):
    """Interface of a loss to a risk.

    Attributes:
        reduction: "mean" divides the sum of `total` by the sum of `count` over all batches; "sum"
            has denominator 1.
        samples_first: whether the loss defines samples as the first dimension.
    """

    reduction: Reduction
    samples_first: bool = False

    @property
    def by_samples(self) -> bool:
        """Whether it is a mean over samples, with their number as denominator."""
        return False

    @abstractmethod
    def total(self, outputs: Tensor, targets: Any) -> Tensor:
        """Numerator: the loss summed over one batch, as a scalar tensor."""

    @abstractmethod
    def count(self, outputs: Tensor, targets: Any) -> float:
        """Contribution of this batch to the denominator of a mean."""

    def check(self, outputs: Tensor, targets: Any) -> None:  # noqa: B027 - most losses check themselves
        """Raise InputError for targets that would be broadcast or misread silently."""

    def convex(self, targets: Any) -> bool:
        """Whether it is known to be convex in any outputs, each sample for itself."""
        return False

    def hessian(self, outputs: Tensor, targets: Any) -> OutputHessian:
        """Second derivative of `total` in the outputs seen as (samples, outputs per sample)."""
        shape = outputs.shape
        return Autodiff(lambda f: self.total(f.view(shape), targets), rows(outputs.detach()))


class SquaredError(Loss):
    r"""$\ell = c \sum_{s,i} (f_{si} - y_{si})^2$, or that sum over the number of samples.

    `SquaredError()` is the loss of the rank experiment, $\sum (f - y)^2$, and
    `SquaredError(scale=0.5, reduction="mean")` the one of the random landscape,
    $(2m)^{-1} \sum_{\mu i} e_{i\mu}^2$ (Pennington & Bahri 2017, eq. 2). Mean is over samples, not
    over entries as in `nn.MSELoss`.

    Args:
        scale: the factor c > 0.
        reduction: "sum" or "mean" (over samples).

    Example:
        >>> float(hs.SquaredError()(torch.ones(2, 1), torch.zeros(2, 1)))
        2.0
        >>> float(hs.SquaredError(scale=0.5, reduction="mean")(torch.ones(2, 1), torch.zeros(2, 1)))
        0.5
    """

    def __init__(self, scale: float = 1.0, reduction: Reduction = "sum") -> None:
        real = isinstance(scale, (int, float)) and not isinstance(scale, bool)
        if not real or not 0 < scale < float("inf"):
            msg = f"scale: {scale!r}; a positive finite number is required"
            raise InputError(msg)
        self.scale = float(scale)
        self.reduction = check_reduction(reduction)

    @property
    def by_samples(self) -> bool:
        """Whether it is a mean."""
        return self.reduction == "mean"

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The loss of one batch as a scalar, for training."""
        self.check(outputs, targets)
        total = self.total(outputs, targets)
        return total if self.reduction == "sum" else total / self.count(outputs, targets)

    def total(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Scaled sum of squares."""
        return self.scale * (outputs - targets).square().sum()

    def count(self, outputs: Tensor, targets: Tensor) -> float:
        """Number of samples."""
        return float(num_rows(outputs))

    def check(self, outputs: Tensor, targets: Tensor) -> None:
        """Outputs and targets must have one shape."""
        require_same_shape(outputs, targets)

    def convex(self, targets: Tensor) -> bool:
        """Always."""
        return True

    def hessian(self, outputs: Tensor, targets: Tensor) -> OutputHessian:
        """2 c on the diagonal."""
        return Diagonal(torch.full_like(rows(outputs.detach()), 2 * self.scale))

    def __repr__(self) -> str:
        return f"SquaredError(scale={self.scale}, reduction={self.reduction!r})"


class Counted(NamedTuple):
    """The targets of a batch with the number of its samples, as given by the user.

    Attributes:
        targets: of the batch.
        samples: in it.
    """

    targets: Any
    samples: int


class CallableLoss(Loss):
    """A function (outputs, targets) -> scalar with a reduction given by the user.

    Args:
        function: the loss of one batch.
        reduction: "sum"; "mean" over samples; or a function of the targets of one batch that
            returns the denominator of its mean, such as the number of unmasked tokens.
        dtype: if given, casts to lower precision inside the function are omitted.
        axis: the sample dimension of the outputs.
    """

    def __init__(
        self,
        function: Callable[[Tensor, Any], Tensor],
        reduction: Reduction | Callable[[Any], float],
        dtype: torch.dtype | None = None,
        axis: int = 0,
    ) -> None:
        self._function = function
        self._dtype = dtype
        self._axis = axis
        self._count = reduction if callable(reduction) else None
        self.reduction = "mean" if callable(reduction) else check_reduction(reduction)

    @property
    def by_samples(self) -> bool:
        """Whether it is a mean without a function for its denominator."""
        return self.reduction == "mean" and self._count is None

    def along(self, axis: int) -> CallableLoss:
        """The same loss for outputs with another sample dimension."""
        return CallableLoss(self._function, self._count or self.reduction, self._dtype, axis)

    def total(self, outputs: Tensor, targets: Any) -> Tensor:
        """The value times its denominator."""
        value = self.value(outputs, targets)
        return value if self.reduction == "sum" else value * self.count(outputs, targets)

    def value(self, outputs: Tensor, targets: Any) -> Tensor:
        """The value of the function for one batch, as a scalar."""
        with at_least(self._dtype):
            value = self._function(
                outputs, targets.targets if isinstance(targets, Counted) else targets
            )
        return as_number("loss", value)

    def count(self, outputs: Tensor, targets: Any) -> float:
        """Samples, or the value of the user's function."""
        if isinstance(targets, Counted):
            return float(targets.samples)
        if self._count is not None:
            return float(self._count(targets))
        return float(outputs.shape[self._axis] if outputs.dim() else 1)

    def __repr__(self) -> str:
        name = getattr(self._function, "__name__", type(self._function).__name__)
        return f"CallableLoss({name}, reduction={self.reduction!r})"


class Value(Loss):
    """Loss of a closure: the output itself."""

    reduction: Reduction = "sum"

    def total(self, outputs: Tensor, targets: Any) -> Tensor:
        """The number itself."""
        return outputs.reshape(())

    def count(self, outputs: Tensor, targets: Any) -> float:
        """One closure."""
        return 1.0

    def __repr__(self) -> str:
        return "Value()"


def as_number(argument: str, value: Any) -> Tensor:
    """A tensor with one real entry, as a scalar.

    Raises:
        InputError: for anything else, naming the argument that returned it.
    """
    if isinstance(value, Tensor) and value.numel() == 1 and value.is_floating_point():
        return value.reshape(())
    if isinstance(value, Tensor) and value.numel() == 1:
        got = f"a number of dtype {value.dtype}"
    elif isinstance(value, Tensor):
        got = f"shape {tuple(value.shape)}"
    else:
        got = type(value).__name__
    msg = (
        f"{argument}: returned {got}; one real number is required, a tensor with one "
        "floating-point entry and its graph (no .item())"
    )
    raise InputError(msg)


def rows(outputs: Tensor) -> Tensor:
    """Outputs reshaped to (samples, outputs per sample); a scalar is one sample with one output."""
    return outputs.reshape(num_rows(outputs), -1) if outputs.numel() else outputs.reshape(0, 1)


def num_rows(outputs: Tensor) -> int:
    """Number of samples: the size of the first dimension."""
    return outputs.shape[0] if outputs.dim() else 1


def check_reduction(reduction: object) -> Reduction:
    """Check that the reduction is additive over batches."""
    if reduction == "mean":
        return "mean"
    if reduction == "sum":
        return "sum"
    msg = f"reduction: {reduction!r}; 'mean' or 'sum' is required, so that the loss is one number"
    raise InputError(msg)


def require_same_shape(outputs: Tensor, targets: Any) -> None:
    """Check that targets have the shape of the outputs (no broadcasting)."""
    shape = tuple(targets.shape) if isinstance(targets, Tensor) else type(targets).__name__
    if shape != tuple(outputs.shape):
        msg = (
            f"data: targets have shape {shape}, outputs {tuple(outputs.shape)}; "
            "they must be equal (no silent broadcasting)"
        )
        raise InputError(msg)


def not_negative(tensor: Tensor | None) -> bool:
    """Whether no entry is negative; true for None."""
    return tensor is None or bool((tensor >= 0).all())


def summed(module: Any) -> Any:
    """A copy of a torch loss with its reduction set to sum."""
    copied = copy.copy(module)
    copied.reduction = "sum"
    return copied

"""The losses of torch, with their denominators and closed-form curvature."""

from __future__ import annotations

import copy
import functools
import reprlib
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor, nn

from hessium.errors import InputError
from hessium.problem.cross_entropy import CrossEntropy, NegativeLogLikelihood
from hessium.problem.losses import (
    CallableLoss,
    Loss,
    Reduction,
    check_reduction,
    not_negative,
    num_rows,
    require_same_shape,
    rows,
    summed,
)
from hessium.problem.output_hessian import Diagonal, OutputHessian


class Elementwise(Loss):
    """A torch loss that is a sum or mean over all entries.

    Args:
        module: such as `nn.MSELoss()`.
        curvature: second derivative entry by entry, where it has a closed form.
    """

    def __init__(
        self, module: Any, curvature: Callable[[Any, Tensor, Tensor], Tensor] | None = None
    ) -> None:
        self.reduction = check_reduction(module.reduction)
        self._module = summed(module)
        self._curvature = curvature

    @property
    def flat(self) -> bool:
        """Whether its second derivative is zero for some outputs."""
        return isinstance(self._module, (nn.L1Loss, nn.HuberLoss, nn.SmoothL1Loss))

    def total(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The module with its reduction set to sum."""
        if isinstance(self._module, nn.MSELoss):
            # the fused kernel has no second forward derivative; this form has them all
            return (outputs - targets).square().sum()
        return self._module(outputs, targets)

    def count(self, outputs: Tensor, targets: Tensor) -> float:
        """Number of entries."""
        return float(outputs.numel())

    def check(self, outputs: Tensor, targets: Tensor) -> None:
        """Outputs and targets must have one shape."""
        require_same_shape(outputs, targets)

    def convex(self, targets: Tensor) -> bool:
        """Distances from the targets always, logistic losses by their weights and targets."""
        if isinstance(self._module, nn.BCEWithLogitsLoss):
            weighed = self._module.pos_weight is not None
            parts = (self._module.pos_weight, targets, 1 - targets) if weighed else ()
            return all(map(not_negative, (self._module.weight, *parts)))
        return isinstance(self._module, (nn.MSELoss, nn.HuberLoss, nn.SmoothL1Loss))

    def hessian(self, outputs: Tensor, targets: Tensor) -> OutputHessian:
        """Diagonal, in closed form where known."""
        if self._curvature is None:
            return super().hessian(outputs, targets)
        return Diagonal(rows(self._curvature(self._module, outputs.detach(), targets)))

    def __repr__(self) -> str:
        return f"{type(self._module).__name__}(reduction={self.reduction!r})"


class PerSample(Loss):
    """A torch loss whose mean is over samples (`nn.MultiMarginLoss`, KL with "batchmean").

    `nn.MultiLabelSoftMarginLoss` averages over every dimension but the last, its classes.
    """

    def __init__(self, module: Any) -> None:
        self.reduction = (
            "mean" if module.reduction == "batchmean" else check_reduction(module.reduction)
        )
        self._module = summed(module)

    @property
    def by_samples(self) -> bool:
        """Whether it is a mean over samples only."""
        return self.reduction == "mean" and not isinstance(
            self._module, nn.MultiLabelSoftMarginLoss
        )

    def total(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The module with its reduction set to sum."""
        return self._module(outputs, targets)

    def count(self, outputs: Tensor, targets: Tensor) -> float:
        """Number of samples."""
        if isinstance(self._module, nn.MultiLabelSoftMarginLoss):
            return outputs.numel() / outputs.shape[-1]
        return float(num_rows(outputs))

    def check(self, outputs: Tensor, targets: Tensor) -> None:
        """Outputs and targets must have one shape, unless targets are class numbers."""
        if not isinstance(self._module, nn.MultiMarginLoss):
            require_same_shape(outputs, targets)

    def __repr__(self) -> str:
        return f"{type(self._module).__name__}(reduction={self.reduction!r})"


def as_loss(
    loss: Any,
    reduction: Reduction | Callable[[Any], float] | None = None,
    dtype: torch.dtype | None = None,
) -> Loss:
    """Recognise a loss, so that its normalisation is known.

    Args:
        loss: a loss of hessium, a torch loss module or function, `functools.partial` of such a
            function, or any callable (outputs, targets) -> scalar together with `reduction`.
        reduction: reduction of a plain callable; see `CallableLoss`.
        dtype: lowest precision of the evaluation, and dtype of tensors among the keywords of a
            `partial`.

    Raises:
        InputError: if the reduction is unknown, "none", or contradicts the one of the loss.
    """
    if reduction is not None and not callable(reduction):
        check_reduction(reduction)
    module = _as_module(loss)
    if dtype is not None and module is not loss:
        module = module.to(dtype)
    if type(module) in _PER_SAMPLE or (
        type(module) is nn.KLDivLoss and module.reduction == "batchmean"
    ):
        known: Loss | None = PerSample(module)
    elif type(module) in _ELEMENTWISE:
        known = Elementwise(module, _ELEMENTWISE[type(module)])
    elif type(module) is nn.CrossEntropyLoss:
        known = CrossEntropy(module)
    elif type(module) is nn.NLLLoss:
        known = NegativeLogLikelihood(module)
    else:
        known = loss if isinstance(loss, Loss) else None
    if known is not None:
        if reduction is not None and reduction != known.reduction:
            msg = f"reduction: {reduction!r} contradicts {known!r}; leave it out for torch's losses"
            raise InputError(msg)
        return known
    if isinstance(loss, type):
        msg = f"loss: {loss.__name__} is a class; make one: {loss.__name__}()"
        raise InputError(msg)
    if not callable(loss):
        msg = f"loss: {reprlib.repr(loss)} is not callable; a loss module or function is required"
        raise InputError(msg)
    if reduction is None:
        name = getattr(loss, "__name__", type(loss).__name__)
        msg = (
            f"loss: {name} has no known reduction over samples; "
            "pass reduction='mean' or reduction='sum'"
        )
        raise InputError(msg)
    own = getattr(loss, "reduction", None)
    if isinstance(loss, functools.partial):
        own = loss.keywords.get("reduction", own)
    if isinstance(own, str) and isinstance(reduction, str) and own != reduction:
        msg = f"reduction: {reduction!r} contradicts the reduction {own!r} of the loss"
        raise InputError(msg)
    return CallableLoss(loss, reduction, dtype)


def _mse(module: Any, f: Tensor, y: Tensor) -> Tensor:
    return torch.full_like(f, 2.0)


def _huber(module: Any, f: Tensor, y: Tensor) -> Tensor:
    return ((f - y).abs() <= module.delta).to(f)


def _smooth_l1(module: Any, f: Tensor, y: Tensor) -> Tensor:
    return ((f - y).abs() < module.beta).to(f) / module.beta if module.beta else torch.zeros_like(f)


def _bce_logits(module: Any, f: Tensor, y: Tensor) -> Tensor:
    p = torch.sigmoid(f)
    positive = 1.0 if module.pos_weight is None else module.pos_weight
    weight = 1.0 if module.weight is None else module.weight
    return weight * (positive * y + 1 - y) * p * (1 - p)


_ELEMENTWISE: dict[type, Callable[[Any, Tensor, Tensor], Tensor] | None] = {
    nn.MSELoss: _mse,
    nn.HuberLoss: _huber,
    nn.SmoothL1Loss: _smooth_l1,
    nn.BCEWithLogitsLoss: _bce_logits,
    nn.BCELoss: None,
    nn.L1Loss: None,
    nn.SoftMarginLoss: None,
    nn.PoissonNLLLoss: None,
    nn.KLDivLoss: None,
}
_PER_SAMPLE = (nn.MultiMarginLoss, nn.MultiLabelMarginLoss, nn.MultiLabelSoftMarginLoss)
_FUNCTIONS: dict[Any, type] = {
    F.mse_loss: nn.MSELoss,
    F.cross_entropy: nn.CrossEntropyLoss,
    F.nll_loss: nn.NLLLoss,
    F.l1_loss: nn.L1Loss,
    F.huber_loss: nn.HuberLoss,
    F.smooth_l1_loss: nn.SmoothL1Loss,
    F.binary_cross_entropy: nn.BCELoss,
    F.binary_cross_entropy_with_logits: nn.BCEWithLogitsLoss,
}


def _as_module(loss: Any) -> Any:
    try:
        if isinstance(loss, functools.partial) and not loss.args and loss.func in _FUNCTIONS:
            return _FUNCTIONS[loss.func](**loss.keywords)
        return _FUNCTIONS[loss]() if loss in _FUNCTIONS else loss
    except TypeError:  # not hashable, or a keyword that the module does not have
        return loss


def loss_in_dtype(loss: nn.Module, dtype: torch.dtype, model: nn.Module) -> nn.Module:
    """A copy of a loss with tensors of another dtype.

    Its own modules are copied with their attributes; modules and parameters of the model are
    shared.
    """
    own = {id(part) for part in (*model.modules(), *model.parameters(), *model.buffers())}

    def changed(tensor: Tensor | None) -> bool:
        return tensor is not None and tensor.is_floating_point() and id(tensor) not in own

    def twin(module: nn.Module) -> nn.Module:
        if id(module) in own:
            return module
        copied = copy.copy(module)
        parameters, buffers = dict(module._parameters), dict(module._buffers)
        for name, parameter in module._parameters.items():
            if parameter is not None and changed(parameter):
                value = parameter.detach().to(dtype)
                parameters[name] = nn.Parameter(value, requires_grad=parameter.requires_grad)
        for name, buffer in module._buffers.items():
            if buffer is not None and changed(buffer):
                buffers[name] = buffer.detach().to(dtype)
        modules = {k: None if m is None else twin(m) for k, m in module._modules.items()}
        vars(copied).update(_parameters=parameters, _buffers=buffers, _modules=modules)
        return copied

    return twin(loss)

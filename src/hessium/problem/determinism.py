"""Checks that the loss is a deterministic function of the parameters."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.utils.parametrizations import _SpectralNorm

from hessium.errors import InputError


def require_evaluation_mode(model: nn.Module, argument: str = "model") -> None:
    """Check that no module is in a mode with a random or batch-dependent loss.

    Args:
        model: the module.
        argument: name of the argument in the message.

    Raises:
        InputError: with the first such module.
    """
    for name, module in model.named_modules():
        where = f"{type(module).__name__} '{name}'" if name else type(module).__name__
        where, remedy = f"{argument}: {where}", f"call {argument}.eval() first"
        if isinstance(module, _BatchNorm) and module.running_mean is None:
            msg = (
                f"{where} keeps no running statistics, so in every mode the loss depends on how "
                "samples are batched; track_running_stats=True is required"
            )
            raise InputError(msg)
        if not module.training:
            continue
        if isinstance(module, (_DropoutNd, nn.RReLU)) and getattr(module, "p", 1.0) > 0:
            msg = f"{where} is in training mode: the loss is random; {remedy}"
            raise InputError(msg)
        if isinstance(module, (nn.RNNBase, nn.MultiheadAttention)) and module.dropout > 0:
            msg = (
                f"{where} has dropout {module.dropout} in training mode, so the loss is random; "
                f"{remedy}"
            )
            raise InputError(msg)
        if isinstance(module, _SpectralNorm):
            msg = f"{where} is in training mode: it iterates; {remedy}"
            raise InputError(msg)
        if isinstance(module, _BatchNorm):
            msg = (
                f"{where} is in training mode, so the loss depends on how samples are batched; "
                f"{remedy}"
            )
            raise InputError(msg)


def require_own_memory(model: nn.Module) -> None:
    """Check that no trainable parameter shares memory with another tensor of the model.

    Training would change both, while a risk holds independent copies.

    Raises:
        InputError: with the two names.
    """
    named = list(model.named_parameters())
    free = {id(p): name for name, p in named if p.requires_grad}
    others = [*named, *model.named_buffers()]
    for prefix, module in model.named_modules():
        own = {id(t) for t in (*module._parameters.values(), *module._buffers.values())}
        others += [
            (f"{prefix}.{key}" if prefix else key, value)
            for key, value in vars(module).items()
            if isinstance(value, Tensor) and id(value) not in own and value.is_leaf
        ]
    ranges = sorted(
        (start, start + _extent(tensor), name, id(tensor))
        for name, tensor in others
        if tensor.layout is torch.strided and tensor.numel() and (start := tensor.data_ptr())
    )
    for (_, stop, one, first), (start, _, other, second) in pairwise(ranges):
        if start < stop and first != second and (first in free or second in free):
            msg = (
                f"model: '{one}' and '{other}' share memory, so training changes both at once; to "
                "tie them, assign one Parameter to both places, else give each its own copy"
            )
            raise InputError(msg)


def _extent(tensor: Tensor) -> int:
    """Bytes from the first to the last entry."""
    steps = ((size - 1) * step for size, step in zip(tensor.shape, tensor.stride(), strict=True))
    return (1 + sum(steps)) * tensor.element_size()


def require_readable(model: nn.Module, loss: Any) -> None:
    """Check for max_norm, sparse gradients, and trainable parameters in the loss.

    Raises:
        InputError: with the module.
    """
    for name, module in model.named_modules():
        if not isinstance(module, (nn.Embedding, nn.EmbeddingBag)):
            continue
        if module.max_norm is not None:
            msg = (
                f"model: '{name}' has max_norm, so its forward pass writes to its weight; unset it"
            )
            raise InputError(msg)
        if module.sparse:
            msg = f"model: '{name}' has sparse gradients; sparse=False is required"
            raise InputError(msg)
    own = {id(p) for p in model.parameters()}
    if isinstance(loss, nn.Module) and any(
        p.requires_grad and id(p) not in own for p in loss.parameters()
    ):
        msg = "loss: has trainable parameters; make it part of the model, or freeze them"
        raise InputError(msg)


def require_same(first: float, second: float, dtype: torch.dtype) -> None:
    """Check that two passes over the data give the same loss, up to rounding.

    Raises:
        InputError: with both values.
    """
    if abs(first - second) > 1e3 * torch.finfo(dtype).eps * max(abs(first), abs(second)):
        msg = (
            f"data, model: two passes gave losses {first:.9g} and {second:.9g}; a Hessian needs "
            "a deterministic loss (no augmentation, dropout or dropped batches, and a loader that "
            "gives the same samples in every pass)"
        )
        raise InputError(msg)

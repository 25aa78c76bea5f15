"""From a module and the inputs of a batch to its outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

Forward: TypeAlias = Callable[[nn.Module, Any], Any]


def call(model: nn.Module, inputs: Any) -> Any:
    """A tuple holds positional arguments, a mapping keywords, anything else is the one argument."""
    if isinstance(inputs, (tuple, list)):
        return model(*inputs)
    if isinstance(inputs, Mapping):
        return model(**inputs)
    return model(inputs)


def describe(value: Any) -> str:
    """Shape, dtype and device of every tensor in `value`, for messages."""
    parts = [
        f"{tuple(leaf.shape)} {leaf.dtype} on {leaf.device}"
        for leaf in tree_leaves(value)
        if isinstance(leaf, Tensor)
    ]
    return " and ".join(parts) if parts else type(value).__name__

"""From a module and the inputs of a batch to its outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

Forward: TypeAlias = Callable[[nn.Module, Any], Any]


class ForwardModule(nn.Module):
    """A module whose forward is any function of another module.

    So `torch.func.functional_call` can put other parameters in the place of the module's own.

    Args:
        model: the user's module; its parameters get the prefix "model.".
        function: (model, inputs) -> outputs.
    """

    def __init__(self, model: nn.Module, function: Forward) -> None:
        super().__init__()
        # the wrapper is only read: its own training flag must not reach the user's module
        self.model = model
        self._function = function

    def forward(self, inputs: Any) -> Any:
        """The function of the module as it is now."""
        return self._function(self.model, inputs)


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

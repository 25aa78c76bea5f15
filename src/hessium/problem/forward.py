"""Calls a module on the inputs of a batch."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from hessium._finite import all_finite
from hessium.errors import InputError
from hessium.problem.containers import tensors

Forward: TypeAlias = Callable[[nn.Module, Any], Any]


def call(model: nn.Module, inputs: Any) -> Any:
    """Call a module on the inputs of a batch, according to its signature.

    A tuple or list is passed as positional arguments, a mapping as keywords, other objects as one
    argument. The signature takes precedence: if `forward` takes one argument, a mapping or named
    tuple whose keys are not parameters of `forward`, and a sequence that is too long, are passed as
    that argument.
    """
    one = isinstance(inputs, PackedSequence)
    if isinstance(inputs, (tuple, list)) and not one:
        spread = not (_takes_one(model) and _is_one_argument(model, inputs))
        return model(*inputs) if spread else model(inputs)
    if isinstance(inputs, Mapping):
        spread = not (_takes_one(model) and _is_one_argument(model, inputs))
        return model(**inputs) if spread else model(inputs)
    return model(inputs)


def require_takes_module(closure: Any) -> None:
    """Check that the closure takes one argument, the module.

    Raises:
        InputError: if it is not callable, or takes no argument (as closures of optimisers) or
            several.
    """
    if not callable(closure):
        msg = f"closure: {type(closure).__name__}; a function of the module is required"
        raise InputError(msg)
    try:
        inspect.signature(closure).bind(None)
    except TypeError:
        name = getattr(closure, "__name__", type(closure).__name__)
        msg = (
            f"closure: {name} cannot be called with the module alone; it must take the module and "
            "use it, def closure(model): return loss_function(model(inputs), targets)"
        )
        raise InputError(msg) from None
    except ValueError:  # a function without a signature
        return


def _is_one_argument(model: nn.Module, inputs: Any) -> bool:
    """Whether inputs cannot be unpacked into the arguments of `forward`."""
    parameters = _parameters(model)
    if isinstance(inputs, Mapping):
        return not any(key in parameters for key in inputs)
    fields = getattr(inputs, "_fields", None)
    if fields is not None:
        return not all(field in parameters for field in fields)
    return len(inputs) > len(parameters)


def _takes_one(model: nn.Module) -> bool:
    """Whether `forward` has named parameters only, and needs at most one of them."""
    parameters = _parameters(model)
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    if not parameters or any(p.kind in variadic for p in parameters.values()):
        return False
    return sum(p.default is p.empty for p in parameters.values()) <= 1


def _parameters(model: nn.Module) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(model.forward).parameters
    except (TypeError, ValueError):  # forward is not a Python function
        return {}


def describe(value: Any) -> str:
    """Shape, dtype and device of every tensor in `value`, for messages."""
    parts = [f"{tuple(leaf.shape)} {leaf.dtype} on {leaf.device}" for leaf in tensors(value)]
    return " and ".join(parts) if parts else type(value).__name__


def require_vector(theta: Any, like: Tensor) -> None:
    """Check a vector of parameters.

    Raises:
        InputError: if theta has another shape, dtype, device, or entries that are not finite.
    """
    wanted = (like.shape, like.dtype, like.device)
    if not isinstance(theta, Tensor) or (theta.shape, theta.dtype, theta.device) != wanted:
        msg = f"theta: {describe(theta)}; shape ({len(like)},), {like.dtype} on {like.device}"
        raise InputError(msg + " is required")
    if not all_finite(theta):
        msg = f"theta: {int((~torch.isfinite(theta)).sum())} entries are NaN or infinite"
        raise InputError(msg)

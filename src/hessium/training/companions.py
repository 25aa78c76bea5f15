"""Networks that a loss calls without holding them, such as a discriminator."""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from torch import nn

_DEPTH = 3  # of functions that call functions


def companions_of(model: nn.Module, *functions: Any) -> list[nn.Module]:
    """Modules outside of a model that functions refer to: captured, global, bound, or held.

    Args:
        model: that is trained.
        functions: such as a loss and a forward function; None among them is left out.
    """
    found: dict[int, nn.Module] = {}
    for function in functions:
        for module in _referred(function, _DEPTH):
            found |= {id(part): part for part in module.modules()}
    own = {id(part) for part in model.modules()}
    return [part for key, part in found.items() if key not in own]


def _referred(value: Any, depth: int) -> Iterator[nn.Module]:
    if isinstance(value, nn.Module):
        yield value
    elif depth > 0:
        for one in _values(value):
            yield from _referred(one, depth - 1)


def _values(value: Any) -> Iterator[Any]:
    """What a function, a method, a partial function or an object refers to."""
    if isinstance(value, functools.partial):
        yield from (value.func, *value.args, *value.keywords.values())
    elif isinstance(value, types.MethodType):
        yield from (value.__self__, value.__func__)
    elif isinstance(value, types.FunctionType):
        if not (value.__module__ or "").startswith("torch."):
            with suppress(ValueError):  # a variable that has no value yet
                names = inspect.getclosurevars(value)
                yield from (*names.nonlocals.values(), *names.globals.values())
            yield from (*(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values())
    elif isinstance(value, (list, tuple)):
        yield from (one for one in value[:_MOST] if isinstance(one, nn.Module))
    elif not isinstance(value, (type, types.ModuleType)) and hasattr(value, "__dict__"):
        yield from (one for one in vars(value).values() if isinstance(one, nn.Module))
        yield inspect.getattr_static(type(value), "__call__", None)


_MOST = 32  # entries of a list that are looked at


@contextmanager
def buffers_kept(modules: Sequence[nn.Module]) -> Iterator[None]:
    """Context in which modules write to copies of their buffers."""
    # those of scripted modules cannot be exchanged
    own = [(part, dict(part._buffers)) for part in modules if isinstance(part._buffers, dict)]
    try:
        for part, buffers in own:
            for name, buffer in buffers.items():
                part._buffers[name] = None if buffer is None else buffer.clone()
        yield
    finally:
        for part, buffers in own:
            part._buffers.clear()
            part._buffers.update(buffers)

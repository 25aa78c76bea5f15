"""Finds tensors inside a batch of any container type, and replaces them in a copy.

A batch may be a tensor, a tuple, a named tuple, a list, a mapping, a dataclass, a packed sequence,
or an object of a graph or language library that keeps its tensors in attributes. torch's tree
functions support only some of these.
"""

from __future__ import annotations

import copy
import functools
import types
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence
from torch.utils.data import DataLoader, Dataset

from hessium.errors import InputError

Change: TypeAlias = Callable[[Tensor], Tensor]

# types that are not searched: plain values, and parts of a program
_PLAIN = (str, bytes, bool, int, float, complex, type(None), torch.dtype, torch.device)
_PROGRAM = (
    type, nn.Module, Dataset, DataLoader, types.ModuleType, types.FunctionType, types.MethodType,
    types.BuiltinFunctionType, functools.partial,
)  # fmt: skip


def tensors(value: Any) -> list[Tensor]:
    """Every tensor inside `value`, in order, each once."""
    return list(_walk(value, set()))


def first_tensor(value: Any) -> Tensor | None:
    """The first tensor inside `value`."""
    return next(_walk(value, set()), None)


def replaced(value: Any, change: Change) -> Any:
    """`value` with `change` applied to every tensor; containers of changed tensors are copied.

    Objects are copied by `copy.copy` and given the changed attributes, so that the originals do not
    change. If no tensor changes, the same object is returned.

    Raises:
        InputError: if an object that holds such a tensor cannot be copied.
    """
    made: dict[int, Any] = {}
    changed: set[int] = set()
    for tensor in _walk(value, set()):
        made[id(tensor)] = change(tensor)
        if made[id(tensor)] is not tensor:
            changed.add(id(tensor))
    return _rebuilt(value, made, changed) if changed else value


def entries(tensor: Tensor) -> Tensor:
    """The stored entries of a tensor of any layout."""
    if tensor.layout is torch.sparse_coo:
        return tensor._values()
    if tensor.is_nested or tensor.layout is not torch.strided:
        return tensor.values()
    return tensor


def closed(value: Any) -> list[str]:
    """Names of the types in `value` without tensors, except numbers and strings."""
    if isinstance(value, (Tensor, *_PLAIN)):
        return []
    if isinstance(value, (tuple, list, dict)):
        return [name for part in _parts(value).values() for name in closed(part)]
    return [] if first_tensor(value) is not None else [type(value).__name__]


def _walk(value: Any, seen: set[int]) -> Iterator[Tensor]:
    if id(value) in seen:
        return
    if isinstance(value, Tensor):
        seen.add(id(value))
        yield value
        return
    parts = _parts(value)
    if parts:
        seen.add(id(value))
        for part in parts.values():
            yield from _walk(part, seen)


def _rebuilt(value: Any, made: dict[int, Any], changed: set[int]) -> Any:
    """A copy with the changed tensors; `made` holds earlier copies, for reference cycles."""
    if id(value) in made:
        return made[id(value)]
    if not any(id(tensor) in changed for tensor in _walk(value, set())):
        return value

    def new(part: Any) -> Any:
        return _rebuilt(part, made, changed)

    try:
        if isinstance(value, PackedSequence):
            return PackedSequence(new(value.data), *value[1:])
        if isinstance(value, tuple):
            items = [new(item) for item in value]
            return value._make(items) if hasattr(value, "_make") else type(value)(items)
        attributes = {} if isinstance(value, (dict, list, deque)) else _attributes(value)
        if isinstance(value, Mapping) and not isinstance(value, dict) and not attributes:
            return {key: new(item) for key, item in value.items()}
        result = made[id(value)] = copy.copy(value)
        if attributes:
            # the copy's own: some classes copy what they hold, and tie it to the copy
            for name, item in _attributes(result).items():
                object.__setattr__(result, name, new(item))
        else:
            for key, item in list(_parts(value).items()):
                result[key] = new(item)
    except InputError:
        raise
    except Exception as error:
        msg = (
            f"data: a {type(value).__name__} holds tensors but could not be copied "
            f"({str(error) or repr(error)}), so it was not converted; convert it beforehand"
        )
        raise InputError(msg) from error
    return result


def _parts(value: Any) -> Mapping[Any, Any]:
    """Contents of a container or an object, by index, key or attribute."""
    if isinstance(value, (*_PLAIN, *_PROGRAM)):
        return {}
    if isinstance(value, PackedSequence):
        return {"data": value.data}  # the batch sizes belong on the CPU, the indices are integers
    if isinstance(value, (tuple, list, deque)):
        return dict(enumerate(value))
    if isinstance(value, dict):
        return value
    attributes = _attributes(value)
    return dict(value) if isinstance(value, Mapping) and not attributes else attributes


def _attributes(value: Any) -> dict[str, Any]:
    slots = {
        name: getattr(value, name)
        for kind in type(value).__mro__
        for name in _names(kind.__dict__.get("__slots__", ()))
        if name not in ("__dict__", "__weakref__") and hasattr(value, name)
    }
    return {**slots, **getattr(value, "__dict__", {})}


def _names(slots: Any) -> tuple[str, ...]:
    return (slots,) if isinstance(slots, str) else tuple(slots)

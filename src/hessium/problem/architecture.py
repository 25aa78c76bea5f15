"""Architectures that were checked before: which self-checks a new risk may shorten.

Two risks have the same architecture if their modules, functions, settings, parameter shapes, dtype
and device are equal. The values of parameters, buffers and data do not matter: a shortened check
still compares derivatives with differences at the new ones.
"""

from __future__ import annotations

import enum
import functools
import threading
import types
import weakref
from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from hessium.problem.evaluation import Evaluation

_KEPT = 64  # architectures that are remembered
_DEPTH = 4  # of nested functions and containers, attributes of a module being at 2
_LONG = 200  # characters of a setting: of longer ones a hash is kept
_ITEMS = 32  # of a container: longer ones are data
_SETTINGS = (
    bool, int, float, complex, str, bytes, type(None), torch.dtype, torch.device, enum.Enum,
)  # fmt: skip
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_STATE = ("_parameters", "_buffers", "_modules", "_version", "training")

_lock = threading.Lock()
_known: OrderedDict[Any, set[str]] = OrderedDict()


def proven_before(risk: Evaluation, given: Any, forward: Any) -> set[str]:
    """Operators that passed their full self-check on this architecture; shared by its risks.

    Args:
        risk: with model, free parameters and dtype.
        given: the user's loss and reduction.
        forward: computes outputs.
    """
    if not risk.ranks.alone:  # processes may know different architectures
        return set()
    try:
        key = (
            _module(risk.model), _mark(given), _mark(forward), risk.layout.named_shapes,
            str(risk.dtype), str(risk.device),
        )  # fmt: skip
        hash(key)
    except Exception:  # attributes that cannot be read: such a model is always checked in full
        return set()
    with _lock:
        proven = _known.setdefault(key, set())
        _known.move_to_end(key)
        while len(_known) > _KEPT:
            _known.popitem(last=False)
    return proven


def _module(module: nn.Module) -> tuple[Any, ...]:
    """Types, settings and hooks of a module and all inside it."""
    return tuple(
        (
            name,
            _Same(type(one)),
            tuple(len(getattr(one, hooks)) for hooks in _HOOKS),
            tuple(
                (key, _mark(value, 2))
                for key, value in vars(one).items()
                if key not in _STATE and key not in _HOOKS
            ),
        )
        for name, one in module.named_modules()
    )


def _mark(value: Any, depth: int = 0) -> Any:
    """A hashable description that is equal for equal functions and settings.

    Functions and types are told apart by identity, without being kept alive.
    """
    if isinstance(value, _SETTINGS):
        text = repr(value)
        return (type(value).__name__, text if len(text) < _LONG else hash(text))
    if depth > _DEPTH:
        return type(value).__name__
    inner = functools.partial(_mark, depth=depth + 1)
    if isinstance(value, Tensor):
        return ("tensor", tuple(value.shape), str(value.dtype))
    if isinstance(value, nn.Module):
        return _module(value) if depth <= 1 else _Same(type(value))
    if isinstance(value, types.FunctionType):
        cells = [cell.cell_contents for cell in value.__closure__ or () if _filled(cell)]
        captured = (*cells, *(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values())
        return (_Same(value.__code__), *(_captured(one, depth + 1) for one in captured))
    if isinstance(value, types.MethodType):
        return (inner(value.__func__), _captured(value.__self__, depth + 1))
    if isinstance(value, functools.partial):
        return (inner(value.func), inner(value.args), inner(value.keywords))
    if isinstance(value, type):
        return _Same(value)
    if isinstance(value, (tuple, list)) and len(value) <= _ITEMS:
        return (type(value).__name__, *map(inner, value))
    if isinstance(value, Mapping) and len(value) <= _ITEMS:
        return tuple((str(key), inner(item)) for key, item in value.items())
    name = value.__name__ if isinstance(value, types.BuiltinFunctionType) else ""
    return (_Same(type(value)), name)


def _captured(value: Any, depth: int) -> Any:
    """As `_mark`, but objects that a function captures are told apart by identity."""
    plain = (*_SETTINGS, types.FunctionType, types.MethodType, functools.partial, type, tuple)
    if isinstance(value, plain):
        return _mark(value, depth)
    try:
        return _Same(value)
    except TypeError:  # lists and other objects without weak references
        return _mark(value, depth)


class _Same:
    """Equal to another one of the same living object, whatever its own comparison says."""

    __slots__ = ("_hash", "_object")

    def __init__(self, value: Any) -> None:
        self._object, self._hash = weakref.ref(value), id(value)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        mine = self._object()
        return mine is not None and isinstance(other, _Same) and other._object() is mine


def _filled(cell: types.CellType) -> bool:
    try:
        return cell.cell_contents is not cell
    except ValueError:
        return False

"""Records to JSON and back; what is read is checked against the type annotations."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import types
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np

from hessium._text import legible

T = TypeVar("T")
_hints = functools.cache(get_type_hints)  # a page has thousands of records of a few kinds
_DEEPEST = 20  # lists within lists, where a record may hold anything


class DecodeError(ValueError):
    """Stored JSON is not the record it should be."""


def encode(record: Any) -> Any:
    """`record` as something that `json.dumps(..., allow_nan=False)` takes."""
    if dataclasses.is_dataclass(record) and not isinstance(record, type):
        return {f.name: encode(getattr(record, f.name)) for f in dataclasses.fields(record)}
    if isinstance(record, np.ndarray):
        return record.tolist()
    if isinstance(record, np.generic):
        return record.item()
    if isinstance(record, Mapping):
        return {str(key): encode(value) for key, value in record.items()}
    if isinstance(record, (list, tuple)):
        return [encode(item) for item in record]
    return record


def decode(kind: type[T], data: Any) -> T:
    """The record of class `kind` that `encode` turned into `data`.

    Texts come back `legible`.

    Raises:
        DecodeError: if a field is missing, unknown, of another type, or breaks a rule of its class.
    """
    return _decode(kind, data, kind.__name__)


def _decode(kind: Any, data: Any, where: str) -> Any:
    kind = _unnamed(kind)
    if kind is Any:
        return _decode_any(data, where, _DEEPEST)
    if dataclasses.is_dataclass(kind):
        return _decode_record(kind, data, where)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return _decode_union(arguments, data, where)
    if origin is Literal:
        return _checked(data in arguments, data, where)
    if origin is np.ndarray:
        return _numbers(lambda: np.asarray(data, dtype=np.float64), where)
    if origin is tuple:
        _checked(isinstance(data, list), data, where)
        return tuple(_decode(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(data))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        _checked(isinstance(data, dict), data, where)
        return {legible(k): _decode(arguments[1], v, f"{where}.{k}") for k, v in data.items()}
    if kind is float and type(data) is int:
        return _numbers(lambda: float(data), where)
    _checked(type(data) is kind, data, where)
    return legible(data) if isinstance(data, str) else data


def _unnamed(kind: Any) -> Any:
    """The type that a `type` alias stands for; `NDArray` is one since NumPy 2.5."""
    while hasattr(alias := get_origin(kind) or kind, "__value__"):
        kind = alias.__value__
    return kind


def _decode_any(data: Any, where: str, depth: int) -> Any:
    if isinstance(data, str):
        return legible(data)
    if isinstance(data, (list, dict)):
        _checked(depth > 0, "too deep", where)
    if isinstance(data, list):
        return [_decode_any(item, where, depth - 1) for item in data]
    if isinstance(data, dict):
        return {legible(k): _decode_any(v, where, depth - 1) for k, v in data.items()}
    return data


def _decode_record(kind: Any, data: Any, where: str) -> Any:
    hints = _hints(kind)
    # a field with a default may be younger than the file
    needed = {f.name for f in dataclasses.fields(kind) if f.default is dataclasses.MISSING}
    _checked(isinstance(data, dict) and needed <= set(data) <= set(hints), data, where)
    fields = {k: _decode(hints[k], v, f"{where}.{k}") for k, v in data.items()}
    try:
        return kind(**fields)
    except (TypeError, ValueError) as error:
        msg = f"{where}: {error}"
        raise DecodeError(msg) from error


def _decode_union(kinds: tuple[Any, ...], data: Any, where: str) -> Any:
    if data is None:
        return _checked(type(None) in kinds, data, where)
    for kind in kinds:
        if kind is not type(None):
            with contextlib.suppress(DecodeError):
                return _decode(kind, data, where)
    return _checked(False, data, where)


def _checked(valid: bool, data: Any, where: str) -> Any:
    if not valid:
        msg = f"{where}: {str(data)[:40]!r} does not belong there"
        raise DecodeError(msg)
    return data


def _numbers(make: Callable[[], T], where: str) -> T:
    try:
        return make()
    except (TypeError, ValueError, OverflowError) as error:
        msg = f"{where}: not an array of numbers, or a number out of range"
        raise DecodeError(msg) from error

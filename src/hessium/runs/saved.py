"""Results in one file: arrays as npz, everything else as JSON; nothing is pickled."""

from __future__ import annotations

import dataclasses
import importlib
import io
import json
import math
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hessium._files import write_atomically
from hessium._typing import AnyArray
from hessium.errors import InputError

_FORMAT = 1
_JSON = "result"
_DAMAGED = (
    OSError, ValueError, KeyError, TypeError, EOFError, RuntimeError, zipfile.BadZipFile,
)  # fmt: skip
_DTYPES = ("float64", "float32", "float16", "bfloat16", "int64", "int32", "bool", "complex128")
_ROOMS = (
    "spectra",
    "estimate",
    "compare",
    "landscape",
    "posterior",
    "curvature",
    "profiles",
    "theory",
    "figures",
)


def save(result: Any, path: str | os.PathLike[str]) -> None:
    """Write a result to a file, whatever its suffix.

    Arrays and tensors are stored exactly, in an npz archive with one JSON entry.

    Args:
        result: any result of hessium, such as a `Spectrum` or a `CriticalPoint`.
        path: of the file, which is replaced.

    Raises:
        InputError: if the object is not a result of hessium, or holds something that is none.

    Example:
        >>> hs.save(hs.spectrum(matrix), "spectrum.hessium")
        >>> hs.load("spectrum.hessium")
    """
    if _name_of(type(result)) is None:
        msg = f"result: {type(result).__name__}; a result of hessium is required"
        raise InputError(msg)
    arrays: dict[str, AnyArray] = {}
    text = json.dumps({"format": _FORMAT, "result": _encoded(result, arrays, "result")})
    buffer = io.BytesIO()
    entries = {_JSON: np.frombuffer(text.encode(), dtype=np.uint8), **arrays}
    np.savez(buffer, **entries)  # type: ignore[arg-type]
    if Path(path).is_dir():
        msg = f"path: {path} is a directory; the name of a file is required"
        raise InputError(msg)
    write_atomically(Path(path), buffer.getvalue())


def load(path: str | os.PathLike[str]) -> Any:
    """Read a result that `save` wrote; nothing is unpickled.

    Args:
        path: of the file.

    Raises:
        InputError: if the file is missing, damaged, or not a result of hessium.
    """
    try:
        with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        content = json.loads(arrays.pop(_JSON).tobytes().decode())
        version = content["format"]
    except FileNotFoundError as error:
        msg = f"path: {path} does not exist"
        raise InputError(msg) from error
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        EOFError,
        RuntimeError,
        zipfile.BadZipFile,
    ) as error:
        msg = f"path: {path} does not hold a result of hessium ({error})"
        raise InputError(msg) from error
    if version != _FORMAT:
        msg = f"path: {path} has format {version}; this version of hessium reads {_FORMAT}"
        raise InputError(msg)
    try:
        _class_of(content["result"]["class"])
        return _decoded(content["result"], arrays)
    except (KeyError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        msg = f"path: {path} is damaged ({error})"
        raise InputError(msg) from error


def _encoded(value: Any, arrays: dict[str, AnyArray], where: str) -> Any:
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        number = float(value)
        return number if math.isfinite(number) else {"float": repr(number)}
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, Tensor):
        kept = value.detach().cpu()
        half = kept.dtype in (torch.bfloat16, torch.float16)
        array = (kept.float() if half else kept).numpy()
        return {"tensor": _kept(array, arrays), "dtype": str(kept.dtype).removeprefix("torch.")}
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in "biufc":
            msg = f"result: {where} is an array of {value.dtype}; numbers are required"
            raise InputError(msg)
        return {"array": _kept(value, arrays)}
    if isinstance(value, (tuple, list)):
        kind = "tuple" if isinstance(value, tuple) else "list"
        return {kind: [_encoded(v, arrays, f"{where}.{i}") for i, v in enumerate(value)]}
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {"mapping": {k: _encoded(v, arrays, f"{where}.{k}") for k, v in value.items()}}
    name = _name_of(type(value))
    if name is None:
        msg = f"result: {where} is a {type(value).__name__}, which cannot be stored"
        raise InputError(msg)
    fields = {
        field.name: _encoded(getattr(value, field.name), arrays, f"{where}.{field.name}")
        for field in dataclasses.fields(value)
    }
    return {"class": name, "fields": fields}


def _kept(array: AnyArray, arrays: dict[str, AnyArray]) -> str:
    """The name under which an array is stored."""
    name = f"array{len(arrays)}"
    arrays[name] = array
    return name


def _decoded(value: Any, arrays: Mapping[str, AnyArray]) -> Any:
    if not isinstance(value, dict):
        return value
    if "float" in value:
        return float(value["float"])
    if "tensor" in value:
        if value["dtype"] not in _DTYPES:
            msg = f"{value['dtype']} is not a dtype"
            raise ValueError(msg)
        dtype = getattr(torch, value["dtype"])
        return torch.from_numpy(arrays[value["tensor"]].copy()).to(dtype)
    if "array" in value:
        return arrays[value["array"]]
    if "tuple" in value:
        return tuple(_decoded(v, arrays) for v in value["tuple"])
    if "list" in value:
        return [_decoded(v, arrays) for v in value["list"]]
    if "mapping" in value:
        return {k: _decoded(v, arrays) for k, v in value["mapping"].items()}
    kind = _class_of(value["class"])
    fields = {name: _decoded(v, arrays) for name, v in value["fields"].items()}
    made: Any = object.__new__(kind)
    for field in dataclasses.fields(kind):
        object.__setattr__(made, field.name, fields[field.name])
    check = getattr(made, "__post_init__", None)
    if check is not None:
        check()
    return made


def _name_of(kind: type) -> str | None:
    """`room.Class` of a dataclass that a room of hessium exports, else None."""
    parts = kind.__module__.split(".")
    if parts[0] != "hessium" or len(parts) < 2 or not dataclasses.is_dataclass(kind):
        return None
    room = importlib.import_module(f"hessium.{parts[1]}")
    exported = parts[1] in _ROOMS and getattr(room, kind.__name__, None) is kind
    return f"{parts[1]}.{kind.__name__}" if exported else None


def _class_of(name: str) -> type:
    room, _, short = name.partition(".")
    if room not in _ROOMS or short.startswith("_"):
        msg = f"{name} is not a result"
        raise ValueError(msg)
    kind = getattr(importlib.import_module(f"hessium.{room}"), short)
    if not isinstance(kind, type) or _name_of(kind) != name:
        msg = f"{name} is not a result"
        raise ValueError(msg)
    return kind

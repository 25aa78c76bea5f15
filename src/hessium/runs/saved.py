"""Results and laws in one file each: `hessium.save` and `hessium.load`; nothing is unpickled."""

from __future__ import annotations

import dataclasses
import importlib
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hessium import theory
from hessium._typing import AnyArray
from hessium.errors import InputError
from hessium.runs.archive import ArchiveError, read_archive, write_archive
from hessium.theory.convolution.free_product import FreeProduct
from hessium.theory.convolution.general_sum import GeneralSum
from hessium.theory.convolution.levy_sum import LevySum
from hessium.theory.convolution.powers import FreePower

_FORMAT = 1
_ROOMS = (
    "spectra", "estimate", "compare", "landscape", "posterior", "curvature", "training", "profiles",
    "theory", "figures",
)  # fmt: skip
_FUNCTIONS = ("free_sum", "free_power", "free_product")  # those that make laws of private classes


def save(result: Any, path: str | os.PathLike[str]) -> None:
    """Write a result or a law to a file, whatever its suffix.

    The file is a zip archive with one JSON document; arrays and tensors are stored bit for bit, in
    NumPy's format. A law is stored as its construction: its class, or the function that makes it
    (such as `free_sum`), with the arguments.

    Args:
        result: any result of hessium, such as a `Spectrum` or a `CriticalPoint`, or any law of
            `hessium.theory`.
        path: of the file, which is replaced.

    Raises:
        InputError: if the object is neither, or holds something that cannot be stored, such as a
            law of your own.
        OSError: if the file cannot be written.

    Example:
        >>> import tempfile, pathlib
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "spectrum.hessium"
        >>> hs.save(hs.spectrum(H), path)
        >>> hs.load(path).dim
        13
    """
    arrays: dict[str, AnyArray] = {}
    encoded = _encoded(result, arrays, "result")
    if not isinstance(encoded, dict) or not encoded.keys() & {"class", "call"}:
        msg = f"result: {type(result).__name__}; a result or a law of hessium is required"
        raise InputError(msg)
    if Path(path).is_dir():
        msg = f"path: {path} is a directory; the name of a file is required"
        raise InputError(msg)
    write_archive(Path(path), arrays, {"format": _FORMAT, "result": encoded})


def load(path: str | os.PathLike[str]) -> Any:
    """Read a result or a law that `save` wrote; nothing is unpickled.

    Args:
        path: of the file.

    Raises:
        InputError: if the file is missing, damaged, or does not hold a result of hessium.

    Example:
        >>> import tempfile, pathlib
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "law.hessium"
        >>> hs.save(hs.theory.Semicircle(2.0), path)
        >>> hs.load(path)
        Semicircle(variance=2.0)
    """
    try:
        document, arrays = read_archive(Path(path))
        version, encoded = document["format"], document["result"]
    except (FileNotFoundError, NotADirectoryError) as error:
        msg = f"path: {path} does not exist"
        raise InputError(msg) from error
    except (ArchiveError, KeyError, TypeError) as error:
        msg = f"path: {path} does not hold a result of hessium ({error})"
        raise InputError(msg) from error
    if version != _FORMAT:
        msg = f"path: {path} has format {version}; this version of hessium reads {_FORMAT}"
        raise InputError(msg)
    try:
        return _decoded(encoded, arrays)
    except (LookupError, ValueError, TypeError, AttributeError, RuntimeError, ImportError) as error:
        msg = f"path: {path} is damaged ({error})"
        raise InputError(msg) from error


def packed(result: Any) -> tuple[Any, dict[str, AnyArray]]:
    """A result as a document for JSON and arrays by name, for a larger file.

    Raises:
        InputError: as `save`.
    """
    arrays: dict[str, AnyArray] = {}
    return _encoded(result, arrays, "result"), arrays


def unpacked(document: Any, arrays: Mapping[str, AnyArray]) -> Any:
    """The result of `packed`; a KeyError, TypeError or ValueError says that it is damaged."""
    return _decoded(document, arrays)


def _encoded(value: Any, arrays: dict[str, AnyArray], where: str) -> Any:
    """`value` as JSON, its arrays put into `arrays`."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        number = float(value)
        return number if math.isfinite(number) else {"float": repr(number)}
    if isinstance(value, Tensor):
        kept = value.detach().cpu()
        half = kept.dtype in (torch.bfloat16, torch.float16)
        array = (kept.float() if half else kept).numpy()
        return {"tensor": _stored(array, arrays), "dtype": str(kept.dtype).removeprefix("torch.")}
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in "biufc":
            msg = f"result: {where} is an array of {value.dtype}; numbers are required"
            raise InputError(msg)
        return {"array": _stored(value, arrays)}
    if isinstance(value, (tuple, list)):
        kind = "tuple" if isinstance(value, tuple) else "list"
        return {kind: [_encoded(v, arrays, f"{where}.{i}") for i, v in enumerate(value)]}
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {"mapping": {k: _encoded(v, arrays, f"{where}.{k}") for k, v in value.items()}}
    if (made := _construction(value)) is not None:
        return {"call": made[0], "arguments": _encoded(made[1], arrays, where)}
    if (name := _name_of(type(value))) is None:
        msg = f"result: {where} is a {type(value).__name__}, which cannot be stored"
        raise InputError(msg)
    fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    return {"class": name, "fields": _encoded(fields, arrays, where)}


def _construction(law: Any) -> tuple[str, tuple[Any, ...]] | None:
    """The public class or function that makes a law, and its arguments."""
    match law:
        case GeneralSum() | LevySum():
            return "free_sum", law.laws
        case FreePower():
            return "free_power", (law.base, law.exponent)
        case FreeProduct():
            return "free_product", (law.first, law.second)
    kind = type(law)
    if getattr(theory, kind.__name__, None) is not kind or not issubclass(kind, theory.Law):
        return None
    return kind.__name__, tuple(getattr(law, f.name) for f in dataclasses.fields(law))


def _constructed(name: str, arguments: tuple[Any, ...]) -> theory.Law:
    """The law that a public class or function makes of its arguments, which it checks."""
    maker: Any = getattr(theory, name) if name in theory.__all__ else None
    if name not in _FUNCTIONS and not (isinstance(maker, type) and issubclass(maker, theory.Law)):
        msg = f"{name} makes no law"
        raise ValueError(msg)
    law: theory.Law = maker(*arguments)
    if isinstance(law, theory.Empirical):
        nodes, weights = arguments
        if np.array_equal(law.nodes, nodes) and np.allclose(law.weights, weights, 1e-12, 0.0):
            # to the last bit: the constructor makes the sum one, and may round once more
            weights.flags.writeable = False
            object.__setattr__(law, "weights", weights)
    return law


def _stored(array: AnyArray, arrays: dict[str, AnyArray]) -> str:
    """The name under which an array is stored."""
    name = f"array{len(arrays)}"
    arrays[name] = array
    return name


def _decoded(value: Any, arrays: Mapping[str, AnyArray]) -> Any:
    match value:
        case {"float": str(number)}:
            return float(number)
        case {"tensor": str(name), "dtype": str(dtype)}:
            kind = getattr(torch, dtype)
            if not isinstance(kind, torch.dtype):
                msg = f"{dtype} is not a dtype"
                raise ValueError(msg)
            return torch.from_numpy(arrays[name]).to(kind)
        case {"array": str(name)}:
            return arrays[name]
        case {"tuple": list(items)} | {"list": list(items)}:
            found = [_decoded(item, arrays) for item in items]
            return tuple(found) if "tuple" in value else found
        case {"mapping": dict(items)}:
            return {k: _decoded(v, arrays) for k, v in items.items()}
        case {"call": str(name), "arguments": arguments}:
            return _constructed(name, _decoded(arguments, arrays))
        case {"class": str(name), "fields": fields}:
            return _restored(_class_of(name), _decoded(fields, arrays))
        case dict() | list():
            msg = f"{str(value)[:40]!r} is not part of a result"
            raise ValueError(msg)
    return value


def _restored(kind: type, fields: Mapping[str, Any]) -> Any:
    """An object with these fields, bit for bit, if they obey the rules of its class."""
    made: Any = object.__new__(kind)
    for field in dataclasses.fields(kind):
        # a field with a default may be younger than the file
        younger = field.name not in fields and field.default is not dataclasses.MISSING
        value = field.default if younger else fields[field.name]
        object.__setattr__(made, field.name, value)
    check = getattr(made, "__post_init__", None)
    if check is not None:
        check()
    return made


def _name_of(kind: type) -> str | None:
    """`ROOM.CLASS` of a public dataclass of hessium, `MODULE.CLASS` of a private one, else None."""
    package, _, module = kind.__module__.partition(".")
    room = module.partition(".")[0]
    if package != "hessium" or room not in _ROOMS or not dataclasses.is_dataclass(kind):
        return None
    public = getattr(importlib.import_module(f"hessium.{room}"), kind.__name__, None) is kind
    return f"{room if public else module}.{kind.__name__}"


def _class_of(name: str) -> type:
    module, _, short = name.rpartition(".")
    if module.partition(".")[0] in _ROOMS:
        kind = getattr(importlib.import_module(f"hessium.{module}"), short)
        if isinstance(kind, type) and _name_of(kind) == name:
            return kind
    msg = f"{name} is not a result"
    raise ValueError(msg)

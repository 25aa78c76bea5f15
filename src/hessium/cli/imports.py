"""The user's function: found in a file or a module, its errors told by their last frame."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from hessium._extras import missing
from hessium.errors import InputError, LostProcessError

_FILE, _MODULE = "FILE.py:FUNCTION", "MODULE:FUNCTION"
_LONGEST = 100
_PACKAGE = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A function of the user.

    Attributes:
        argument: what errors call the target, FILE.py:FUNCTION or MODULE:FUNCTION.
        file: where it is.
        function: the object of that name.
    """

    argument: str
    file: Path
    function: Callable[..., Any]


def imported(target: str, how: str) -> Found:
    """Import the file or the module of a target and find its function.

    Args:
        target: FILE.py:FUNCTION or MODULE:FUNCTION.
        how: the function is called, for errors.

    Raises:
        InputError: if it is not there, does not import, or has no such function.
    """
    place, separator, name = target.rpartition(":")
    if not separator or not place or not name.isidentifier():
        msg = (
            f"{_FILE}: {target!r}; a Python file, a colon and a function are required, or a "
            "module, a colon and a function"
        )
        raise InputError(msg)
    argument = _FILE if of_file(place) else _MODULE
    module, file = _from_file(Path(place)) if argument == _FILE else _from_module(place)
    function = getattr(module, name, None)
    if not callable(function):
        found = "no such function" if function is None else f"{a(function)} of that name"
        msg = f"{argument}: {place} has {found}; {name} must be a function {how}"
        nearest = difflib.get_close_matches(name, _functions(module), n=1)
        if nearest:
            msg = f"{argument}: {place} has {found}: {name}; did you mean {nearest[0]!r}?"
        raise InputError(msg)
    return Found(argument=argument, file=file, function=function)


def of_file(place: str) -> bool:
    """Whether the place of a target is a file, else a module."""
    names = place.split(".")
    dotted = all(name.isidentifier() for name in names) and names[-1] != "py"
    return not dotted or os.sep in place or Path(place).is_file()


def guarded(call: Callable[[], Any], argument: str, what: str, file: Path) -> Any:
    """The value of `call`.

    Raises:
        InputError: for any error of the user's, with its last frame in the file.
        LostProcessError: unchanged, since it is not an error in the user's function.
    """
    try:
        return call()
    except (InputError, LostProcessError):
        raise
    except (Exception, SystemExit) as error:
        raise failure(error, argument, what, file) from error


def failure(error: BaseException, argument: str, what: str, file: Path) -> InputError:
    """An error of the user's as one sentence: the last frame in the file, its line, the error."""
    frame = last_frame(error, file)
    place, source = str(file), ""
    if frame is not None and frame.lineno is not None:
        place = f"{file}, line {frame.lineno}"
        text = (frame.line or "").strip()
        text = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
        source = f" at `{text}`" if text else ""
    try:
        lines = str(error).splitlines()
    except Exception:  # it is the user's own class
        lines = []
    reason = f"{type(error).__name__}: {lines[0] if lines else ''}".rstrip(": ")
    if isinstance(error, ImportError) and file.resolve().is_relative_to(_PACKAGE):
        absent = missing(f"{argument}: {what}", error)
        if absent is not None:
            return absent
    told = f"{what} fails in {place}: {reason}{source}"
    return InputError(f"{argument}: {told} (--traceback shows all)")


def last_frame(error: BaseException, file: Path) -> traceback.FrameSummary | None:
    """The last frame of the file that was running; of an error of syntax, the place of that."""
    here = file.resolve()
    if isinstance(error, SyntaxError) and error.filename and Path(error.filename).resolve() == here:
        return traceback.FrameSummary(str(file), error.lineno, "", line=error.text or "")
    frames = traceback.extract_tb(error.__traceback__)
    mine = [frame for frame in frames if Path(frame.filename).resolve() == here]
    return mine[-1] if mine else None


def a(thing: object) -> str:
    """A value by its class, with an article."""
    if thing is None:
        return "None"
    name = type(thing).__name__
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


def _from_file(file: Path) -> tuple[ModuleType, Path]:
    if not file.is_file():
        msg = f"{_FILE}: {file} is not a file; give a Python file that exists"
        raise InputError(msg)
    module_name = f"hessium_target_{file.stem}".replace("-", "_")
    spec = importlib.util.spec_from_file_location(module_name, file)
    if spec is None or spec.loader is None:
        msg = f"{_FILE}: {file} is not a Python file; its name must end in .py"
        raise InputError(msg)
    module = importlib.util.module_from_spec(spec)
    loader = spec.loader
    sys.path.insert(0, str(file.resolve().parent))
    # dataclasses and pickling look a module up by its name
    sys.modules[module_name] = module
    guarded(lambda: loader.exec_module(module), _FILE, "its import", file)
    return module, file


def _from_module(name: str) -> tuple[ModuleType, Path]:
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)  # as `python -m` does
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):  # a parent module is missing or is not a package
        spec = None
    except Exception as error:  # the import of a parent fails
        raise failure(error, _MODULE, f"the import of {name}", Path(name)) from error
    if spec is None:
        msg = (
            f"{_MODULE}: no module is named {name}; give a module that this folder or the "
            "environment has, or a file that ends in .py"
        )
        raise InputError(msg)
    if spec.origin is None or not Path(spec.origin).is_file():
        msg = f"{_MODULE}: {name} has no Python file; give a module with the function"
        raise InputError(msg)
    file = Path(spec.origin)
    return guarded(lambda: importlib.import_module(name), _MODULE, "its import", file), file


def _functions(module: ModuleType) -> list[str]:
    """Functions defined in the module itself."""
    return [
        name
        for name, value in vars(module).items()
        if callable(value) and getattr(value, "__module__", None) == module.__name__
    ]

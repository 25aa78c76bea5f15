"""FILE.py:FUNCTION, the function that returns the user's risk."""

from __future__ import annotations

import contextlib
import difflib
import functools
import hashlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from hessium.errors import InputError, NonFiniteError, SelfCheckError
from hessium.problem import EmpiricalRisk

_ARGUMENT = "FILE.py:FUNCTION"
_WITH = ("without arguments", "with the path of a checkpoint")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A function in a Python file.

    Attributes:
        file: the file.
        name: the function's name.
        function: the object of that name.
    """

    file: Path
    name: str
    function: Callable[..., Any]

    @classmethod
    def parse(cls, target: str, arguments: int = 0) -> Target:
        """Import the file and find the function.

        The folder of the file goes to the front of `sys.path`, as if Python ran the file.

        Args:
            target: FILE.py:FUNCTION.
            arguments: with which the function is called: none, or the path of a checkpoint.

        Raises:
            InputError: if the file is not there, does not import or has no such function.
        """
        file, separator, name = target.rpartition(":")
        if not separator or not file or not name.isidentifier():
            msg = f"{_ARGUMENT}: {target!r}; a Python file, a colon and a function are required"
            raise InputError(msg)
        function = _function(Path(file), name, arguments)
        return cls(file=Path(file), name=name, function=function)

    def risk(self) -> EmpiricalRisk:
        """Call the function.

        Raises:
            InputError: if it fails or returns something else than a risk.
        """
        return self.question()[0]

    def question(self) -> tuple[EmpiricalRisk, dict[str, Any]]:
        """Call the function: its risk, and the arguments of `hessium.identify` beside it.

        Raises:
            InputError: if it fails or returns neither a risk nor a pair of a risk and a dict.
        """
        found = _guarded(self.function, f"{self.name}()", self.file)
        risk, more = found if isinstance(found, tuple) and len(found) == 2 else (found, {})
        if not isinstance(risk, EmpiricalRisk):
            msg = (
                f"{_ARGUMENT}: {self.name}() returned {_a(risk)}; "
                "a hessium.EmpiricalRisk is required"
            )
            raise InputError(msg)
        if not isinstance(more, dict):
            msg = (
                f"{_ARGUMENT}: {self.name}() returned {_a(more)} beside the risk; "
                "a dict of arguments of hessium.identify is required"
            )
            raise InputError(msg)
        return risk, more

    @contextlib.contextmanager
    def blamed(self, what: str) -> Iterator[None]:
        """Errors that come out of the user's file name their line there.

        Args:
            what: description of the block, for the message.

        Raises:
            InputError: for an error that passed through the file.
        """
        try:
            yield
        except (InputError, NonFiniteError, SelfCheckError):
            raise
        except Exception as error:
            line = _line(error, self.file)
            if line is None:
                raise
            raise _failure(error, what, self.file, line) from error

    @property
    def place(self) -> str:
        """Absolute location of the function."""
        return f"{self.file.resolve()}:{self.name}"

    def digest(self) -> str:
        """Hash of the file: the version that a page shows."""
        return hashlib.sha256(self.file.read_bytes()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Builder:
    """FILE.py:FUNCTION as a function of the path of a checkpoint, also in worker processes.

    Attributes:
        target: FILE.py:FUNCTION.
    """

    target: str

    def __call__(self, path: str) -> Any:
        """What the function returns for a checkpoint.

        Raises:
            InputError: if it fails.
        """
        found = _parsed(self.target)
        return _guarded(lambda: found.function(path), f"{found.name}({path!r})", found.file)

    def digest(self) -> str:
        """Hash of the file."""
        return _parsed(self.target).digest()


@functools.cache
def _parsed(target: str) -> Target:
    return Target.parse(target, arguments=1)


def _function(file: Path, name: str, arguments: int) -> Callable[..., Any]:
    if not file.is_file():
        msg = f"{_ARGUMENT}: {file} is not a file; give a Python file that exists"
        raise InputError(msg)
    module_name = f"hessium_target_{file.stem}".replace("-", "_")
    spec = importlib.util.spec_from_file_location(module_name, file)
    if spec is None or spec.loader is None:
        msg = f"{_ARGUMENT}: {file} is not a Python file; its name must end in .py"
        raise InputError(msg)
    module = importlib.util.module_from_spec(spec)
    loader = spec.loader
    sys.path.insert(0, str(file.resolve().parent))
    # dataclasses and pickling look a module up by its name
    sys.modules[module_name] = module
    _guarded(lambda: loader.exec_module(module), "its import", file)
    function = getattr(module, name, None)
    if not callable(function):
        found = "no such function" if function is None else f"{_a(function)} of that name"
        msg = f"{_ARGUMENT}: {file} has {found}; {name} must be a function {_WITH[arguments]}"
        nearest = difflib.get_close_matches(name, _functions(module), n=1)
        if nearest:
            msg = f"{_ARGUMENT}: {file} has {found}: {name}; did you mean {nearest[0]!r}?"
        raise InputError(msg)
    if (needed := _required(function, arguments)) is not None:
        msg = (
            f"{_ARGUMENT}: {name} needs {needed or 'nothing'}; it must be called {_WITH[arguments]}"
        )
        raise InputError(msg)
    return function


def _functions(module: ModuleType) -> list[str]:
    """Functions defined in the file itself."""
    return [
        name
        for name, value in vars(module).items()
        if callable(value) and getattr(value, "__module__", None) == module.__name__
    ]


def _guarded(call: Callable[[], Any], what: str, file: Path) -> Any:
    try:
        return call()
    except InputError:
        raise
    except (Exception, SystemExit) as error:
        raise _failure(error, what, file, _line(error, file)) from error


def _failure(error: BaseException, what: str, file: Path, line: int | None) -> InputError:
    place = f"{file}, line {line}" if line else str(file)
    try:
        lines = str(error).splitlines()
    except Exception:  # it is the user's own class
        lines = []
    reason = f"{type(error).__name__}: {lines[0] if lines else ''}".rstrip(": ")
    return InputError(f"{_ARGUMENT}: {what} fails in {place}: {reason} (--traceback shows all)")


def _line(error: BaseException, file: Path) -> int | None:
    """The last line of the file that was running; of an error of syntax, the line of that."""
    here = file.resolve()
    if isinstance(error, SyntaxError) and error.filename and Path(error.filename).resolve() == here:
        return error.lineno
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if Path(frame.filename).resolve() == here]
    return lines[-1] if lines else None


def _required(function: Callable[..., Any], arguments: int) -> str | None:
    """Arguments that a function needs, if it cannot be called with so many."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return None
    try:
        signature.bind(*[""] * arguments)
    except TypeError:
        variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        needed = signature.parameters.values()
        return ", ".join(p.name for p in needed if p.default is p.empty and p.kind not in variadic)
    return None


def _a(thing: object) -> str:
    if thing is None:
        return "None"
    name = type(thing).__name__
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"

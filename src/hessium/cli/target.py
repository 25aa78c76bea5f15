"""FILE.py:FUNCTION or MODULE:FUNCTION, the function that returns the user's risk."""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hessium.cli.arguments import require_fit, required, written
from hessium.cli.imports import a, failure, guarded, imported, last_frame, of_file
from hessium.errors import InputError, NonFiniteError, SelfCheckError
from hessium.problem import EmpiricalRisk

_WITH = ("without arguments", "with the path of a checkpoint")
_LONGEST = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A function in a Python file or in a module that can be imported.

    Attributes:
        file: the file, also of a module.
        module: its name, if it was given as a module.
        name: the function's name.
        function: the object of that name.
        settings: arguments that it is called with, by name.
    """

    file: Path
    module: str = ""
    name: str
    function: Callable[..., Any]
    settings: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(
        cls, target: str, settings: Mapping[str, Any] | None = None, positional: int = 0
    ) -> Target:
        """Import the file or the module and find the function.

        The folder of a file goes to the front of `sys.path`, as if Python ran the file; of a
        module, the current folder.

        Args:
            target: FILE.py:FUNCTION or MODULE:FUNCTION.
            settings: arguments of the function, by name.
            positional: other arguments it is called with: none, or the path of a checkpoint.

        Raises:
            InputError: if the file is not there, does not import or has no such function, or if
                the function does not take the arguments.
        """
        place, _, name = target.rpartition(":")
        found = imported(target, _WITH[positional])
        given = require_fit(found.function, name, positional, settings or {})
        if needed := required(found.function, positional, given):
            advice = "" if needed == "nothing" else "; --set NAME=VALUE gives others"
            msg = (
                f"{found.argument}: {name} needs {needed}; it must be called {_WITH[positional]}"
                f"{advice}"
            )
            raise InputError(msg)
        return cls(
            file=found.file,
            module="" if of_file(place) else place,
            name=name,
            function=found.function,
            settings=given,
        )

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
        call = f"{self.name}()"
        found = guarded(self.called, self.argument, call, self.file)
        risk, more = found if isinstance(found, tuple) and len(found) == 2 else (found, {})
        if not isinstance(risk, EmpiricalRisk):
            msg = f"{self.argument}: {call} returned {a(risk)}; a hessium.EmpiricalRisk is required"
            raise InputError(msg)
        if not isinstance(more, dict):
            msg = (
                f"{self.argument}: {call} returned {a(more)} beside the risk; "
                "a dict of arguments of hessium.identify is required"
            )
            raise InputError(msg)
        return risk, more

    def called(self, *arguments: str) -> Any:
        """What the function returns with these arguments and the settings."""
        return self.function(*arguments, **self.settings)

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
            if last_frame(error, self.file) is None:
                raise
            raise failure(error, self.argument, what, self.file) from error

    @property
    def argument(self) -> str:
        """What errors call the target."""
        return "MODULE:FUNCTION" if self.module else "FILE.py:FUNCTION"

    @property
    def place(self) -> str:
        """Location of the function, from any folder if it is in a file."""
        return f"{self.module or self.file.resolve()}:{self.name}"

    @property
    def title(self) -> str:
        """The call and where it is, for headings."""
        return f"{self.name}({written(self.settings)}) in {self.module or self.file.name}"

    @property
    def folder(self) -> str:
        """Name of the run directory if none is given; another one for other settings."""
        name = f"{self.file.stem}-{self.name}"
        if not self.settings:
            return name
        text = ",".join(f"{one}={value}" for one, value in sorted(self.settings.items()))
        plain = re.sub(r"[^\w.,=+-]+", "", text.replace(", ", "x"))
        if len(plain) > _LONGEST:
            plain = hashlib.sha256(text.encode()).hexdigest()[:12]
        return f"{name}-{plain}"

    def config(self) -> dict[str, str]:
        """What tells this target from another one in a run directory."""
        found = {"file": self.place}
        return {**found, "arguments": written(self.settings)} if self.settings else found

    def digest(self) -> str:
        """Hash of the file and of the settings: the version that a page shows."""
        content = self.file.read_bytes()
        if self.settings:
            content += repr(sorted(self.settings.items())).encode()
        return hashlib.sha256(content).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Builder:
    """A target as a function of the path of a checkpoint, also in worker processes.

    Attributes:
        target: FILE.py:FUNCTION or MODULE:FUNCTION.
        settings: further arguments of the function, as pairs.
    """

    target: str
    settings: tuple[tuple[str, Any], ...] = ()

    def __call__(self, path: str) -> Any:
        """What the function returns for a checkpoint.

        Raises:
            InputError: if it fails.
        """
        found = self._parsed()
        call = f"{found.name}({path!r})"
        return guarded(lambda: found.called(path), found.argument, call, found.file)

    def digest(self) -> str:
        """Hash of the file and of the settings."""
        return self._parsed().digest()

    def _parsed(self) -> Target:
        key = self.target, repr(self.settings)
        if key not in _PARSED:
            _PARSED[key] = Target.parse(self.target, dict(self.settings), positional=1)
        return _PARSED[key]


_PARSED: dict[tuple[str, str], Target] = {}  # a file is imported once in a process

"""From a profile, an audit or an identification to its page in a run directory."""

from __future__ import annotations

import csv
import io
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from hessium._extras import missing
from hessium._files import write_atomically
from hessium._typing import AnyArray
from hessium.errors import InputError
from hessium.figures.records import Findings, Section
from hessium.runs.fingerprint import versions
from hessium.runs.run_directory import RunDirectory


class Reported(ABC):
    """A result that writes its own page.

    Attributes:
        experiment: name of its section in a run directory.
        command: how to make it again.
        seconds: computing time.
    """

    __slots__ = ()
    experiment: ClassVar[str]
    command: ClassVar[str]
    seconds: float

    @property
    @abstractmethod
    def findings(self) -> Findings:
        """Tables, charts and statements."""

    @property
    @abstractmethod
    def arrays(self) -> dict[str, AnyArray]:
        """Arrays behind the numbers, by name."""

    @property
    @abstractmethod
    def title(self) -> str:
        """Heading."""

    @property
    @abstractmethod
    def shows(self) -> str:
        """One sentence below the heading."""

    @property
    @abstractmethod
    def config(self) -> dict[str, Any]:
        """Settings."""

    @property
    @abstractmethod
    def seeds(self) -> tuple[int, ...]:
        """Seeds used."""

    @property
    def csv(self) -> dict[str, Mapping[str, Sequence[Any]]]:
        """Tables for `tables/NAME.csv`, by name, as columns; none by default."""
        return {}

    def report(self, path: Path | str) -> Path:
        """Write the page, and beside it the arrays.

        Args:
            path: a run directory: new, empty, or with an earlier page of the same kind.

        Returns:
            The page, one HTML file that needs no other.

        Raises:
            InputError: if the directory holds something else, or cannot be written.
        """
        return write_page(self, path)


def write_page(
    result: Reported,
    path: Path | str,
    *,
    name: str = "",
    typed: str = "",
    more: Mapping[str, Any] | None = None,
) -> Path:
    """Store a result as the only section of a run directory and draw the page.

    Args:
        result: a profile, an audit or an identification.
        path: the directory.
        name: of the model, for the heading.
        typed: the command line that fills the directory, if there is one.
        more: further settings.

    Raises:
        InputError: if the directory holds something else, or cannot be written, or matplotlib is
            not installed.
    """
    if not isinstance(path, (str, Path)):
        msg = f"path: {type(path).__name__}; the path of a directory is required"
        raise InputError(msg)
    # `import hessium` does without matplotlib
    try:
        from hessium.report import write_report
    except ImportError as error:
        raise (missing("report", error) or error) from error

    directory = RunDirectory.create(Path(path), typed, argument="path")
    directory.require_none_but((result.experiment,))
    section = Section(
        experiment=result.experiment,
        title=f"{result.title}: {name}" if name else result.title,
        shows=result.shows,
        preset="",
        config={**result.config, **(more or {})},
        seeds=result.seeds,
        command=typed or result.command,
        versions=versions(),
        tasks=1,
        seconds=result.seconds,
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        findings=result.findings,
    )
    directory.put(section, result.arrays, order=())
    for table, columns in result.csv.items():
        write_atomically(directory.path / "tables" / f"{table}.csv", _csv(columns).encode())
    return write_report(directory)


def _csv(columns: Mapping[str, Sequence[Any]]) -> str:
    """Columns of equal length as CSV; all digits of the numbers."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return text.getvalue()

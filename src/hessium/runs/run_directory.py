"""A run directory: findings, the arrays behind them, and the finished tasks."""

from __future__ import annotations

import json
import os
import shlex
import warnings
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from hessium._files import is_unfinished, remove_unfinished, write_atomically
from hessium._text import legible
from hessium._typing import AnyArray
from hessium.errors import InputError
from hessium.figures.records import Section
from hessium.runs.archive import write_archive
from hessium.runs.codec import DecodeError, decode, encode
from hessium.runs.result_store import Store, require_mark

_SCHEMA = 1
_MARK = ".hessium-run"
_WARNING = "Written by hessium, which may overwrite what is here."
_SUMMARY = "summary.json"
_LARGEST_SUMMARY = 2**26  # bytes; the largest of ours have some MiB
_README = "README.md"
_MOST_CHARTS = 500
_MOST_POINTS = 500_000
_LONGEST_COMMAND = 2**16
_SOURCE = "run_directory_readme.md"


class RunDirectory:
    """A folder that hessium wrote.

    It holds `summary.json` with one section for each experiment, `arrays/NAME.npz`, the finished
    tasks in `tasks/NAME`, and what the report layer adds: `figures/*.svg` and `report.html`. Its
    `README.md` describes them for who finds the folder.

    Args:
        path: the folder; use `create` or `open`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, path: Path, command: str = "", argument: str = "--out") -> RunDirectory:
        """Make a run directory at `path`, or continue the one that is there.

        Args:
            path: the folder.
            command: the command that fills it; it is shown where a run was stopped.
            argument: what to call the path in errors.

        Raises:
            InputError: if it cannot be written, or holds files that hessium did not write.
        """
        if path.is_dir():
            if not os.access(path, os.R_OK | os.X_OK):
                msg = f"{argument}: {path} cannot be read; choose another directory"
                raise InputError(msg)
            # a file that is being written may be the mark of another run
            others = (one for one in path.iterdir() if not is_unfinished(one.name))
            if any(others) and not (path / _MARK).exists():
                msg = (
                    f"{argument}: {path} holds files that hessium did not write; "
                    "give an empty directory or a new one"
                )
                raise InputError(msg)
        elif path.exists():
            msg = f"{argument}: {path} is a file; a directory is required"
            raise InputError(msg)
        try:
            text = f"{_WARNING}\n{command}\n"
            write_atomically(path / _MARK, text.encode("utf-8", "surrogateescape"))
            if not (path / _README).exists():
                write_atomically(path / _README, (files(__package__) / _SOURCE).read_bytes())
        except OSError as error:
            msg = (
                f"{argument}: {path} cannot be written ({error.strerror}); choose another directory"
            )
            raise InputError(msg) from error
        run = cls(path)
        run.tidy()
        return run

    @classmethod
    def open(cls, path: Path, argument: str = "RUN_DIR") -> RunDirectory:
        """The run directory at `path`, to be read.

        Raises:
            InputError: if there is none, or its summary is missing or broken.
        """
        run = cls(path)
        if not path.is_dir():
            msg = f"{argument}: {path} is not a directory; give one that hessium wrote"
            raise InputError(msg)
        if not (path / _SUMMARY).is_file():
            advice = "give a directory with a finished experiment"
            if command := run.command():
                advice = f"nothing is finished yet; `{command}` resumes"
            msg = f"{argument}: {path} has no {_SUMMARY}; {advice}"
            raise InputError(msg)
        try:
            sections = run._read()
        except (OSError, ValueError) as error:
            reason = str(error).splitlines()[0]
            msg = (
                f"{argument}: {path / _SUMMARY} is broken ({reason}); run `hessium reproduce` again"
            )
            raise InputError(msg) from error
        if not sections:
            msg = f"{argument}: {path / _SUMMARY} has no section; a finished experiment is required"
            raise InputError(msg)
        return run

    def tidy(self) -> None:
        """Remove what killed processes left unfinished; files that are being written stay."""
        remove_unfinished(self.path)

    def store(self, experiment: str, *, points: bool = False) -> Store:
        """The finished tasks of an experiment; points of a sweep in a folder of their own."""
        folder = self.path / "tasks" / experiment
        return Store(folder / "arrays" if points else folder, self.path / _MARK)

    def command(self) -> str:
        """The command that was typed last to fill the folder; empty if that is not known.

        Only one command of hessium is returned, since readers paste it into a shell.
        """
        try:
            with (self.path / _MARK).open(encoding="utf-8", errors="surrogateescape") as file:
                line = "".join(file.read(_LONGEST_COMMAND).split("\n")[1:2])
            words = shlex.split(line)
        except (OSError, ValueError):
            return ""
        return line if words[:1] == ["hessium"] and shlex.join(words) == line else ""

    def unfinished(self) -> list[str]:
        """Experiments that were stopped before their end."""
        complete = {s.experiment: s.config.get("complete", True) for s in self.sections()}
        tasks = (self.path / "tasks").glob("*/")
        begun = {folder.name for folder in tasks if folder.is_dir() and any(folder.iterdir())}
        return sorted(name for name in begun | set(complete) if not complete.get(name, False))

    def require_none_but(
        self, experiments: Sequence[str], config: Mapping[str, Any] | None = None
    ) -> None:
        """Refuse a directory with other sections, so that two runs are not mixed silently.

        Args:
            experiments: names of sections that may be there.
            config: settings that they must have, where they have them.

        Raises:
            InputError: if something else is there.
        """
        mine = {k: legible(v) if isinstance(v, str) else v for k, v in (config or {}).items()}
        for section in self.sections():
            other = any(section.config.get(k, v) != v for k, v in mine.items())
            if section.experiment not in experiments or other:
                msg = (
                    f"--out: {self.path} holds another run ({section.title}); give a directory "
                    "of its own, or remove this one"
                )
                raise InputError(msg)

    def sections(self) -> tuple[Section, ...]:
        """The sections so far; none, with a warning, if the summary is broken."""
        if not (self.path / _SUMMARY).exists():
            return ()
        try:
            return self._read()
        except (OSError, ValueError) as error:
            warnings.warn(
                f"{_SUMMARY} is broken ({error}) and is written anew", UserWarning, stacklevel=2
            )
            return ()

    def put(self, section: Section, arrays: Mapping[str, AnyArray], order: tuple[str, ...]) -> None:
        """Add a section, in place of an earlier one of the same experiment.

        Args:
            section: what to add.
            arrays: the numbers behind it.
            order: names of experiments in the order of the page; others follow.

        Raises:
            OSError: if it cannot be written, or the folder was removed or replaced meanwhile.
        """
        require_mark(self.path / _MARK)
        write_archive(self.path / "arrays" / f"{section.experiment}.npz", arrays)
        sections = {s.experiment: s for s in self.sections()} | {section.experiment: section}
        names = [name for name in order if name in sections]
        kept = [sections[name] for name in dict.fromkeys([*names, *sections])]
        document = {"schema": _SCHEMA, "sections": [encode(s) for s in kept]}
        text = json.dumps(document, indent=1, allow_nan=False, ensure_ascii=False)
        # undecodable bytes of a path become JSON escapes
        write_atomically(self.path / _SUMMARY, text.encode("utf-8", "backslashreplace"))

    def _read(self) -> tuple[Section, ...]:
        path = self.path / _SUMMARY
        if (size := path.stat().st_size) > _LARGEST_SUMMARY:
            msg = f"{size} bytes; at most {_LARGEST_SUMMARY} are read"
            raise DecodeError(msg)
        try:
            document = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse)
        except RecursionError as error:
            msg = "lists within lists without end"
            raise DecodeError(msg) from error
        if not isinstance(document, dict) or document.get("schema") != _SCHEMA:
            msg = f"not a summary of schema {_SCHEMA}"
            raise DecodeError(msg)
        sections = document.get("sections")
        if not isinstance(sections, list):
            msg = "no list of sections"
            raise DecodeError(msg)
        found = tuple(decode(Section, section) for section in sections)
        _require_drawable(found)
        return found


def _require_drawable(sections: Sequence[Section]) -> None:
    """Names must differ, and a page must not take forever."""
    names = [s.experiment for s in sections]
    charts = [chart for section in sections for chart in section.findings.charts]
    figures = [f"{s.experiment}-{c.name}" for s in sections for c in s.findings.charts]
    points = sum(one.x.size for chart in charts for one in chart.series)
    points += sum(chart.field.z.size for chart in charts if chart.field is not None)
    for wrong, msg in (
        (len(set(names)) < len(names), "two sections of one name"),
        (len(set(figures)) < len(figures), "two figures of one name"),
        (len(figures) > _MOST_CHARTS, f"{len(figures)} figures; at most {_MOST_CHARTS} are drawn"),
        (points > _MOST_POINTS, f"{points} points in figures; at most {_MOST_POINTS} are drawn"),
    ):
        if wrong:
            raise DecodeError(msg)


def _refuse(constant: str) -> float:
    msg = f"{constant} is not a number"
    raise DecodeError(msg)

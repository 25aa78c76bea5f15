"""From findings to a run directory with its page."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hessium._typing import AnyArray
from hessium.errors import InputError
from hessium.figures.records import Findings, Section
from hessium.runs.fingerprint import versions
from hessium.runs.run_directory import RunDirectory


def write_page(
    path: Path | str,
    *,
    experiment: str,
    title: str,
    shows: str,
    config: Mapping[str, Any],
    seeds: tuple[int, ...],
    command: str,
    seconds: float,
    findings: Findings,
    arrays: Mapping[str, AnyArray],
    typed: str = "",
) -> Path:
    """Put one section into a run directory and draw its page.

    Args:
        path: the directory.
        experiment: name of the section; the directory may hold no other one.
        title: heading of the page.
        shows: one sentence below it.
        config: settings.
        seeds: of all random numbers.
        command: what makes the page again.
        seconds: computing time.
        findings: what the page says.
        arrays: what stands behind it.
        typed: the command line that fills the directory, if there is one.

    Raises:
        InputError: if the directory holds something else, or cannot be written.
    """
    if not isinstance(path, (str, Path)):
        msg = f"path: {type(path).__name__}; the path of a directory is required"
        raise InputError(msg)
    # drawing is imported where it is done, so that `import hessium` does without
    from hessium.report import write_report

    directory = RunDirectory.create(Path(path), typed, argument="path")
    directory.require_none_but((experiment,))
    section = Section(
        experiment=experiment,
        title=title,
        shows=shows,
        preset="",
        config=config,
        seeds=seeds,
        command=command,
        versions=versions(),
        tasks=1,
        seconds=seconds,
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        findings=findings,
    )
    directory.put(section, arrays, order=())
    return write_report(directory)

"""What each command does."""

from __future__ import annotations

import argparse
import contextlib
import math
import shlex
import textwrap
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from hessium._processes import pool
from hessium.cli.cluster import executor_at
from hessium.cli.console import Bars, Tally
from hessium.cli.output import answer, result, say, wrote
from hessium.cli.pages import say_verdicts
from hessium.errors import InputError
from hessium.figures.records import Section
from hessium.report import Report, write_report
from hessium.report.export import export_figures
from hessium.runs.codec import encode
from hessium.runs.experiment import Experiment, settings
from hessium.runs.fingerprint import versions
from hessium.runs.run_directory import RunDirectory
from hessium.runs.runner import Started
from hessium.runs.sweep_table import find_point
from hessium.studies.critical_points.fig6 import SWEEP
from hessium.studies.registry import REGISTRY
from hessium.studies.sweep_config import read_config

_Item = TypeVar("_Item")
_AHEAD = 3  # experiments that workers have while this process summarises one


def reproduce(options: argparse.Namespace) -> None:
    """Run experiments and write the page after each, so that Ctrl-C leaves a page as well."""
    chosen = [(e, e.config(options.preset)) for e in REGISTRY.select(options.names)]
    directory = RunDirectory.create(options.out, options.line)
    directory.require_none_but([e.name for e in REGISTRY])
    page = Report(directory)
    with _executor(options) as executor:
        facts = []
        waiting = (_started(*one, directory, options, executor) for one in chosen)
        for started in waiting if executor is None else _ahead(waiting, _AHEAD):
            name = started.experiment.name
            command = f"hessium reproduce {name} --preset {options.preset}"
            path, fact = _conduct(started, directory, page, options, command)
            facts.append(fact)
    export(directory, options)
    wrote(page=path)
    answer({"page": str(path), "experiments": facts})


def sweep(options: argparse.Namespace) -> None:
    """Run the searches of a TOML file and write the page."""
    config = read_config(options.config)
    directory = RunDirectory.create(options.out, options.line)
    with _executor(options) as executor:
        command = shlex.join(["hessium", "sweep", str(options.config)])
        page = Report(directory)
        started = _started(SWEEP, config, directory, options, executor)
        path, fact = _conduct(started, directory, page, options, command)
    wrote(page=path)
    answer({"page": str(path), "experiments": [fact]})


def show(options: argparse.Namespace) -> None:
    """Print one point of a sweep with its certificate and its spectrum."""
    point = find_point(options.store, options.id)
    answer({name: _plain(value) for name, value in point.items()})
    for name, value in point.items():
        text = f"{value.size} numbers" if isinstance(value, np.ndarray) else value
        result(f"{name}: {text}")
    if "spectrum" in point:
        result("eigenvalues:")
        for line in textwrap.wrap(" ".join(f"{v:.6g}" for v in point["spectrum"]), 98):
            result(f"  {line}")


def _plain(value: Any) -> Any:
    """For JSON; null where a number is not finite."""
    if isinstance(value, np.ndarray):
        return [_plain(one) for one in value.tolist()]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@contextlib.contextmanager
def _executor(options: argparse.Namespace) -> Iterator[Executor | None]:
    """The workers of a command; they start once, at the first task. None: no other process."""
    if options.dask is None and options.workers > 1:
        with pool(options.workers) as own:
            yield own
    else:
        with executor_at(options.dask) as executor:
            yield executor


def _ahead(items: Iterable[_Item], count: int) -> Iterator[_Item]:
    """The items, each when `count` more have been made."""
    queue: deque[_Item] = deque()
    for item in items:
        queue.append(item)
        if len(queue) > count:
            yield queue.popleft()
    yield from queue


def _started(
    experiment: Experiment[Any],
    config: Any,
    directory: RunDirectory,
    options: argparse.Namespace,
    executor: Executor | None,
) -> Started[Any]:
    store = directory.store(experiment.name, points=experiment.points)
    return Started(experiment, config, store, executor=executor, force=options.force)


def _conduct(
    started: Started[Any],
    directory: RunDirectory,
    page: Report,
    options: argparse.Namespace,
    command: str,
) -> tuple[Path, dict[str, Any]]:
    """Run one experiment, write its section and the page; what --json says about it."""
    experiment, config = started.experiment, started.config
    with Bars() as bars:
        tally = Tally(bars, experiment.name)
        outcome = started.finish(progress=bars, seen=tally if experiment.points else None)
    findings, arrays = experiment.summarise(config, outcome.results)
    section = Section(
        experiment=experiment.name,
        title=experiment.title,
        shows=experiment.shows,
        preset=getattr(options, "preset", ""),
        config=settings(config),
        seeds=experiment.seeds(config),
        command=command,
        versions=versions(),
        tasks=len(outcome.results),
        seconds=outcome.seconds,
        finished=_now(),
        findings=findings,
    )
    directory.put(section, arrays, order=tuple(e.name for e in REGISTRY))
    path = page.write()
    again = f", {outcome.reused} from an earlier run" if outcome.reused else ""
    say(f"{experiment.name}: {outcome.computed} tasks computed{again}")
    if experiment.points:
        say(f"  {tally}")
    say_verdicts(findings)
    return path, {
        "name": experiment.name,
        "computed": outcome.computed,
        "reused": outcome.reused,
        "statements": encode(findings.statements),
    }


def report(options: argparse.Namespace) -> None:
    """Draw figures and page again from what is stored."""
    directory = RunDirectory.open(options.run_dir)
    try:
        directory.tidy()
        page = write_report(directory)
        command = f"`{directory.command()}`" if directory.command() else "the same command"
        stopped = directory.unfinished()
    except OSError as error:
        msg = f"RUN_DIR: {error.filename} cannot be written ({error.strerror})"
        raise InputError(msg + "; copy the directory to where it can") from error
    export(directory, options)
    wrote(page=page)
    answer({"page": str(page), "unfinished": stopped})
    for name in stopped:
        say(f"{name} was stopped before its end; {command} resumes")


def export(directory: RunDirectory, options: argparse.Namespace) -> None:
    """Write the figures as files for slides, where that is asked for."""
    if options.figures is None:
        return
    paths = export_figures(directory, options.figures)
    say(f"figures: {len(paths)} files {options.figures} in {directory.path / 'figures'}")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")

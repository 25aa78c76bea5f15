"""What each command does."""

from __future__ import annotations

import argparse
import shlex
import shutil
import textwrap
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from hessium._typing import AnyArray
from hessium.cli.cluster import executor_at
from hessium.cli.console import Bars, Tally, say
from hessium.cli.target import Target
from hessium.errors import InputError
from hessium.experiments import REGISTRY
from hessium.experiments.critical_points.fig6 import SWEEP
from hessium.experiments.experiment import Experiment, settings
from hessium.experiments.fingerprint import versions
from hessium.experiments.own_comparison import compare_own
from hessium.experiments.own_model import describe, portray
from hessium.experiments.records import Findings, Section
from hessium.experiments.rundir import RunDirectory
from hessium.experiments.runner import run
from hessium.experiments.sweep_config import read_config
from hessium.experiments.sweep_store import find_point
from hessium.report import write_report
from hessium.report.words import lines


def reproduce(options: argparse.Namespace) -> None:
    """Run experiments and write the page after each, so that Ctrl-C leaves a page as well."""
    chosen = [(e, e.config(options.preset)) for e in REGISTRY.select(options.names)]
    directory = RunDirectory.create(options.out)
    with executor_at(options.dask) as executor:
        for experiment, config in chosen:
            command = f"hessium reproduce {experiment.name} --preset {options.preset}"
            page = _conduct(experiment, config, directory, options, executor, command)
    say(f"page: {page}")


def sweep(options: argparse.Namespace) -> None:
    """Run the searches of a TOML file, every point into one database, and write the page."""
    config = read_config(options.config)
    directory = RunDirectory.create(options.out)
    with executor_at(options.dask) as executor:
        command = shlex.join(["hessium", "sweep", str(options.config)])
        page = _conduct(SWEEP, config, directory, options, executor, command)
    say(f"page: {page}")


def show(options: argparse.Namespace) -> None:
    """Print one point of a sweep with its certificate and its spectrum."""
    point = find_point(options.store, options.id)
    for name, value in point.items():
        text = f"{value.size} numbers" if isinstance(value, np.ndarray) else value
        say(f"{name}: {text}")
    if "spectrum" in point:
        say("eigenvalues:")
        for line in textwrap.wrap(" ".join(f"{v:.6g}" for v in point["spectrum"]), 98):
            say(f"  {line}")


def _conduct(
    experiment: Experiment[Any],
    config: Any,
    directory: RunDirectory,
    options: argparse.Namespace,
    executor: Executor | None,
    command: str,
) -> Path:
    """Run one experiment, write its section and the page."""
    with Bars() as bars:
        tally = Tally(bars, experiment.name)
        outcome = run(
            experiment,
            config,
            directory.store(experiment.name, points=experiment.points),
            workers=options.workers,
            executor=executor,
            force=options.force,
            progress=bars,
            seen=tally if experiment.points else None,
        )
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
    page = write_report(directory)
    again = f", {outcome.reused} from an earlier run" if outcome.reused else ""
    say(f"{experiment.name}: {outcome.computed} tasks computed{again}")
    if experiment.points:
        say(f"  {tally}")
    _say_verdicts(section)
    return page


def _say_verdicts(section: Section) -> None:
    say("  Claims put to the test; one that does not hold is a finding, not a failure:")
    for statement in section.findings.statements:
        say(f"  [{statement.verdict}] {statement.claim}")
        say(f"      {statement.evidence}")


def listing(options: argparse.Namespace) -> None:
    """Name every experiment with the sentence that says what it shows."""
    width = min(shutil.get_terminal_size().columns, 100) - 4
    for experiment in REGISTRY:
        say(experiment.name)
        say(textwrap.indent(textwrap.fill(experiment.shows, width), " " * 4))


def spectrum(options: argparse.Namespace) -> None:
    """Measure the user's own risk and write a page about it."""
    _own(
        options,
        "Spectrum of {}() in {}",
        "Curvature of {}.",
        {"tol": options.tol, "max_dim": options.max_dim},
        portray,
    )


def compare(options: argparse.Namespace) -> None:
    """Set the user's own risk beside random matrix theory and write a page about it."""
    _own(
        options,
        "Theory beside {}() in {}",
        "Do the assumptions of random matrix theory hold for {}?",
        {
            "level": options.level,
            "rotations": options.rotations,
            "seed": options.seed,
            "max_dim": options.max_dim,
        },
        compare_own,
    )


def _own(
    options: argparse.Namespace,
    title: str,
    shows: str,
    arguments: dict[str, Any],
    work: Callable[..., tuple[Findings, Mapping[str, AnyArray]]],
) -> None:
    """A page about FILE.py:FUNCTION; the numbers of its first tables go to the terminal."""
    target = Target.parse(options.target)
    directory = RunDirectory.create(options.out)
    risk = target.risk()
    start = time.perf_counter()
    with Bars() as bars:
        findings, arrays = work(risk, **arguments, progress=bars)
    flags = [
        text
        for name, value in arguments.items()
        for text in (
            f"--{name.replace('_', '-')}",
            f"{value:g}" if isinstance(value, float) else str(value),
        )
    ]
    section = Section(
        experiment=options.name,
        title=title.format(target.name, target.file.name),
        shows=shows.format(repr(risk)),
        preset="",
        config={**describe(risk), **arguments, "source_sha256": target.digest()},
        seeds=(arguments["seed"],) if "seed" in arguments else (),
        command=shlex.join(["hessium", options.name, options.target, *flags]),
        versions=versions(),
        tasks=1,
        seconds=time.perf_counter() - start,
        finished=_now(),
        findings=findings,
    )
    directory.put(section, arrays, order=())
    for table in findings.tables[:2]:
        for line in lines(table):
            say(f"  {line}")
    for note in findings.notes[1:]:
        say(textwrap.fill(note, 98, initial_indent="  note: ", subsequent_indent="    "))
    _say_verdicts(section)
    say(f"page: {write_report(directory)}")


def report(options: argparse.Namespace) -> None:
    """Draw figures and page again from what is stored."""
    directory = RunDirectory.open(options.run_dir)
    try:
        say(f"page: {write_report(directory)}")
    except OSError as error:
        msg = f"RUN_DIR: {error.filename} cannot be written ({error.strerror})"
        raise InputError(msg + "; copy the directory to where it can") from error


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")

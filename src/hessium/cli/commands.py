"""What each command does."""

from __future__ import annotations

import argparse
import contextlib
import re
import shlex
import textwrap
from collections.abc import Iterator
from concurrent.futures import Executor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from hessium.cli.cluster import executor_at
from hessium.cli.console import Bars, Tally
from hessium.cli.processes import joined, left
from hessium.cli.streams import say
from hessium.cli.target import Target
from hessium.errors import InputError
from hessium.figures.records import Findings, Section, Table
from hessium.problem import EmpiricalRisk
from hessium.profiles import Plan, audit
from hessium.profiles.measurement import Measurement
from hessium.profiles.report_page import Reported, write_page
from hessium.report import Report, write_report
from hessium.report.export import export_figures
from hessium.report.statements import bases, lines
from hessium.runs.experiment import Experiment, settings
from hessium.runs.fingerprint import versions
from hessium.runs.run_directory import RunDirectory
from hessium.runs.runner import run
from hessium.runs.sweep_table import find_point
from hessium.studies.critical_points.fig6 import SWEEP
from hessium.studies.registry import REGISTRY
from hessium.studies.sweep_config import read_config

# options of the command line for the arguments that errors name
_OPTIONS = {
    "max_dim": "--max-dim",
    "max_bytes": "--memory",
    "alpha": "--alpha",
    "rotations": "--rotations",
    "names": "--parameter",
    "noise": "--noise",
    "prior_precision": "--prior",
    "units": "--unit",
    "inputs": "--input",
    "outputs": "--output",
    "tol": "--tol",
    "k": "--next",
    "criterion": "--criterion",
    "refits": "--refits",
    "index": "--index",
    "index_tolerance": "--index-tolerance",
    "num": "--num",
    "refine": "--refine",
    "sampling": "--sampling",
}


def reproduce(options: argparse.Namespace) -> None:
    """Run experiments and write the page after each, so that Ctrl-C leaves a page as well."""
    chosen = [(e, e.config(options.preset)) for e in REGISTRY.select(options.names)]
    directory = RunDirectory.create(options.out, options.line)
    directory.require_none_but([e.name for e in REGISTRY])
    page = Report(directory)
    with executor_at(options.dask) as executor:
        for experiment, config in chosen:
            command = f"hessium reproduce {experiment.name} --preset {options.preset}"
            path = _conduct(experiment, config, directory, page, options, executor, command)
    export(directory, options)
    say(f"page: {path}")


def sweep(options: argparse.Namespace) -> None:
    """Run the searches of a TOML file and write the page."""
    config = read_config(options.config)
    directory = RunDirectory.create(options.out, options.line)
    with executor_at(options.dask) as executor:
        command = shlex.join(["hessium", "sweep", str(options.config)])
        page = Report(directory)
        path = _conduct(SWEEP, config, directory, page, options, executor, command)
    say(f"page: {path}")


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
    page: Report,
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
    path = page.write()
    again = f", {outcome.reused} from an earlier run" if outcome.reused else ""
    say(f"{experiment.name}: {outcome.computed} tasks computed{again}")
    if experiment.points:
        say(f"  {tally}")
    _say_verdicts(findings)
    return path


def source(target: Target) -> dict[str, str]:
    """Where the function is, and the version of its file."""
    return {"file": target.place, "source_sha256": target.digest()}


def _say_verdicts(findings: Findings) -> None:
    if not findings.statements:
        return
    say("  Claims tested; one that does not hold is a result, not a failure:")
    for statement in findings.statements:
        say(f"  {statement.verdict}: {statement.claim}")
        say(f"      {statement.evidence}")


def spectrum(options: argparse.Namespace) -> None:
    """Measure the user's own risk and write a page about it, whole or as far as it came."""
    target, out, directory = own_directory(options, "spectrum", together=True)
    plan = Plan(
        tol=options.tol,
        max_dim=options.max_dim,
        top=options.top,
        probes=options.probes,
        steps=options.steps,
        residual=options.residual,
        seed=options.seed,
        max_bytes=int(options.memory * 2**30),
    )
    risk = target.risk()
    require_shared(risk, target)
    ranks = risk.ranks
    with options_named(), target.blamed("measuring its risk"):
        measurement = Measurement(
            risk, plan, None if directory is None else directory.store("spectrum")
        )
        if ranks.rank:  # the first process prints and writes
            stopped = measurement.run()
        else:
            if not ranks.alone:
                held = ", ".join(map(str, risk.survey.outputs_by_rank))
                say(f"{ranks.size} processes, with {held} outputs of the data")
            if measurement.forecast():
                say(textwrap.fill(_as_options(measurement.forecast()), 98, subsequent_indent="  "))
            with Bars() as bars:
                stopped = measurement.run(bars)
    if ranks.rank == 0:
        found = measurement.result()
        if found.reused:
            say(f"{found.reused} parts from an earlier run")
        write_and_say(found, target, out, options.line)
    if stopped is not None:
        raise stopped
    left()


def compare(options: argparse.Namespace) -> None:
    """Set the user's own risk beside random matrix theory and write a page about it."""
    target, out, _ = own_directory(options, "compare")
    risk = target.risk()
    with options_named(), target.blamed("comparing its risk"), Bars() as bars:
        found = audit(
            risk,
            alpha=options.alpha,
            rotations=options.rotations,
            seed=options.seed,
            max_dim=options.max_dim,
            progress=bars,
        )
    write_and_say(found, target, out, options.line)


def own_directory(
    options: argparse.Namespace, experiment: str, *, together: bool = False
) -> tuple[Target, Path, RunDirectory | None]:
    """The user's function, and the run directory for it.

    Args:
        options: of the command line.
        experiment: name of the section.
        together: whether several processes may run the command. The first one makes the directory;
            it is None for another that does not see it.

    Raises:
        InputError: if the directory cannot be used, or several processes run another command.
    """
    target = Target.parse(options.target)
    out = options.out or Path("runs") / experiment / f"{target.file.stem}-{target.name}"
    ranks = joined()
    if not (ranks.alone or together):
        msg = (
            f"hessium: {ranks.size} processes were started, and of the commands only `hessium "
            "spectrum` runs in several; start this one without torchrun"
        )
        raise InputError(msg)
    directory = RunDirectory(out)
    with ranks.together("making the run directory"):
        if ranks.rank == 0:
            directory = RunDirectory.create(out, options.line)
            directory.require_none_but((experiment,), {"file": target.place})
    return target, out, directory if ranks.rank == 0 or out.is_dir() else None


def require_shared(risk: EmpiricalRisk, target: Target) -> None:
    """Check that a risk uses all processes that were started.

    Raises:
        InputError: if it does not.
    """
    started = joined().size
    if risk.ranks.size != started:
        msg = (
            f"FILE.py:FUNCTION: {started} processes were started, but the risk of {target.name}() "
            f"uses {risk.ranks.size}; give hessium.EmpiricalRisk(..., process_group="
            "torch.distributed.group.WORLD), and to each process its part of the data"
        )
        raise InputError(msg)


def write_and_say(found: Reported, target: Target, out: Path, line: str) -> None:
    """Write the page and print its numbers, notes and verdicts."""
    name = f"{target.name}() in {target.file.name}"
    page = write_page(found, out, name=name, typed=line, more=source(target))
    say_page(found.findings, page)


def say_page(findings: Findings, page: Path) -> None:
    """Print the numbers, notes and verdicts of a page, and where it is."""
    for table in (*findings.quoted[:1], *findings.tables[:1]):
        _say_table(table)
    for note in findings.notes:
        text = textwrap.fill(
            _as_options(note), 98, initial_indent="  note: ", subsequent_indent="    "
        )
        say(text)
    _say_verdicts(findings)
    say(f"page: {page}")


def _as_options(text: str) -> str:
    """Arguments of Python that a sentence advises to change, as options of the command line."""
    text = re.sub(r"\b(larger|smaller) (top|tol)\b", r"\1 --\2", text)
    return text.replace("max_dim", "--max-dim").replace("max_bytes", "--memory")


@contextlib.contextmanager
def options_named() -> Iterator[None]:
    """Errors about arguments name the options of the command line."""
    try:
        yield
    except InputError as error:
        argument, colon, rest = str(error).partition(":")
        if not colon or argument not in _OPTIONS:
            raise
        msg = f"{_OPTIONS[argument]}:{_as_options(rest)}"
        raise InputError(msg) from error


def _say_table(table: Table) -> None:
    for line in lines(table):
        say(textwrap.fill(f"  {line}", 98, subsequent_indent="    "))
    if basis := bases(table):
        say(textwrap.fill(basis, 98, initial_indent="  ", subsequent_indent="    "))


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
    say(f"page: {page}")
    for name in stopped:
        say(f"{name} was stopped before its end; {command} resumes")


def export(directory: RunDirectory, options: argparse.Namespace, *, quiet: bool = False) -> None:
    """Write the figures as files for slides, where that is asked for."""
    if options.figures is None:
        return
    paths = export_figures(directory, options.figures)
    if not quiet:
        say(f"figures: {len(paths)} files {options.figures} in {directory.path / 'figures'}")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")

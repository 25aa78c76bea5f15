"""What each command does."""

from __future__ import annotations

import argparse
import shlex
import textwrap
from concurrent.futures import Executor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from hessium.cli.cluster import executor_at
from hessium.cli.console import Bars, Tally
from hessium.cli.streams import say
from hessium.cli.target import Target
from hessium.errors import InputError
from hessium.figures.records import Findings, Section, Table
from hessium.profiles import audit
from hessium.profiles.own_model import OwnModel
from hessium.profiles.plan import Plan
from hessium.profiles.write_page import write_page
from hessium.report import Report, write_report
from hessium.report.statements import bases, lines
from hessium.runs.experiment import Experiment, settings
from hessium.runs.fingerprint import versions
from hessium.runs.run_directory import RunDirectory
from hessium.runs.runner import run
from hessium.runs.sweep_table import find_point
from hessium.studies.critical_points.fig6 import SWEEP
from hessium.studies.registry import REGISTRY
from hessium.studies.sweep_config import read_config


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
            directory.store(experiment.name),
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


def _source(target: Target) -> dict[str, str]:
    return {"file": target.place, "source_sha256": target.digest()}


def _say_verdicts(findings: Findings) -> None:
    say("  Claims put to the test; one that does not hold is a finding, not a failure:")
    for statement in findings.statements:
        say(f"  {statement.verdict}: {statement.claim}")
        say(f"      {statement.evidence}")


def spectrum(options: argparse.Namespace) -> None:
    """Measure the user's own risk and write a page about it, whole or as far as it came."""
    target = Target.parse(options.target)
    out = options.out or Path("runs/spectrum") / f"{target.file.stem}-{target.name}"
    directory = RunDirectory.create(out, options.line)
    directory.require_none_but(("spectrum",), {"file": target.place})
    plan = Plan(
        tol=options.tol,
        max_dim=options.max_dim,
        top=options.top,
        probes=options.probes,
        steps=options.steps,
        seed=options.seed,
        max_bytes=int(options.memory * 2**30),
    )
    risk = target.risk()
    with target.blamed("measuring its risk"):
        model = OwnModel(risk, plan, directory.store("spectrum"))
        if model.foreseen():
            say(textwrap.fill(model.foreseen(), 98, subsequent_indent="  "))
        with Bars() as bars:
            found = model.profile(bars)
    page = write_page(
        out,
        experiment="spectrum",
        title=f"Curvature of {type(risk.model).__name__}: {target.name}() in {target.file.name}",
        shows=found.shows,
        config={**found.config, **_source(target)},
        seeds=(plan.seed,),
        command=options.line,
        seconds=found.seconds,
        findings=found.findings,
        arrays=found.arrays,
        typed=options.line,
    )
    if found.reused:
        say(f"{found.reused} parts from an earlier run")
    # the numbers, and where the Hessian was taken
    for table in (*found.findings.quoted[:1], *found.findings.tables[:1]):
        _say_table(table)
    for note in found.findings.notes:
        say(textwrap.fill(note, 98, initial_indent="  note: ", subsequent_indent="    "))
    _say_verdicts(found.findings)
    say(f"page: {page}")
    if found.stopped is not None:
        raise found.stopped


def compare(options: argparse.Namespace) -> None:
    """Set the user's own risk beside random matrix theory and write a page about it."""
    target = Target.parse(options.target)
    out = options.out or Path("runs/compare") / f"{target.file.stem}-{target.name}"
    directory = RunDirectory.create(out, options.line)
    directory.require_none_but(("compare",), {"file": target.place})
    arguments = {
        "alpha": options.alpha,
        "rotations": options.rotations,
        "seed": options.seed,
        "max_dim": options.max_dim,
    }
    risk = target.risk()
    with target.blamed("comparing its risk"), Bars() as bars:
        found = audit(risk, **arguments, progress=bars)
    page = write_page(
        out,
        experiment="compare",
        title=f"Theory beside {type(risk.model).__name__}: {target.name}() in {target.file.name}",
        shows=found.shows,
        config={**found.model, **arguments, **_source(target)},
        seeds=(options.seed,),
        command=options.line,
        seconds=found.seconds,
        findings=found.findings,
        arrays=found.arrays,
        typed=options.line,
    )
    findings = found.findings
    for table in findings.tables[:2]:
        _say_table(table)
    for note in findings.notes[1:]:
        say(textwrap.fill(note, 98, initial_indent="  note: ", subsequent_indent="    "))
    _say_verdicts(found.findings)
    say(f"page: {page}")


def _say_table(table: Table) -> None:
    for line in lines(table):
        say(f"  {line}")
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
    say(f"page: {page}")
    for name in stopped:
        say(f"{name} was stopped before its end; {command} resumes")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")

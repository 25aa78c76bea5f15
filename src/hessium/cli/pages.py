"""Pages about the user's own model: the run directory, and the summary in the terminal."""

from __future__ import annotations

import argparse
import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hessium._text import wrapped
from hessium.cli.arguments import collected
from hessium.cli.output import say, wrote
from hessium.cli.processes import joined
from hessium.cli.target import Target
from hessium.errors import InputError
from hessium.figures.records import Findings, Number, Table
from hessium.problem import EmpiricalRisk
from hessium.profiles.report_page import Reported, write_page
from hessium.report.statements import bases, lines
from hessium.runs.codec import encode
from hessium.runs.run_directory import RunDirectory

# options of the command line for the arguments that errors name
_OPTIONS = {
    "max_dim": "--max-dim",
    "max_bytes": "--memory",
    "alpha": "--alpha",
    "rotations": "--rotations",
    "names": "--parameter",
    "noise": "--noise",
    "term": "--term",
    "prior_precision": "--prior",
    "units": "--unit",
    "inputs": "--input",
    "outputs": "--output",
    "tol": "--tol",
    "k": "--next",
    "criterion": "--criterion",
    "refits": "--refits",
    "budget": "--budget",
    "index": "--index",
    "index_tolerance": "--index-tolerance",
    "num": "--num",
    "refine": "--refine",
    "sampling": "--sampling",
}


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
    target = Target.parse(options.target, collected(options.settings))
    out = options.out or Path("runs") / experiment / target.folder
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
            directory.require_none_but((experiment,), target.config())
    return target, out, directory if ranks.rank == 0 or out.is_dir() else None


def require_shared(risk: EmpiricalRisk, target: Target) -> None:
    """Check that a risk uses all processes that were started.

    Raises:
        InputError: if it does not.
    """
    started = joined().size
    if risk.ranks.size != started:
        msg = (
            f"{target.argument}: {started} processes were started, but the risk of {target.name}() "
            f"uses {risk.ranks.size}; give hessium.EmpiricalRisk(..., process_group="
            "torch.distributed.group.WORLD), and to each process its part of the data"
        )
        raise InputError(msg)


def write_and_say(found: Reported, target: Target, out: Path, line: str) -> Path:
    """Write the page, print its numbers, notes and verdicts, and return where it is."""
    page = write_silently(found, target, out, line)
    findings = found.findings
    for table in (*findings.quoted[:1], *findings.tables[:1]):
        _say_table(table)
    for note in findings.notes:
        say(wrapped(as_options(note), "  note: ", "    "))
    say_verdicts(findings)
    wrote(page=page)
    return page


def write_silently(found: Reported, target: Target, out: Path, line: str) -> Path:
    """Write the page, and return where it is."""
    more = {**target.config(), "source_sha256": target.digest()}
    return write_page(found, out, name=target.title, typed=line, more=more)


def summary(found: Reported) -> dict[str, Any]:
    """What --json says about a page: settings, numbers with their errors, statements, notes."""
    findings = found.findings
    facts = {
        "title": found.title,
        "config": found.config,
        "tables": [
            {
                "title": table.title,
                "columns": table.columns,
                "rows": [[_cell(cell) for cell in row] for row in table.rows],
                "note": table.note,
            }
            for table in (*findings.quoted, *findings.tables)
        ],
        "statements": findings.statements,
        "notes": findings.notes,
        "seconds": found.seconds,
    }
    return {name: encode(fact) for name, fact in facts.items()}


def _cell(cell: str | Number) -> Any:
    if isinstance(cell, str):
        return cell
    return {"value": cell.value, "low": cell.low, "high": cell.high, "basis": cell.basis}


def as_options(text: str) -> str:
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
        msg = f"{_OPTIONS[argument]}:{as_options(rest)}"
        raise InputError(msg) from error


def say_verdicts(findings: Findings) -> None:
    """Print claims with their verdicts and evidence."""
    if not findings.statements:
        return
    say("  Claims tested; one that does not hold is a result, not a failure:")
    for statement in findings.statements:
        said = f"  {statement.verdict}: {statement.claim}"
        say(wrapped(said, rest="    "))
        say(wrapped(statement.evidence, " " * 6, " " * 6))


def _say_table(table: Table) -> None:
    for line in lines(table):
        say(wrapped(f"  {line}", rest="    "))
    if basis := bases(table):
        say(wrapped(basis, "  ", "    "))

"""Options that several commands share, and how the help states defaults."""

from __future__ import annotations

import argparse
import textwrap
from pathlib import Path

from hessium.cli import values


class HelpFormatter(argparse.HelpFormatter):
    """Adds "(default: ...)" where an option has a default that is a number, a name or a path.

    Lines break at spaces only, so that paths and options can be copied.
    """

    def _get_help_string(self, action: argparse.Action) -> str | None:
        stated = isinstance(action.default, (int, float, str, Path))
        if not stated or isinstance(action.default, bool) or action.default == argparse.SUPPRESS:
            return action.help
        return f"{action.help} (default: %(default)s)"

    def _split_lines(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(" ".join(text.split()), width, break_on_hyphens=False)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return textwrap.fill(
            " ".join(text.split()), width, initial_indent=indent, subsequent_indent=indent,
            break_on_hyphens=False,
        )  # fmt: skip


def target(
    parser: argparse.ArgumentParser, returns: str = "FUNCTION() returns a hessium.EmpiricalRisk"
) -> None:
    """The user's function that makes the model."""
    parser.add_argument(
        "target",
        metavar="FILE.py:FUNCTION",
        help=f"{returns}; a module that can be imported is MODULE:FUNCTION",
    )
    parser.add_argument(
        "--set",
        dest="settings",
        type=values.assignment,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="argument of FUNCTION, a Python literal or a word, such as steps=200 or "
        "'widths=(16, 16)'; may be repeated",
    )


def output(parser: argparse.ArgumentParser) -> None:
    """What a command prints, of every command."""
    group = parser.add_argument_group("output")
    group.add_argument("--json", action="store_true", help="one JSON object instead of words")
    group.add_argument(
        "--quiet", action="store_true", help="print results only: no words about the work"
    )
    group.add_argument(
        "--verbose", action="store_true", help="versions, the library's log and costs on stderr"
    )
    group.add_argument(
        "--traceback", action="store_true", help="the traceback before the line of an error"
    )


def run_directory(parser: argparse.ArgumentParser, command: str) -> None:
    """The run directory of a command that measures the user's model."""
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="run directory, new, empty or of the same function "
        f"(default: runs/{command}/FILE-FUNCTION)",
    )


def results(parser: argparse.ArgumentParser, default: str) -> None:
    """The run directory of a command that computes what the library defines."""
    parser.add_argument(
        "--out",
        type=Path,
        default=Path(default),
        metavar="DIR",
        help="run directory, new, empty or written by hessium",
    )


def seed(parser: argparse._ActionsContainer, of: str, default: int | None = 0) -> None:
    """The seed of random numbers."""
    parser.add_argument(
        "--seed", type=values.seed, default=default, metavar="S", help=f"seed of {of}"
    )


def workers(parser: argparse.ArgumentParser) -> None:
    """Processes of this machine."""
    parser.add_argument(
        "--workers",
        type=values.workers,
        default=1,
        metavar="N",
        help="processes, each on one thread",
    )


def computing(parser: argparse.ArgumentParser) -> None:
    """Where tasks are computed, and which."""
    workers(parser)
    parser.add_argument(
        "--dask", default=None, metavar="ADDRESS", help="compute at this Dask scheduler instead"
    )
    parser.add_argument("--force", action="store_true", help="recompute what is finished")


def figures(parser: argparse.ArgumentParser) -> None:
    """Figures as files."""
    parser.add_argument(
        "--figures",
        choices=("pdf", "png"),
        default=None,
        help="write each figure also as such a file, fonts embedded, for slides and papers",
    )

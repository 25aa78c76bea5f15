"""The grammar of the command line."""

from __future__ import annotations

import argparse
import difflib
import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from hessium.cli import model_options, options, values
from hessium.errors import InputError
from hessium.runs.fingerprint import versions

_CHOICE = re.compile(
    r"(?P<name>[^:]+): invalid choice: '(?P<given>[^']*)' \(choose from (?P<allowed>.*)\)"
)


class _Parser(argparse.ArgumentParser):
    """Reports a mistake as an `InputError`, so that all mistakes look alike."""

    def error(self, message: str) -> NoReturn:
        text = message.removeprefix("argument ")
        if found := _CHOICE.fullmatch(text):
            given, allowed = found["given"], re.findall(r"'([^']+)'", found["allowed"])
            if nearest := difflib.get_close_matches(given, allowed, n=1):
                msg = f"{found['name']}: there is no {given!r}; did you mean {nearest[0]!r}?"
                raise InputError(msg)
        msg = f"{text}; `{self.prog} --help` lists what is possible"
        raise InputError(msg)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options, with what to call, as MODULE:NAME, in `.command` and what was typed in `.line`.

    Raises:
        InputError: if they do not follow the grammar.
    """
    parsed = grammar().parse_args(arguments)
    if parsed.quiet and parsed.verbose:
        msg = "--quiet, --verbose: both; give one of them"
        raise InputError(msg)
    parsed.line = shlex.join(["hessium", *arguments])
    return parsed


def _reproduce(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="experiments of `hessium list` (default: all)"
    )
    parser.add_argument("--preset", default="quick", help="quick (minutes) or paper (as published)")
    options.results(parser, "runs/reproduce")
    options.computing(parser)
    options.figures(parser)
    parser.set_defaults(command="hessium.cli.commands:reproduce")


def _sweep(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "config",
        type=Path,
        metavar="CONFIG.toml",
        help="settings of the search, such as size = 12, ratios = [0.5, 1.0], targeted = 100",
    )
    options.results(parser, "runs/sweep")
    options.computing(parser)
    parser.set_defaults(command="hessium.cli.commands:sweep")


def _show(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("store", type=Path, metavar="STORE", help="run directory")
    parser.add_argument("id", metavar="ID", help="id of the point, or its first characters")
    parser.set_defaults(command="hessium.cli.commands:show")


def _list(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(command="hessium.cli.listing:listing")


def _theory(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--ratio",
        type=values.above_zero,
        required=True,
        metavar="R",
        help="parameters / (samples x outputs), > 0",
    )
    parser.add_argument(
        "--energy",
        type=values.not_negative,
        default=None,
        metavar="E",
        help="loss / outputs at the critical point, >= 0 (default: the critical energy)",
    )
    parser.add_argument(
        "--activation",
        type=values.activation,
        default="linear",
        metavar="linear|relu",
        help="model of the residual part",
    )
    parser.add_argument(
        "--scale",
        type=values.above_zero,
        default=1.0,
        metavar="S",
        help="mean of the Gauss-Newton spectrum, > 0",
    )
    parser.add_argument(
        "--plot",
        type=values.figure,
        default=None,
        metavar="FILE",
        help="write the density as .svg or .png",
    )
    parser.set_defaults(command="hessium.cli.theory:theory")


def _explore(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("explore.html"),
        metavar="FILE.html",
        help="the file, replaced if it exists",
    )
    parser.add_argument(
        "--overlay",
        type=Path,
        nargs="+",
        action="extend",
        default=[],
        metavar="RUN_DIR",
        help="directories of `hessium spectrum` or `compare`: their spectra beside the laws",
    )
    parser.set_defaults(command="hessium.cli.explore:explore")


def _report(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "run_dir", type=Path, metavar="RUN_DIR", help="run directory of any command"
    )
    options.figures(parser)
    parser.set_defaults(command="hessium.cli.commands:report")


def _example(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="the example (default: list all)")
    parser.set_defaults(command="hessium.cli.example:example")


def _completion(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=("bash", "zsh", "fish"), help="whose completion")
    parser.set_defaults(command="hessium.cli.completion:completion")


@dataclass(frozen=True, slots=True)
class _Command:
    """One command: its purpose in a line, its options, and an example of its arguments."""

    name: str
    purpose: str
    options: Callable[[argparse.ArgumentParser], None]
    example: str


_COMMANDS = (
    _Command(
        "reproduce", "recompute published figures and write a page", _reproduce, "pb-fig1 pb-index"
    ),
    _Command(
        "sweep",
        "search for critical points as a TOML file says; resumes an interrupted one",
        _sweep,
        "sweep.toml --workers 2",
    ),
    _Command("show", "print one point of a sweep with its certificate", _show, "runs/sweep 3f2a"),
    _Command("list", "name the experiments and say what each shows", _list, "--quiet"),
    _Command(
        "spectrum",
        "measure the Hessian of your own model and write a page",
        model_options.spectrum_options,
        "hessium.examples.digits:make --set steps=400",
    ),
    _Command(
        "compare",
        "test the assumptions of random matrix theory on your own model",
        model_options.compare_options,
        "hessium.examples.digits:make --alpha 0.05",
    ),
    _Command(
        "track",
        "measure curvature along the checkpoints of a training and write a page",
        model_options.track_options,
        "FILE.py:FUNCTION checkpoints/ --track loss,sharpness",
    ),
    _Command(
        "slice",
        "draw the loss in a plane or on a line, and how far the Hessian reaches",
        model_options.slice_options,
        "hessium.examples.beam:make --directions random",
    ),
    _Command(
        "identify",
        "say what the data determine, how well, and where to measure next",
        model_options.identify_options,
        "hessium.examples.beam:make --noise 0.01",
    ),
    _Command(
        "theory",
        "print the limit law of the Hessian at a ratio and an energy",
        _theory,
        "--ratio 0.25 --energy 0.1",
    ),
    _Command(
        "explore",
        "write the interactive page: laws with sliders, in one file without network",
        _explore,
        "--out laws.html",
    ),
    _Command("report", "draw the page of a run directory again", _report, "runs/reproduce"),
    _Command(
        "example",
        "list the examples that are installed, or print the source of one",
        _example,
        "digits > digits.py",
    ),
    _Command(
        "completion",
        "print a script that completes commands and options in a shell",
        _completion,
        "bash > ~/.local/share/bash-completion/completions/hessium",
    ),
)


def grammar() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = _Parser(
        prog="hessium",
        description="Measure the Hessian of a neural network's loss beside what theory predicts.",
        epilog="Every command takes --json, --quiet, --verbose and --traceback; its help has an "
        "example: `hessium COMMAND --help`.",
    )
    parser.add_argument("--version", action="version", version=f"hessium {versions()['hessium']}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for one in _COMMANDS:
        of = commands.add_parser(
            one.name,
            help=one.purpose,
            description=f"{one.purpose[0].upper()}{one.purpose[1:]}.",
            epilog=f"Example: hessium {one.name} {one.example}",
            formatter_class=options.HelpFormatter,
        )
        one.options(of)
        options.output(of)
    return parser

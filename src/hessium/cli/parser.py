"""The grammar of the command line."""

from __future__ import annotations

import argparse
import math
import re
import shlex
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import NoReturn

from hessium.errors import InputError
from hessium.runs.fingerprint import versions
from hessium.runs.workers import require_workers

_TRACEBACK = "--traceback"  # read by `main`, which removes it
_LONGEST = 60
_MOST_GIB = 2**20


class _Parser(argparse.ArgumentParser):
    """Reports a mistake as an `InputError`, so that all mistakes look alike."""

    def error(self, message: str) -> NoReturn:
        text = message.removeprefix("argument ")
        msg = f"{text}; `{self.prog} --help` tells what is possible"
        raise InputError(msg)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options, with what to call, as MODULE:NAME, in `.command` and what was typed in `.line`.

    Raises:
        InputError: if they follow no rule of the grammar.
    """
    options = _parser().parse_args(arguments)
    options.line = shlex.join(["hessium", *arguments])
    return options


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="hessium",
        description="Measure the Hessian of a neural network's loss beside what theory predicts.",
        epilog=f"{_TRACEBACK}, anywhere, adds the traceback to the line that says an error.",
    )
    parser.add_argument("--version", action="version", version=f"hessium {versions()['hessium']}")
    commands_of = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    reproduce = commands_of.add_parser(
        "reproduce", help="recompute published figures and write a page"
    )
    reproduce.add_argument("names", nargs="*", metavar="NAME", help="experiments; all if none")
    reproduce.add_argument(
        "--preset", default="quick", help="quick (minutes) or paper (as published); quick"
    )
    _out(reproduce, "runs/reproduce")
    _computing(reproduce)
    reproduce.set_defaults(command="hessium.cli.commands:reproduce")

    sweep = commands_of.add_parser(
        "sweep", help="search for critical points as a TOML file says; resumes an interrupted one"
    )
    sweep.add_argument("config", type=Path, metavar="CONFIG.toml")
    _out(sweep, "runs/sweep")
    _computing(sweep)
    sweep.set_defaults(command="hessium.cli.commands:sweep")

    show = commands_of.add_parser("show", help="print one point of a sweep with its certificate")
    show.add_argument("store", type=Path, metavar="STORE", help="run directory")
    show.add_argument("id", metavar="ID", help="of the point, or how it starts")
    show.set_defaults(command="hessium.cli.commands:show")

    listing = commands_of.add_parser("list", help="name the experiments and say what each shows")
    listing.set_defaults(command="hessium.cli.listing:listing")

    spectrum = commands_of.add_parser(
        "spectrum", help="measure the Hessian of your own model and write a page"
    )
    spectrum.add_argument(
        "target", metavar="FILE.py:FUNCTION", help="FUNCTION() returns a hessium.EmpiricalRisk"
    )
    spectrum.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="run directory, new, empty or of the same function; runs/spectrum/FILE-FUNCTION",
    )
    spectrum.add_argument(
        "--tol",
        type=_fraction,
        default=1e-6,
        help="an eigenvalue counts as zero below this fraction of the largest; 1e-6",
    )
    spectrum.add_argument(
        "--max-dim",
        type=_positive,
        default=8000,
        metavar="N",
        help="largest number of parameters, or of samples x outputs, for which dense matrices "
        "are formed; larger models use Hessian-vector products; 8000 (0.5 GB in float64)",
    )
    large = spectrum.add_argument_group("of models larger than --max-dim")
    large.add_argument(
        "--top", type=_up_to(10_000), default=10, metavar="K", help="eigenpairs at each end; 10"
    )
    large.add_argument(
        "--probes", type=_up_to(100_000), default=10, metavar="N", help="random vectors; 10"
    )
    large.add_argument(
        "--steps", type=_up_to(100_000), default=80, metavar="N", help="Lanczos steps for each; 80"
    )
    large.add_argument("--seed", type=_seed, default=0, metavar="S", help="of the vectors; 0")
    large.add_argument(
        "--memory",
        type=_memory,
        default=8.0,
        metavar="GIB",
        help="memory limit for Krylov bases in GiB; 8",
    )
    large.add_argument(
        "--no-residual", dest="residual", action="store_false", help="leave H1 = H - H0 out"
    )
    spectrum.set_defaults(command="hessium.cli.commands:spectrum")

    compare = commands_of.add_parser(
        "compare", help="test the assumptions of random matrix theory on your own model"
    )
    compare.add_argument(
        "target", metavar="FILE.py:FUNCTION", help="FUNCTION() returns a hessium.EmpiricalRisk"
    )
    compare.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="run directory, new, empty or of the same function; runs/compare/FILE-FUNCTION",
    )
    compare.add_argument(
        "--alpha", type=_fraction, default=0.01, help="false-alarm rate of each test; 0.01"
    )
    compare.add_argument(
        "--rotations",
        type=_up_to(1_000_000),
        default=99,
        metavar="N",
        help="random rotations of the test of freeness, at least 1/alpha - 1; 99",
    )
    compare.add_argument(
        "--seed", type=_seed, default=0, metavar="N", help="of the random matrices; 0"
    )
    compare.add_argument(
        "--max-dim",
        type=_positive,
        default=3000,
        metavar="N",
        help="largest number of parameters; 3000",
    )
    compare.set_defaults(command="hessium.cli.commands:compare")

    law = commands_of.add_parser(
        "theory", help="print the limit law of the Hessian at a ratio and an energy"
    )
    law.add_argument(
        "--ratio",
        type=_above_zero,
        required=True,
        metavar="R",
        help="parameters / (samples x outputs), > 0",
    )
    law.add_argument(
        "--energy",
        type=_not_negative,
        default=None,
        metavar="E",
        help="loss / outputs at the critical point, >= 0; the critical energy",
    )
    law.add_argument(
        "--activation",
        type=_activation,
        default="linear",
        metavar="linear|relu",
        help="model of the residual part; linear",
    )
    law.add_argument(
        "--scale",
        type=_above_zero,
        default=1.0,
        metavar="S",
        help="mean of the Gauss-Newton spectrum, > 0; 1",
    )
    law.add_argument("--json", action="store_true", help="one JSON object instead of words")
    law.add_argument(
        "--plot",
        type=_figure,
        default=None,
        metavar="FILE",
        help="write the density as .svg or .png",
    )
    law.set_defaults(command="hessium.cli.theory:theory")

    explore = commands_of.add_parser(
        "explore", help="write the interactive page: laws with sliders, in one file without network"
    )
    explore.add_argument(
        "--out",
        type=Path,
        default=Path("explore.html"),
        metavar="FILE.html",
        help="the file, replaced if it exists; explore.html",
    )
    explore.add_argument(
        "--overlay",
        type=Path,
        nargs="+",
        action="extend",
        default=[],
        metavar="RUN_DIR",
        help="directories of `hessium spectrum` or `compare`: their spectra beside the laws",
    )
    explore.set_defaults(command="hessium.cli.explore:explore")

    report = commands_of.add_parser("report", help="draw the page of a run directory again")
    report.add_argument("run_dir", type=Path, metavar="RUN_DIR")
    report.set_defaults(command="hessium.cli.commands:report")
    return parser


def _out(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument(
        "--out",
        type=Path,
        default=Path(default),
        metavar="DIR",
        help=f"run directory, new, empty or written by hessium; {default}",
    )


def _computing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--workers", type=_workers, default=1, metavar="N", help="processes, each on one thread; 1"
    )
    parser.add_argument(
        "--dask", default=None, metavar="ADDRESS", help="compute at this Dask scheduler instead"
    )
    parser.add_argument("--force", action="store_true", help="recompute what is finished")


def _up_to(most: int) -> Callable[[str], int]:
    """Positive integers up to what could be finished."""

    def convert(text: str) -> int:
        value = _integer(text)
        if value is None or value < 1:
            msg = f"{_shown(text)}; a positive integer is required"
            raise argparse.ArgumentTypeError(msg)
        if value > most:
            msg = f"{_shown(text)}; at most {most} is possible"
            raise argparse.ArgumentTypeError(msg)
        return value

    return convert


_positive = _up_to(10**9)


def _workers(text: str) -> int:
    workers = _positive(text)
    try:
        require_workers(workers)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error).removeprefix("workers: ")) from error
    return workers


def _seed(text: str) -> int:
    value = _integer(text)
    if value is None or not 0 <= value < 2**63:
        msg = f"{_shown(text)}; an integer >= 0, below 2^63, is required"
        raise argparse.ArgumentTypeError(msg)
    return value


def _integer(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[+-]?[0-9]{1,300}", text) else None


def _shown(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _fraction(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < 1:
        msg = f"{_shown(text)}; a number between 0 and 1 is required"
        raise argparse.ArgumentTypeError(msg)
    return value


def _real(text: str, rule: str, lowest: float, *, open_end: bool) -> float:
    try:
        value = float(Fraction(text)) if "/" in text else float(text)
    except (ArithmeticError, ValueError):
        value = math.nan
    if not (math.isfinite(value) and value >= lowest and not (open_end and value == lowest)):
        msg = f"{_shown(text)}; {rule} is required"
        raise argparse.ArgumentTypeError(msg)
    return value


def _above_zero(text: str) -> float:
    return _real(text, "a number > 0", 0.0, open_end=True)


def _not_negative(text: str) -> float:
    return _real(text, "a number >= 0", 0.0, open_end=False)


def _memory(text: str) -> float:
    value = _above_zero(text)
    if value > _MOST_GIB:
        msg = f"{_shown(text)}; at most {_MOST_GIB} is possible"
        raise argparse.ArgumentTypeError(msg)
    return value


def _activation(text: str) -> str:
    from hessium.theory.hessians.energies import ACTIVATIONS  # SciPy: only where it is used

    if text not in ACTIVATIONS:
        msg = f"{_shown(text)}; {' or '.join(ACTIVATIONS)} is required"
        raise argparse.ArgumentTypeError(msg)
    return text


def _figure(text: str) -> Path:
    if Path(text).suffix.lower() not in (".svg", ".png"):
        msg = f"{_shown(text)}; a file that ends in .svg or .png is required"
        raise argparse.ArgumentTypeError(msg)
    return Path(text)

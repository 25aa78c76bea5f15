"""The grammar of the command line."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from hessium.cli import values
from hessium.cli.model_options import (
    figures_option,
    identify_options,
    slice_options,
    track_options,
)
from hessium.errors import InputError
from hessium.runs.fingerprint import versions

_TRACEBACK = "--traceback"  # read by `main`, which removes it


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
    figures_option(reproduce)
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
        type=values.fraction,
        default=1e-6,
        help="an eigenvalue counts as zero below this fraction of the largest; 1e-6",
    )
    spectrum.add_argument(
        "--max-dim",
        type=values.positive,
        default=8000,
        metavar="N",
        help="largest number of parameters, or of samples x outputs, for which dense matrices "
        "are formed; larger models use Hessian-vector products; 8000 (0.5 GB in float64)",
    )
    large = spectrum.add_argument_group("of models larger than --max-dim")
    large.add_argument(
        "--top",
        type=values.up_to(10_000),
        default=10,
        metavar="K",
        help="eigenpairs at each end; 10",
    )
    large.add_argument(
        "--probes", type=values.up_to(100_000), default=10, metavar="N", help="random vectors; 10"
    )
    large.add_argument(
        "--steps",
        type=values.up_to(100_000),
        default=80,
        metavar="N",
        help="Lanczos steps for each; 80",
    )
    large.add_argument("--seed", type=values.seed, default=0, metavar="S", help="of the vectors; 0")
    large.add_argument(
        "--memory",
        type=values.memory,
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
        "--alpha", type=values.fraction, default=0.01, help="false-alarm rate of each test; 0.01"
    )
    compare.add_argument(
        "--rotations",
        type=values.up_to(1_000_000),
        default=99,
        metavar="N",
        help="random rotations of the test of freeness, at least 1/alpha - 1; 99",
    )
    compare.add_argument(
        "--seed", type=values.seed, default=0, metavar="N", help="of the random matrices; 0"
    )
    compare.add_argument(
        "--max-dim",
        type=values.positive,
        default=3000,
        metavar="N",
        help="largest number of parameters; 3000",
    )
    compare.set_defaults(command="hessium.cli.commands:compare")

    track_options(
        commands_of.add_parser(
            "track", help="measure curvature along the checkpoints of a training and write a page"
        )
    )
    slice_options(
        commands_of.add_parser(
            "slice", help="draw the loss in a plane or on a line, and how far the Hessian reaches"
        )
    )
    identify = commands_of.add_parser(
        "identify", help="say what the data determine, how well, and where to measure next"
    )
    identify_options(identify)
    identify.set_defaults(command="hessium.cli.identify:identify")

    law = commands_of.add_parser(
        "theory", help="print the limit law of the Hessian at a ratio and an energy"
    )
    law.add_argument(
        "--ratio",
        type=values.above_zero,
        required=True,
        metavar="R",
        help="parameters / (samples x outputs), > 0",
    )
    law.add_argument(
        "--energy",
        type=values.not_negative,
        default=None,
        metavar="E",
        help="loss / outputs at the critical point, >= 0; the critical energy",
    )
    law.add_argument(
        "--activation",
        type=values.activation,
        default="linear",
        metavar="linear|relu",
        help="model of the residual part; linear",
    )
    law.add_argument(
        "--scale",
        type=values.above_zero,
        default=1.0,
        metavar="S",
        help="mean of the Gauss-Newton spectrum, > 0; 1",
    )
    law.add_argument("--json", action="store_true", help="one JSON object instead of words")
    law.add_argument(
        "--plot",
        type=values.figure,
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
    figures_option(report)
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
        "--workers",
        type=values.workers,
        default=1,
        metavar="N",
        help="processes, each on one thread; 1",
    )
    parser.add_argument(
        "--dask", default=None, metavar="ADDRESS", help="compute at this Dask scheduler instead"
    )
    parser.add_argument("--force", action="store_true", help="recompute what is finished")

"""Options of the commands that measure the user's own model."""

from __future__ import annotations

import argparse
from pathlib import Path

from hessium.cli import values


def track_options(parser: argparse.ArgumentParser) -> None:
    """Of `hessium track`."""
    parser.add_argument(
        "target",
        metavar="FILE.py:FUNCTION",
        help="FUNCTION(path) returns a hessium.EmpiricalRisk, or (risk, optimizer)",
    )
    parser.add_argument(
        "checkpoints",
        nargs="+",
        metavar="CHECKPOINT",
        help="files or folders; ordered by the last number in their names",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="run directory, new, empty or of the same function; runs/track/FILE-FUNCTION",
    )
    parser.add_argument(
        "--track",
        type=lambda text: tuple(filter(None, text.split(","))),
        default=None,
        metavar="NAMES",
        help="quantities with commas between, such as loss,sharpness,trace; the default ones",
    )
    parser.add_argument(
        "--spectra", action="store_true", help="estimate a spectrum of each checkpoint as well"
    )
    parser.add_argument(
        "--threshold",
        type=values.above_zero,
        default=None,
        metavar="T",
        help="stability threshold of the sharpness, such as 2/lr, where no optimizer says it",
    )
    parser.add_argument(
        "--seed", type=values.seed, default=0, metavar="S", help="of random vectors; 0"
    )
    parser.add_argument(
        "--workers",
        type=values.workers,
        default=1,
        metavar="N",
        help="processes, each on one thread; 1",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object instead of words")
    parser.set_defaults(command="hessium.cli.track:track")


def identify_options(parser: argparse.ArgumentParser) -> None:
    """Of `hessium identify`."""
    parser.add_argument(
        "target",
        metavar="FILE.py:FUNCTION",
        help="FUNCTION() returns a hessium.EmpiricalRisk, or it and a dict of arguments of "
        "hessium.identify, such as {'noise': 0.1, 'units': {'kappa': 'W/m/K'}}; options below "
        "come before those of the dict",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="run directory, new, empty or of the same function; runs/identify/FILE-FUNCTION",
    )
    parser.add_argument(
        "--parameter",
        action="append",
        metavar="NAME",
        help="report this one, others are nuisance parameters; may be repeated; the scalar ones",
    )
    parser.add_argument(
        "--noise",
        type=values.above_zero,
        metavar="S",
        help="standard deviation of a measurement; estimated from the residuals",
    )
    parser.add_argument(
        "--prior",
        type=values.not_negative,
        metavar="A",
        help="precision of a normal prior of the parameters, >= 0; 0",
    )
    for option, what in (
        ("unit", "of a parameter, as kappa=W/m/K"),
        ("input", "name and unit of the next column of the inputs, as x=m"),
        ("output", "name and unit of the next output, as deflection=mm"),
    ):
        parser.add_argument(
            f"--{option}",
            type=values.named_unit,
            action="append",
            metavar="NAME=UNIT",
            help=f"{what}; may be repeated",
        )
    parser.add_argument(
        "--tol",
        type=values.fraction,
        help="eigenvalues of JᵀJ below this fraction of the largest count as zero; rounding",
    )
    parser.add_argument("--next", type=values.up_to(1000), metavar="K", help="measurements; 3")
    parser.add_argument(
        "--criterion",
        type=values.criterion,
        metavar="A|D",
        help="A: best predictions; D: most information about the parameters; A",
    )
    parser.add_argument(
        "--refits", type=values.count, metavar="N", help="parameters checked by refits; 6"
    )
    parser.add_argument("--seed", type=values.seed, metavar="S", help="of random directions; 0")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of words")


def slice_options(parser: argparse.ArgumentParser) -> None:
    """Of `hessium slice`."""
    parser.add_argument(
        "target", metavar="FILE.py:FUNCTION", help="FUNCTION() returns a hessium.EmpiricalRisk"
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="run directory, new, empty or of the same function; runs/slice/FILE-FUNCTION",
    )
    parser.add_argument(
        "--directions",
        choices=("eigenvectors", "random", "gradient"),
        default="eigenvectors",
        help="two eigenvectors, two filter-normalised random directions, or one; eigenvectors",
    )
    parser.add_argument(
        "--extent",
        type=values.above_zero,
        default=1.0,
        metavar="E",
        help="largest coordinate along each direction; 1",
    )
    parser.add_argument(
        "--num", type=values.up_to(1001), default=51, metavar="N", help="points along each; 51"
    )
    parser.add_argument(
        "--within",
        type=values.fraction,
        default=0.1,
        metavar="F",
        help="error of the quadratic model that defines its radius; 0.1",
    )
    parser.add_argument(
        "--sampling",
        action="store_true",
        help="standard errors over the samples, from two batches of the data or more",
    )
    parser.add_argument(
        "--refine",
        type=values.up_to(20),
        default=0,
        metavar="N",
        help="times that intervals are halved where the loss is least smooth; 0",
    )
    parser.add_argument(
        "--critical",
        action="append",
        choices=("levenberg-marquardt", "newton-mr", "gradient-norm"),
        default=[],
        help="search for a critical point from the parameters and mark it with its index; may be "
        "repeated",
    )
    parser.add_argument(
        "--seed", type=values.seed, default=0, metavar="S", help="of random directions; 0"
    )
    parser.add_argument(
        "--workers",
        type=values.workers,
        default=1,
        metavar="N",
        help="processes, each on one thread; 1",
    )
    figures_option(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of words")
    parser.set_defaults(command="hessium.cli.slices:loss_slice")


def figures_option(parser: argparse.ArgumentParser) -> None:
    """For slides."""
    parser.add_argument(
        "--figures",
        choices=("pdf", "png"),
        default=None,
        help="write each figure also as such a file, fonts embedded, for slides and papers",
    )

"""Options of the commands that measure the user's own model."""

from __future__ import annotations

import argparse

from hessium.cli import options, values


def spectrum_options(parser: argparse.ArgumentParser) -> None:
    """Of `hessium spectrum`."""
    options.target(parser)
    options.run_directory(parser, "spectrum")
    parser.add_argument(
        "--tol",
        type=values.fraction,
        default=1e-6,
        help="an eigenvalue counts as zero below this fraction of the largest",
    )
    parser.add_argument(
        "--max-dim",
        type=values.positive,
        default=8000,
        metavar="N",
        help="largest number of parameters, or of samples x outputs, for which dense matrices are "
        "formed (0.5 GB for 8000 in float64); larger models use Hessian-vector products",
    )
    large = parser.add_argument_group("of models larger than --max-dim")
    large.add_argument(
        "--top", type=values.up_to(10_000), default=10, metavar="K", help="eigenpairs at each end"
    )
    large.add_argument(
        "--probes", type=values.up_to(100_000), default=10, metavar="N", help="random vectors"
    )
    large.add_argument(
        "--steps",
        type=values.up_to(100_000),
        default=80,
        metavar="N",
        help="Lanczos steps for each random vector",
    )
    options.seed(large, "the random vectors")
    large.add_argument(
        "--memory",
        type=values.memory,
        default=8.0,
        metavar="GIB",
        help="memory limit for Krylov bases in GiB",
    )
    large.add_argument(
        "--no-residual", dest="residual", action="store_false", help="leave H1 = H - H0 out"
    )
    parser.set_defaults(command="hessium.cli.measure:spectrum")


def compare_options(parser: argparse.ArgumentParser) -> None:
    """Of `hessium compare`."""
    options.target(parser)
    options.run_directory(parser, "compare")
    parser.add_argument(
        "--alpha", type=values.fraction, default=0.01, help="false-alarm rate of each test"
    )
    parser.add_argument(
        "--rotations",
        type=values.up_to(1_000_000),
        default=99,
        metavar="N",
        help="random rotations of the test of freeness, at least 1/alpha - 1",
    )
    options.seed(parser, "the random matrices")
    parser.add_argument(
        "--max-dim",
        type=values.positive,
        default=3000,
        metavar="N",
        help="largest number of parameters",
    )
    parser.set_defaults(command="hessium.cli.measure:compare")


def track_options(parser: argparse.ArgumentParser) -> None:
    """Of `hessium track`."""
    options.target(parser, "FUNCTION(path) returns a hessium.EmpiricalRisk, or (risk, optimizer)")
    parser.add_argument(
        "checkpoints",
        nargs="+",
        metavar="CHECKPOINT",
        help="files or folders; ordered by the last number in their names",
    )
    options.run_directory(parser, "track")
    parser.add_argument(
        "--track",
        type=lambda text: tuple(filter(None, text.split(","))),
        default=None,
        metavar="NAMES",
        help="quantities separated by commas, such as loss,sharpness,trace "
        "(default: those of hs.Monitor)",
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
        "--prior",
        type=values.above_zero,
        default=None,
        metavar="A",
        help="prior precision of effective_dimension: that of a penalty A |theta|^2 / 2",
    )
    options.seed(parser, "the random vectors")
    options.workers(parser)
    parser.set_defaults(command="hessium.cli.track:track")


def identify_options(parser: argparse.ArgumentParser) -> None:
    """Of `hessium identify`."""
    options.target(
        parser,
        "FUNCTION() returns a hessium.EmpiricalRisk, or it and a dict of arguments of "
        "hessium.identify, such as {'noise': 0.1, 'units': {'kappa': 'W/m/K'}}, which the options "
        "below override",
    )
    options.run_directory(parser, "identify")
    parser.add_argument(
        "--parameter",
        action="append",
        metavar="NAME",
        help="report this parameter and treat the others as nuisance parameters; may be repeated "
        "(default: all scalars)",
    )
    parser.add_argument(
        "--term",
        metavar="NAME",
        help="of a sum of terms, the one whose outputs are measurements (required there)",
    )
    parser.add_argument(
        "--noise",
        type=values.above_zero,
        metavar="S",
        help="standard deviation of a measurement (default: estimated from the residuals)",
    )
    parser.add_argument(
        "--prior",
        type=values.not_negative,
        metavar="A",
        help="precision of a normal prior of the parameters, >= 0 (default: 0)",
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
        help="eigenvalues of JᵀJ below this fraction of the largest count as zero "
        "(default: rounding)",
    )
    parser.add_argument(
        "--next",
        type=values.up_to(1000),
        metavar="K",
        help="number of measurements to propose (default: 3)",
    )
    parser.add_argument(
        "--criterion",
        type=values.criterion,
        metavar="A|D",
        help="A: best predictions; D: most information about the parameters (default: A)",
    )
    parser.add_argument(
        "--refits",
        type=values.count,
        metavar="N",
        help="number of parameters checked by refits (default: 6)",
    )
    parser.add_argument(
        "--budget",
        type=values.positive,
        metavar="N",
        help="factorisations of the Jacobian in all refits, at most; what has not converged then "
        "is not believed (default: 300)",
    )
    options.seed(parser, "the random directions (default: 0)", default=None)
    parser.set_defaults(command="hessium.cli.identify:identify")


def slice_options(parser: argparse.ArgumentParser) -> None:
    """Of `hessium slice`."""
    options.target(parser)
    options.run_directory(parser, "slice")
    parser.add_argument(
        "--directions",
        choices=("eigenvectors", "random", "gradient"),
        default="eigenvectors",
        help="two eigenvectors, two filter-normalised random directions, or the gradient",
    )
    parser.add_argument(
        "--extent",
        type=values.above_zero,
        default=1.0,
        metavar="E",
        help="largest coordinate along each direction",
    )
    parser.add_argument(
        "--num",
        type=values.up_to(1001),
        default=51,
        metavar="N",
        help="points along each direction",
    )
    parser.add_argument(
        "--within",
        type=values.fraction,
        default=0.1,
        metavar="F",
        help="error of the quadratic model that defines its radius",
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
        help="times that intervals are halved where the loss is least smooth",
    )
    parser.add_argument(
        "--critical",
        action="append",
        choices=("levenberg-marquardt", "newton-mr", "gradient-norm", "saddle"),
        default=[],
        help="search for a critical point from the parameters and mark it with its index; may be "
        "repeated; saddle needs --index",
    )
    parser.add_argument(
        "--index",
        type=values.count,
        metavar="K",
        help="number of negative eigenvalues that saddle searches for",
    )
    parser.add_argument(
        "--index-tolerance",
        type=values.count,
        metavar="K",
        help="accepted difference from --index (default: a tenth of it)",
    )
    parser.add_argument(
        "--ridge",
        type=values.not_negative,
        default=0.0,
        metavar="R",
        help="search for critical points of the loss plus R/2 |parameters|^2",
    )
    parser.add_argument(
        "--restarts",
        type=values.count,
        default=0,
        metavar="N",
        help="further tries of a search that fails",
    )
    parser.add_argument(
        "--max-steps",
        type=values.up_to(1_000_000),
        default=300,
        metavar="N",
        help="largest number of steps of a try",
    )
    options.seed(parser, "the random directions and of restarts")
    options.workers(parser)
    options.figures(parser)
    parser.set_defaults(command="hessium.cli.slices:loss_slice")

"""A network trained on real data: handwritten digits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from hessium.figures.formatting import between
from hessium.figures.records import OURS, Findings, Statement, judge, over
from hessium.problem import EmpiricalRisk
from hessium.profiles.dense_measurement import dense_spectra
from hessium.profiles.portrait import Portrait
from hessium.runs.experiment import Result, Task
from hessium.spectra import Spectrum
from hessium.studies.images import packaged
from hessium.studies.networks import tanh_network
from hessium.studies.study import Summary, repeated, study, table
from hessium.studies.training import train

_CLASSES = 10
_TRAINING = {
    "loss_start": "loss at initialisation",
    "loss": "loss reached",
    "gradient_norm": "norm of the gradient there",
    "accuracy": "accuracy, training images",
    "test_accuracy": "accuracy, test images",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DigitsConfig:
    """Settings of `real-data`.

    Attributes:
        hidden: units of the one hidden layer.
        training: number of training images; the rest of the 1797 test.
        seeds: of the split and the initial weights.
        max_iterations: of L-BFGS-B, which is stopped there: without a ridge the loss has its
            infimum at infinity.
        tol: eigenvalues count beyond this fraction of the largest.
    """

    hidden: int = 16
    training: int = 1200
    seeds: tuple[int, ...] = (0, 1, 2)
    max_iterations: int = 30
    tol: float = 1e-6


def tasks(config: DigitsConfig) -> list[Task]:
    """One training for each seed."""
    common = {k: getattr(config, k) for k in ("hidden", "training", "max_iterations")}
    return [{"seed": seed, **common} for seed in config.seeds]


def split(training: int, seed: int) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Training and test images with labels: pixels in [0, 1], shape (n, 64), float64."""
    images, labels = packaged().load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(labels))
    x = torch.from_numpy(images[order] / 16.0)
    y = torch.from_numpy(labels[order].astype(np.int64))
    return (x[:training], y[:training]), (x[training:], y[training:])


def compute(task: Task) -> Result:
    """Spectra at initialisation and after training, loss and accuracy."""
    data, test = split(task["training"], task["seed"])
    network = tanh_network((data[0].shape[1], task["hidden"], _CLASSES), task["seed"])
    start = EmpiricalRisk(network, nn.CrossEntropyLoss(), data)
    trained = train(start, max_iterations=task["max_iterations"])
    spectra = {f"start_{k}": np.array(v.nodes) for k, v in dense_spectra(start).items()}
    spectra |= {f"end_{k}": np.array(v.nodes) for k, v in dense_spectra(trained.risk).items()}
    return {
        **spectra,
        "loss_start": start.value(),
        "loss": trained.loss,
        "gradient_norm": trained.gradient_norm,
        "iterations": trained.iterations,
        "accuracy": _accuracy(trained.risk, data),
        "test_accuracy": _accuracy(trained.risk, test),
        "num_outputs": start.num_outputs,
    }


def _accuracy(risk: EmpiricalRisk, data: tuple[Tensor, Tensor]) -> float:
    parameters = risk.layout.unflatten(risk.theta)
    scores = risk.outputs(parameters, data[0]).detach()
    return float((scores.argmax(dim=1) == data[1]).double().mean())


def summarise(config: DigitsConfig, results: Sequence[Result]) -> Summary:
    """Charts, statements and tables of the runs."""
    what = repeated(config.seeds)
    start, end = (
        Portrait.of(
            [_part(result, prefix) for result in results],
            what=what,
            tol=config.tol,
            num_outputs=int(results[0]["num_outputs"]),
            suffix=suffix,
            when=when,
        )
        for prefix, suffix, when in (
            ("start_", "-start", ", at initialisation"),
            ("end_", "", ", after training"),
        )
    )
    findings = Findings(
        statements=(
            *(replace(one, origin=OURS, shown="eigenvalues") for one in end.statements()),
            *(
                replace(one, origin=OURS, shown="eigenvalues-start")
                for one in start.statements()[:1]
            ),
            _outliers(results, what),
        ),
        charts=(*end.charts(), *start.charts()[:2]),
        tables=(
            table(
                "Training",
                ("quantity", "value"),
                ((name, over([r[key] for r in results], what)) for key, name in _TRAINING.items()),
            ),
            *end.quoted(),
            *start.quoted()[:1],
        ),
        notes=(
            "Data: the 1797 images of 8 × 8 pixels of scikit-learn's digits (UCI, test set "
            f"of optical recognition of handwritten digits); {config.training} of them train. "
            f"Network: tanh, 64-{config.hidden}-10, mean cross-entropy, no ridge, L-BFGS-B stopped "
            f"after {config.max_iterations} iterations: a trained network, not a critical point; "
            "the table has the gradient norm.",
            "Two kinds of zero are exact: softmax is invariant to a constant added to all scores "
            f"(at least {config.hidden + 1} zero eigenvalues of H and of H₀), and pixels that are "
            "blank in all images have no effect.",
        ),
    )
    arrays = {
        f"seed{seed}_{key.replace('/', '_')}": value
        for seed, result in zip(config.seeds, results, strict=True)
        for key, value in result.items()
        if isinstance(value, np.ndarray)
    }
    return findings, arrays


def _part(result: Result, prefix: str) -> dict[str, Spectrum]:
    """The spectra at one time."""
    rank, found = int(result["num_outputs"]), {}
    for key, values in result.items():
        name = key.removeprefix(prefix)
        if name != key and isinstance(values, np.ndarray):
            outer = name.startswith("gauss_newton")
            found[name] = Spectrum.of(values, nonnegative=outer, rank_bound=rank if outer else None)
    return found


def _outliers(results: Sequence[Result], what: str) -> Statement:
    places, ratios = [], []
    for result in results:
        top = result["end_hessian"][::-1][: 3 * _CLASSES]
        gaps = top[:-1] / top[1:]
        places.append(int(np.argmax(gaps)) + 1)
        ratios.append(float(gaps[_CLASSES - 2]))
    return judge(
        f"The {_CLASSES - 1} largest eigenvalues, one fewer than classes, stand apart: the widest "
        f"gap among the first {3 * _CLASSES} follows them, after training.",
        all(place == _CLASSES - 1 for place in places),
        f"the widest gap follows eigenvalue {', '.join(map(str, places))} ({what}); the ratio of "
        f"eigenvalues {_CLASSES - 1} and {_CLASSES} is {between(ratios)}",
        origin=OURS,
        shown="eigenvalues",
    )


EXPERIMENT = study(
    "real-data",
    "The Hessian of a network trained on real data",
    quick=DigitsConfig(),
    paper=DigitsConfig(hidden=32, seeds=(0, 1, 2, 3, 4)),
    tasks=tasks,
    compute=compute,
    summarise=summarise,
)

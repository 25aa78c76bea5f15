"""Figure 2 of the second source: H0 + H1 of a trained autoencoder beside H0 + Q H1 Q^T."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hessium._typing import AnyArray, FloatArray
from hessium.compare import freeness
from hessium.curvature import GaussNewton, ResidualHessian
from hessium.figures.formatting import between, digits
from hessium.figures.records import (
    Chart,
    Findings,
    Mark,
    Number,
    Series,
    Statement,
    Table,
    exact,
    judge,
    over,
)
from hessium.runs.experiment import Experiment, Result, Task
from hessium.studies.images import digest, small_images
from hessium.studies.real_networks.setting import plain_network, squared_risk
from hessium.studies.training import train

_BIN = 0.2
_CLOSE = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnedConfig:
    """Settings of `pb-fig2`.

    Attributes:
        samples: images, which are inputs and targets.
        hidden: ReLU units.
        stages: iterations of L-BFGS-B; how long the source trains is not stated.
        rotations: Haar rotations.
        seeds: of images, weights and rotations.
        images: see `small_images`.
    """

    samples: int = 150
    hidden: int = 20
    stages: tuple[int, ...] = (2, 10, 40)
    rotations: int = 99
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    images: str = "photographs"


def tasks(config: TurnedConfig) -> list[Task]:
    """One training for each stage and seed."""
    names = ("samples", "hidden", "rotations", "images")
    common = {name: getattr(config, name) for name in names} | {"file": digest(config.images)}
    return [
        {"seed": seed, "max_iterations": stage, **common}
        for stage in config.stages
        for seed in config.seeds
    ]


def compute(task: Task) -> Result:
    """Train, and compare the pair with its rotations."""
    x = small_images(task["samples"], task["seed"], task["images"])
    network = plain_network((16, task["hidden"], 16), "relu", task["seed"])
    trained = train(squared_risk(network, x, x), max_iterations=task["max_iterations"])
    first = GaussNewton(trained.risk).dense()
    second = ResidualHessian(trained.risk).dense()
    found = freeness(first, second, rotations=task["rotations"], rng=task["seed"])
    return {
        "spectrum": np.array(found.spectrum.nodes),
        "rotated": found.rotated,
        "gauss_newton": np.array(found.first.nodes),
        "residual": np.array(found.second.nodes),
        "moments": np.array([one.value for one in found.moments]),
        "scores": np.array([one.z for one in found.moments]),
        "names": [one.name for one in found.moments],
        "distance": found.distance,
        "rotated_distance": float(np.median(found.rotated_distances)),
        "p_value": found.p_value,
        "distance_p_value": found.distance_p_value,
        "loss": trained.loss,
        "gradient_norm": trained.gradient_norm,
    }


class _Runs:
    """Results by stage."""

    def __init__(self, config: TurnedConfig, results: Sequence[Result]) -> None:
        self.config = config
        count = len(config.seeds)
        self.stages = {
            stage: results[k * count : (k + 1) * count] for k, stage in enumerate(config.stages)
        }
        self.what = f"{count} seeds"

    def each(self, number: Callable[[Result], float]) -> dict[int, FloatArray]:
        """A number of each run, by stage."""
        return {
            stage: np.array([number(r) for r in found], dtype=np.float64)
            for stage, found in self.stages.items()
        }

    def words(self, number: Callable[[Result], float], significant: int = 2) -> str:
        """The ranges of a number over the seeds, stage by stage."""
        parts = self.each(number).items()
        return "; ".join(f"{between(v, significant)} after {stage}" for stage, v in parts)


def summarise(
    config: TurnedConfig, results: Sequence[Result]
) -> tuple[Findings, Mapping[str, AnyArray]]:
    """Charts, statements and tables of the runs."""
    runs = _Runs(config, results)
    early, late = config.stages[0], config.stages[-1]
    findings = Findings(
        statements=_statements(runs),
        charts=(_histogram(runs, early), _histogram(runs, late), _top(runs, early)),
        tables=(_table(runs), _moments(runs)),
        notes=(
            f"Network: 16-{config.hidden}-16 ReLU autoencoder without biases, weights "
            f"N(0, 1/fan-in), trained by L-BFGS-B for {', '.join(map(str, config.stages))} "
            "iterations (the source trains, and does not say how long or from where). Data: "
            f"{config.samples} images of 4 × 4 pixels, grayscale, whitened, from {config.images}; "
            "the source has CIFAR-10.",
            "Q is a Haar rotation. The p-values rank the pair among its rotations, so a pair in "
            "generic position is rejected with probability α at any size, where α is the "
            "significance level. Moments far from zero do not contradict a spectrum that hardly "
            "changes: the test is more sensitive than a look at the histogram.",
            "An eigenvalue cannot move by more than the norm of H₁. The move of the source, from "
            "about 8.3 to about 7, needs a norm above 1.3.",
        ),
    )
    arrays = {
        f"{name}_{stage}_{seed}": result[name]
        for stage, found in runs.stages.items()
        for seed, result in zip(config.seeds, found, strict=True)
        for name in ("spectrum", "rotated", "gauss_newton", "residual", "moments")
    }
    return findings, arrays


def _move(result: Result) -> float:
    """How far the largest eigenvalue moves, in standard deviations of the rotated ones."""
    turned = result["rotated"][:, -1]
    return float(abs(result["spectrum"][-1] - turned.mean()) / turned.std(ddof=1))


def _statements(runs: _Runs) -> tuple[Statement, ...]:
    rotations = runs.config.rotations
    distances = np.concatenate(list(runs.each(lambda r: r["distance"]).values()))
    moves = np.concatenate(list(runs.each(_move).values()))
    p = np.concatenate(list(runs.each(lambda r: r["p_value"]).values()))
    alpha = max(0.01, 1 / (rotations + 1))
    return (
        judge(
            "The bulk agrees: the distribution functions of the spectra of H₀ + H₁ and "
            f"H₀ + Q H₁ Qᵀ differ by less than {digits(_CLOSE)} everywhere.",
            bool((distances < _CLOSE).all()),
            f"Kolmogorov distance by iterations: {runs.words(lambda r: r['distance'])}; between "
            f"rotations {runs.words(lambda r: r['rotated_distance'])} ({runs.what})",
        ),
        judge(
            "The largest eigenvalue moves: it lies more than 4 standard deviations from those of "
            "the rotated sums.",
            bool((moves > 4).all()),
            f"standard deviations by iterations: {runs.words(_move)}; H₀ + H₁ has "
            f"{runs.words(lambda r: r['spectrum'][-1], 4)}, rotated "
            f"{runs.words(lambda r: r['rotated'][:, -1].mean(), 4)}. Published: about 8.3 and 7",
        ),
        judge(
            "H₀ and H₁ are free: their mixed moments are those of rotated pairs.",
            bool((p > alpha).all()),
            f"p at most {digits(p.max(), 2)}, the smallest possible is "
            f"{digits(1 / (rotations + 1), 2)}; largest excess, in standard deviations of a "
            f"rotated pair: {runs.words(lambda r: np.abs(r['scores']).max())}",
        ),
    )


def _histogram(runs: _Runs, stage: int) -> Chart:
    results = runs.stages[stage]
    low = min(float(min(r["spectrum"][0], r["rotated"].min())) for r in results)
    high = max(float(r["spectrum"][-1]) for r in results)
    ends = np.arange(np.floor(low / _BIN), np.ceil(high / _BIN) + 1) * _BIN
    size = results[0]["spectrum"].size
    floor = 1 / (2 * size * _BIN)  # half an eigenvalue: where empty bins are drawn

    def series(label: str, rows: Sequence[FloatArray], mark: Mark) -> Series:
        table = np.maximum([np.histogram(v, ends)[0] / (v.size * _BIN) for v in rows], floor)
        return Series(
            label=label,
            x=0.5 * (ends[:-1] + ends[1:]),
            y=table.mean(axis=0),
            low=table.min(axis=0),
            high=table.max(axis=0),
            error=f"mean density in bins of {_BIN}, from least to greatest over {runs.what}",
            source="measured",
            mark=mark,
        )

    return Chart(
        name=f"bulk-{stage}",
        title=f"H₀ + H₁ and H₀ + Q H₁ Qᵀ after {stage} iterations",
        caption=(
            "Density of the eigenvalues of a trained autoencoder's Hessian, and of the same H₀ "
            "with H₁ turned into a random basis. If the two were free, both would agree. Empty "
            "bins are drawn at half an eigenvalue."
        ),
        x_label="eigenvalue λ",
        y_label="density ρ(λ)",
        y_scale="log",
        series=(
            series("H₀ + H₁, measured", [r["spectrum"] for r in results], "points"),
            series(
                f"H₀ + Q H₁ Qᵀ, {runs.config.rotations} rotations each",
                [r["rotated"].ravel() for r in results],
                "line",
            ),
        ),
    )


def _top(runs: _Runs, stage: int) -> Chart:
    index = np.arange(1.0, 13.0)
    result, seed = runs.stages[stage][0], runs.config.seeds[0]
    turned = result["rotated"][:, ::-1][:, : index.size]

    def exactly(label: str, values: FloatArray, nudge: float) -> Series:
        return Series(
            label=label,
            x=index,
            y=values[::-1][: index.size],
            error="exact to rounding",
            source="measured",
            mark="points",
            nudge=nudge,
        )

    return Chart(
        name="largest",
        title=f"The largest eigenvalues after {stage} iterations (seed {seed})",
        caption="In descending order; a rotation of H₁ destroys its alignment with H₀ at the top.",
        x_label="index of the eigenvalue",
        y_label="eigenvalue λ",
        series=(
            exactly("H₀ + H₁, measured", result["spectrum"], 0.0),
            Series(
                label=f"H₀ + Q H₁ Qᵀ, {runs.config.rotations} rotations",
                x=index,
                y=turned.mean(axis=0),
                low=turned.min(axis=0),
                high=turned.max(axis=0),
                error="mean, bars from least to greatest over the rotations",
                source="measured",
                mark="points",
                nudge=4.0,
            ),
            exactly("H₀ alone, measured", result["gauss_newton"], -4.0),
        ),
    )


def _table(runs: _Runs) -> Table:
    numbers: dict[str, Callable[[Result], float]] = {
        "loss": lambda r: r["loss"],
        "norm of the gradient": lambda r: r["gradient_norm"],
        "norm of H₁": lambda r: np.abs(r["residual"]).max(),
        "largest eigenvalue of H₀ + H₁": lambda r: r["spectrum"][-1],
        "of the rotated sums": lambda r: r["rotated"][:, -1].mean(),
        "Kolmogorov distance from the rotated sums": lambda r: r["distance"],
        "p of that distance": lambda r: r["distance_p_value"],
        "p of the mixed moments": lambda r: r["p_value"],
    }
    rows: list[tuple[str | Number, ...]] = []
    for name, number in numbers.items():
        by_stage = runs.each(number)
        rows.append((name, *(over(by_stage[stage], runs.what) for stage in runs.stages)))
    columns = ("what", *(f"{stage} iterations" for stage in runs.stages))
    return Table(title="Training and test", columns=columns, rows=tuple(rows))


def _moments(runs: _Runs) -> Table:
    stage = runs.config.stages[0]
    results = runs.stages[stage]
    names = results[0]["names"]
    free = [0.0] * (len(names) - 1) + [1 / results[0]["spectrum"].size]
    rows: tuple[tuple[str | Number, ...], ...] = tuple(
        (
            name.replace("A", "H₀").replace("B", "H₁"),
            over([r["moments"][k] for r in results], runs.what),
            over([r["scores"][k] for r in results], runs.what, digits=2),
            exact(free[k], 2),
        )
        for k, name in enumerate(names)
    )
    return Table(
        title=f"Normalised mixed moments after {stage} iterations",
        columns=("moment", "measured", "z", "free"),
        rows=rows,
        note="p1, p2, p3: orthonormal polynomials of the two spectra. z: in standard deviations of "
        "a rotated pair.",
    )


EXPERIMENT = Experiment(
    name="pb-fig2",
    title="Are H₀ and H₁ of a trained network free?",
    shows="The spectrum of H₀ + H₁ of a trained ReLU autoencoder beside H₀ + Q H₁ Qᵀ with random "
    "rotations Q, its outliers, and an exact test of freeness.",
    presets={
        "quick": TurnedConfig(rotations=19, seeds=(0, 1), stages=(2, 40)),
        "paper": TurnedConfig(),
    },
    seeds=lambda config: config.seeds,
    tasks=tasks,
    compute=compute,
    summarise=summarise,
)

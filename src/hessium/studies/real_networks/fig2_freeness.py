"""Figure 2 of Pennington & Bahri (2017): H0 + H1 of an autoencoder beside H0 + Q H1 Q^T."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hessium._typing import FloatArray
from hessium.compare import freeness
from hessium.curvature import GaussNewton, ResidualHessian
from hessium.figures.formatting import between, digits
from hessium.figures.hues import HESSIAN, OTHER
from hessium.figures.records import (
    Chart,
    Findings,
    Mark,
    Series,
    Statement,
    Table,
    exact,
    judge,
    over,
)
from hessium.figures.views.repetitions import histogram, points, ranges
from hessium.runs.experiment import Result, Task
from hessium.studies.images import digest, small_images
from hessium.studies.real_networks.setting import plain_network, squared_risk
from hessium.studies.results import Of, ResultTable
from hessium.studies.sources import pennington_bahri
from hessium.studies.study import Summary, repeated, study, table
from hessium.studies.training import train

_BIN = 0.2
_CLOSE = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class FreenessConfig:
    """Settings of `pb-fig2`.

    Attributes:
        samples: images, which are inputs and targets.
        hidden: ReLU units.
        stages: iterations of L-BFGS-B; the paper does not state its own.
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


def tasks(config: FreenessConfig) -> list[Task]:
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


def _largest(result: Result) -> float:
    return float(result["spectrum"][-1])


def _largest_rotated(result: Result) -> float:
    return float(result["rotated"][:, -1].mean())


def _move(result: Result) -> float:
    """How far the largest eigenvalue moves, in standard deviations of the rotated ones."""
    spread = result["rotated"][:, -1].std(ddof=1)
    return float(abs(_largest(result) - _largest_rotated(result)) / spread)


def summarise(config: FreenessConfig, results: Sequence[Result]) -> Summary:
    """Charts, statements and tables of the runs."""
    runs, what = ResultTable.of(tasks(config), results), repeated(config.seeds)
    stages = {stage: runs.select(max_iterations=stage) for stage in config.stages}
    early, late = config.stages[0], config.stages[-1]
    findings = Findings(
        statements=_statements(config, stages, what),
        charts=(
            _bulk(config, early, stages[early], what),
            _bulk(config, late, stages[late], what),
            _top(config, early, stages[early]),
        ),
        tables=_tables(stages, what),
        notes=(
            f"Network: 16-{config.hidden}-16 ReLU autoencoder without biases, weights "
            f"N(0, 1/fan-in), trained by L-BFGS-B for {', '.join(map(str, config.stages))} "
            "iterations (Pennington & Bahri (2017) do not say how long they train, or from where). "
            f"Data: {config.samples} images of 4 × 4 pixels, grayscale, whitened, from "
            f"{config.images}; theirs are from CIFAR-10.",
            "Q is a Haar rotation. The p-values rank the pair among its rotations, so a pair in "
            "generic position is rejected with probability α at any size, where α is the "
            "significance level. Moments far from zero do not contradict a spectrum that hardly "
            "changes: the test is more sensitive than a look at the histogram.",
            "An eigenvalue cannot move by more than the norm of H₁. The published move, from "
            "about 8.3 to about 7, needs a norm above 1.3.",
        ),
    )
    return findings, {
        f"{name}_{stage}_{seed}": result[name]
        for stage, found in stages.items()
        for seed, result in zip(config.seeds, found, strict=True)
        for name in ("spectrum", "rotated", "gauss_newton", "residual", "moments")
    }


def _statements(
    config: FreenessConfig, stages: dict[int, ResultTable], what: str
) -> tuple[Statement, ...]:
    def everywhere(of: Of) -> FloatArray:
        return np.concatenate([found.column(of) for found in stages.values()])

    def words(of: Of, significant: int = 2) -> str:
        return "; ".join(
            f"{between(found.column(of), significant)} after {stage}"
            for stage, found in stages.items()
        )

    least, p = 1 / (config.rotations + 1), everywhere("p_value")
    return (
        judge(
            "The bulk agrees: the distribution functions of the spectra of H₀ + H₁ and "
            f"H₀ + Q H₁ Qᵀ differ by less than {digits(_CLOSE)} everywhere.",
            bool((everywhere("distance") < _CLOSE).all()),
            f"Kolmogorov distance by iterations: {words('distance')}; between rotations "
            f"{words('rotated_distance')} ({what})",
            origin=pennington_bahri("figure 2"),
            shown=f"bulk-{config.stages[-1]}",
        ),
        judge(
            "The largest eigenvalue moves: it lies more than 4 standard deviations from those of "
            "the rotated sums.",
            bool((everywhere(_move) > 4).all()),
            f"standard deviations by iterations: {words(_move)}; H₀ + H₁ has {words(_largest, 4)}, "
            f"rotated {words(_largest_rotated, 4)}. Published: about 8.3 and 7",
            origin=pennington_bahri("figure 2"),
            shown="largest",
        ),
        judge(
            "H₀ and H₁ are free: their mixed moments are those of rotated pairs.",
            bool((p > max(0.01, least)).all()),
            f"p at most {digits(p.max(), 2)}, the smallest possible is {digits(least, 2)}; largest "
            "excess, in standard deviations of a rotated pair: "
            f"{words(lambda r: np.abs(r['scores']).max())}",
            origin=pennington_bahri("primary assumptions"),
            shown="largest",
            reason="H₀ and H₁ come from the same weights and data and are aligned in the leading "
            "eigenvectors; a rotation of H₁ destroys that.",
        ),
    )


def _bulk(config: FreenessConfig, stage: int, runs: ResultTable, what: str) -> Chart:
    low = min(float(min(r["spectrum"][0], r["rotated"].min())) for r in runs)
    high = max(_largest(r) for r in runs)
    edges = np.arange(np.floor(low / _BIN), np.ceil(high / _BIN) + 1) * _BIN
    least = 1 / (2 * len(runs.results[0]["spectrum"]) * _BIN)

    def bins(label: str, name: str, mark: Mark) -> Series:
        x, densities = histogram([r[name].ravel() for r in runs], edges)
        groups = list(np.maximum(densities, least).T)
        hue = OTHER if name == "rotated" else HESSIAN
        return ranges(label, x, groups, what=what, centre="mean", mark=mark, hue=hue)

    return Chart(
        name=f"bulk-{stage}",
        title=f"H₀ + H₁ and H₀ + Q H₁ Qᵀ after {stage} iterations",
        caption="Density of the eigenvalues of a trained autoencoder's Hessian, and of the same H₀ "
        f"with H₁ rotated into a random basis, in bins of {_BIN}. If the two were free, both "
        "would agree. Empty bins are drawn at half an eigenvalue.",
        x_label="eigenvalue λ",
        y_label="density ρ(λ)",
        y_scale="log",
        series=(
            bins("H₀ + H₁, measured", "spectrum", "points"),
            bins(f"H₀ + Q H₁ Qᵀ, {config.rotations} rotations each", "rotated", "line"),
        ),
    )


def _top(config: FreenessConfig, stage: int, runs: ResultTable) -> Chart:
    index, result = np.arange(1.0, 13.0), runs.results[0]

    def largest(label: str, values: FloatArray, nudge: float) -> Series:
        shown = values[::-1][: index.size]
        return points(label, index, shown, error="exact to rounding", nudge=nudge)

    rotated = list(result["rotated"][:, ::-1][:, : index.size].T)
    return Chart(
        name="largest",
        title=f"The largest eigenvalues after {stage} iterations (seed {config.seeds[0]})",
        caption="A rotation of H₁ destroys its alignment with H₀ in the leading eigenvectors.",
        x_label="eigenvalue index, in descending order",
        y_label="eigenvalue λ",
        series=(
            largest("H₀ + H₁, measured", result["spectrum"], 0.0),
            ranges(
                f"H₀ + Q H₁ Qᵀ, {config.rotations} rotations",
                index,
                rotated,
                what="the rotations",
                centre="mean",
                hue=OTHER,
                nudge=4.0,
            ),
            largest("H₀ alone, measured", result["gauss_newton"], -4.0),
        ),
    )


def _tables(stages: dict[int, ResultTable], what: str) -> tuple[Table, Table]:
    numbers: dict[str, Of] = {
        "loss": "loss",
        "norm of the gradient": "gradient_norm",
        "norm of H₁": lambda r: np.abs(r["residual"]).max(),
        "largest eigenvalue of H₀ + H₁": _largest,
        "largest eigenvalue of the rotated sums": _largest_rotated,
        "Kolmogorov distance from the rotated sums": "distance",
        "p of that distance": "distance_p_value",
        "p of the mixed moments": "p_value",
    }
    stage, early = next(iter(stages.items()))
    names, moments, scores = (
        early.results[0]["names"],
        early.column("moments"),
        early.column("scores"),
    )
    free = [0.0] * (len(names) - 1) + [1 / len(early.results[0]["spectrum"])]
    return (
        table(
            "Training and test",
            ("quantity", *(f"{stage} iterations" for stage in stages)),
            (
                (name, *(over(found.column(of), what) for found in stages.values()))
                for name, of in numbers.items()
            ),
        ),
        table(
            f"Normalised mixed moments after {stage} iterations",
            ("moment", "measured", "z", "free"),
            (
                (
                    name.replace("A", "H₀").replace("B", "H₁"),
                    over(moments[:, k], what),
                    over(scores[:, k], what, digits=2),
                    exact(free[k], 2),
                )
                for k, name in enumerate(names)
            ),
            "p1, p2, p3: orthonormal polynomials of the two spectra. z: in standard deviations of "
            "a rotated pair.",
        ),
    )


EXPERIMENT = study(
    "pb-fig2",
    "Are H₀ and H₁ of a trained network free?",
    quick=FreenessConfig(rotations=19, seeds=(0, 1), stages=(2, 40)),
    paper=FreenessConfig(),
    tasks=tasks,
    compute=compute,
    summarise=summarise,
)

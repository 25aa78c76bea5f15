"""Figure 5 of the second source: the gap of H0 against the number of samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hessium._typing import AnyArray, FloatArray
from hessium.curvature import GaussNewton
from hessium.estimate import spectrum
from hessium.experiments.experiment import Experiment, Result, Task
from hessium.experiments.images import digest, small_images
from hessium.experiments.published import column_table
from hessium.experiments.real_networks.setting import plain_network, squared_risk
from hessium.experiments.records import (
    Chart,
    Findings,
    Number,
    Series,
    Statement,
    Table,
    exact,
    judge,
)
from hessium.experiments.wording import digits

_UNITS = 16
_PUBLISHED_SCALE = 1 / 26  # of the curve drawn there


@dataclass(frozen=True, slots=True, kw_only=True)
class GapConfig:
    """Settings of `pb-fig5`.

    Attributes:
        samples: numbers of images, more than 16.
        seeds: of images and weights, one run each.
        images: see `small_images`.
    """

    samples: tuple[int, ...] = (20, *range(30, 241, 10))
    seeds: tuple[int, ...] = tuple(range(30))
    images: str = "photographs"


def tasks(config: GapConfig) -> list[Task]:
    """All seeds of one number of samples."""
    common = {"images": config.images, "file": digest(config.images)}
    return [{"samples": m, "seeds": list(config.seeds), **common} for m in config.samples]


def compute(task: Task) -> Result:
    """The smallest eigenvalue of H0 beyond the 16 that rescaling forces to zero."""
    gaps, means = [], []
    for seed in task["seeds"]:
        x = small_images(task["samples"], seed, task["images"])
        network = plain_network((_UNITS,) * 3, "relu", seed)
        values = spectrum(GaussNewton(squared_risk(network, x, x), check=False)).nodes
        gaps.append(max(float(values[_UNITS]), 0.0))
        means.append(float(values[_UNITS:].mean()))
    return {"gaps": np.array(gaps), "means": np.array(means)}


def shape(samples: FloatArray) -> FloatArray:
    """(1 - sqrt(ratio))^2 below ratio one, zero above."""
    return np.maximum(1 - np.sqrt(2 * _UNITS / samples), 0.0) ** 2


def fitted_scale(samples: FloatArray, gaps: FloatArray) -> float:
    """Least squares of scale * shape, one number."""
    curve = shape(samples)
    return float(gaps @ curve / (curve @ curve))


def summarise(
    config: GapConfig, results: Sequence[Result]
) -> tuple[Findings, Mapping[str, AnyArray]]:
    """The chart, statements and table of the runs."""
    samples = np.array(config.samples, dtype=np.float64)
    table = np.array([r["gaps"] for r in results])
    mean = table.mean(axis=1)
    error = table.std(axis=1, ddof=1) / np.sqrt(table.shape[1])
    scale = fitted_scale(samples, mean)
    published = column_table("pb_fig5")
    theirs = fitted_scale(published["num_samples"], published["gap"])
    findings = Findings(
        statements=_statements(config, results, mean, error, scale, published, theirs),
        charts=(_chart(config, mean, error, scale, published, theirs),),
        tables=(_table(config, mean, error, scale),),
        notes=(
            f"16-16-16 ReLU network without biases at the start, weights N(0, 1/fan-in), "
            f"{len(config.seeds)} runs a point, whitened 4 × 4 images from {config.images}. Gap: "
            "the 17th smallest eigenvalue of H₀, after the 16 zeros of rescaling. Law: "
            "σ(1 − √φ)², the lower edge of Marchenko-Pastur of ratio φ = 32/m; σ is fitted, one "
            "number for all points, as in the source.",
            "The source does not state its weights, so gaps are compared over the fitted scale. "
            "Its published curve has σ = 1/26.",
        ),
    )
    arrays = {"samples": samples, "gaps": table, "means": np.array([r["means"] for r in results])}
    return findings, arrays


def _statements(
    config: GapConfig,
    results: Sequence[Result],
    mean: FloatArray,
    error: FloatArray,
    scale: float,
    published: Mapping[str, FloatArray],
    theirs: float,
) -> tuple[Statement, ...]:
    samples = np.array(config.samples, dtype=np.float64)
    few, many = samples <= 2 * _UNITS, samples > 2 * _UNITS
    misfit = float(np.abs(mean - scale * shape(samples)).max() / mean.max())
    z = (mean - scale * shape(samples))[many] / error[many]
    both = [m for m in config.samples if m in published["num_samples"]]
    ours = np.array([mean[config.samples.index(m)] for m in both]) / scale
    dots = np.array([published["gap"][published["num_samples"] == m][0] for m in both]) / theirs
    apart = float(np.abs(ours - dots).max())
    ratio = scale / float(np.mean([r["means"].mean() for r in results]))
    largest = float(max((r["gaps"] / r["means"]).max() for r in np.array(results)[few]))
    return (
        judge(
            "Above ratio one (m ≤ 32) there is no gap.",
            largest < 1e-12 if few.any() else None,
            f"largest 17th eigenvalue {digits(largest, 1)} of the mean at m ≤ 32",
        ),
        judge(
            "Below ratio one the gap grows as σ(1 − √φ)² with one σ, within 10 % of its largest "
            "value.",
            misfit < 0.1,
            f"largest difference {digits(100 * misfit, 2)} % of the largest gap, σ = "
            f"{digits(scale)}; {int((np.abs(z) > 3).sum())} of {z.size} points are more than three "
            "standard errors off",
        ),
        judge(
            "Over their scales, measured gaps are the published dots within 0.1.",
            apart < 0.1 if both else None,
            f"largest difference {digits(apart, 2)} at {len(both)} numbers of samples, where the "
            f"gaps reach {digits(ours.max(), 2)}; published scale refitted {digits(theirs)}",
        ),
        judge(
            "The fitted σ is the mean of the spectrum, as Marchenko-Pastur has it, within 10 %.",
            abs(ratio - 1) < 0.1,
            f"fitted σ is {digits(ratio, 2)} of the mean eigenvalue",
        ),
    )


def _chart(
    config: GapConfig,
    mean: FloatArray,
    error: FloatArray,
    scale: float,
    published: Mapping[str, FloatArray],
    theirs: float,
) -> Chart:
    samples = np.array(config.samples, dtype=np.float64)
    fine = np.linspace(min(samples[0], 10), samples[-1], 200)
    return Chart(
        name="gap",
        title="The gap of H₀ opens at ratio one",
        caption="Gap over the fitted scale, ours and the published one. The curve is the lower "
        "edge of Marchenko-Pastur.",
        x_label="1/φ = number of samples / 32",
        y_label="gap / fitted σ",
        series=(
            Series(
                label="published: figure 5",
                x=published["num_samples"] / 32,
                y=published["gap"] / theirs,
                error="published without an error",
                source="published",
                mark="points",
            ),
            Series(
                label=f"measured, {len(config.seeds)} runs a point",
                x=samples / 32,
                y=mean / scale,
                low=(mean - error) / scale,
                high=(mean + error) / scale,
                error="mean, bars ± one standard error over the runs",
                source="measured",
                mark="points",
            ),
            Series(
                label="(1 − √φ)²",
                x=fine / 32,
                y=shape(fine),
                error="exact",
                source="theory",
                mark="line",
            ),
        ),
    )


def _table(config: GapConfig, mean: FloatArray, error: FloatArray, scale: float) -> Table:
    published = column_table("pb_fig5")
    rows: list[tuple[str | Number, ...]] = []
    for m, gap, bar in zip(config.samples, mean.tolist(), error.tolist(), strict=True):
        dots = published["gap"][published["num_samples"] == m]
        rows.append(
            (
                exact(m),
                exact(32 / m, 3),
                Number(value=gap, low=gap - bar, high=gap + bar, basis="mean [± standard error]"),
                exact(scale * float(shape(np.array([float(m)]))[0]), 3),
                Number(value=float(dots[0]), basis="published without an error")
                if dots.size
                else "none",
            )
        )
    return Table(
        title="Gap by number of samples",
        columns=("m", "φ", "gap, measured", "fitted law", "published"),
        rows=tuple(rows),
        note=f"The published gaps belong to a scale of {digits(_PUBLISHED_SCALE)}.",
    )


EXPERIMENT = Experiment(
    name="pb-fig5",
    title="The gap of H₀ against the number of samples",
    shows="The smallest non-zero eigenvalue of H₀ of ReLU networks against 1/ratio, beside the "
    "edge of Marchenko-Pastur with one fitted scale and the published dots.",
    presets={
        "quick": GapConfig(
            samples=(20, 30, 40, 60, 80, 100, 120, 150, 180, 210, 240), seeds=tuple(range(8))
        ),
        "paper": GapConfig(),
    },
    seeds=lambda config: config.seeds,
    tasks=tasks,
    compute=compute,
    summarise=summarise,
)

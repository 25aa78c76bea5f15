"""Figure 5 of the second source: the gap of H0 against the number of samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hessium._typing import AnyArray, FloatArray
from hessium.curvature import GaussNewton
from hessium.estimate import spectrum
from hessium.figures.formatting import digits
from hessium.figures.records import (
    Chart,
    Findings,
    Number,
    Series,
    Statement,
    Table,
    exact,
    judge,
)
from hessium.runs.experiment import Experiment, Result, Task
from hessium.studies.images import digest, small_images
from hessium.studies.published import column_table
from hessium.studies.real_networks.setting import plain_network, squared_risk

_UNITS = 16
_PUBLISHED_SCALE = 1 / 26  # of the curve drawn there


@dataclass(frozen=True, slots=True, kw_only=True)
class GapConfig:
    """Settings of `pb-fig5`.

    Attributes:
        samples: numbers of images, more than 16.
        seeds: of images and weights, one run each.
        data: "gaussian", or sources of `small_images`; the first one is fitted.
    """

    samples: tuple[int, ...] = (20, *range(30, 241, 10))
    seeds: tuple[int, ...] = tuple(range(30))
    data: tuple[str, ...] = ("photographs", "gaussian")


def tasks(config: GapConfig) -> list[Task]:
    """All seeds of one number of samples."""
    return [
        {"samples": m, "seeds": list(config.seeds), "data": data, "file": digest(data)}
        for data in config.data
        for m in config.samples
    ]


def compute(task: Task) -> Result:
    """The smallest eigenvalue of H0 beyond the 16 that rescaling forces to zero."""
    gaps, means = [], []
    for seed in task["seeds"]:
        if task["data"] == "gaussian":
            x = np.random.default_rng([seed, 5]).standard_normal((task["samples"], _UNITS))
        else:
            x = small_images(task["samples"], seed, task["data"])
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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Curve:
    """Gaps of one kind of data.

    Attributes:
        name: of the data.
        samples: numbers of samples, shape (k,).
        gaps: of the runs, shape (k, runs).
        spectrum_mean: mean non-zero eigenvalue over all runs.
    """

    name: str
    samples: FloatArray
    gaps: FloatArray
    spectrum_mean: float

    @property
    def mean(self) -> FloatArray:
        """Over the runs."""
        return np.asarray(self.gaps.mean(axis=1))

    @property
    def error(self) -> FloatArray:
        """Standard error of the mean."""
        return np.asarray(self.gaps.std(axis=1, ddof=1) / np.sqrt(self.gaps.shape[1]))

    @property
    def scale(self) -> float:
        """The fitted sigma."""
        return fitted_scale(self.samples, self.mean)

    def misfit(self) -> float:
        """Largest difference from the fitted law over the largest gap."""
        return float(np.abs(self.mean - self.scale * shape(self.samples)).max() / self.mean.max())


def summarise(
    config: GapConfig, results: Sequence[Result]
) -> tuple[Findings, Mapping[str, AnyArray]]:
    """The chart, statements and table of the runs."""
    count = len(config.samples)
    curves = []
    for k, name in enumerate(config.data):
        part = results[k * count : (k + 1) * count]
        curves.append(
            _Curve(
                name=name,
                samples=np.array(config.samples, dtype=np.float64),
                gaps=np.array([r["gaps"] for r in part]),
                spectrum_mean=float(np.mean([r["means"] for r in part])),
            )
        )
    published = column_table("pb_fig5")
    theirs = fitted_scale(published["num_samples"], published["gap"])
    findings = Findings(
        statements=_statements(curves, published, theirs),
        charts=(_chart(curves, published, theirs),),
        tables=(_table(curves, published),),
        notes=(
            f"16-16-16 ReLU network without biases at initialisation, weights N(0, 1/fan-in), "
            f"{len(config.seeds)} runs a point; whitened 4 × 4 images from scikit-learn's data or "
            "files, and Gaussian data beside them. Gap: the 17th smallest eigenvalue of H₀, after "
            "the 16 zeros of rescaling. Law: σ(1 − √φ)², the lower edge of Marchenko-Pastur of "
            "ratio φ = 32/m; σ is fitted, one number for all points, as in the source.",
            "The source has CIFAR-10 and does not state its weights, so gaps are compared over the "
            f"fitted scales. Its curve has σ = 1/26 = {digits(_PUBLISHED_SCALE)}; fitted to its "
            f"dots as here, {digits(theirs)}.",
        ),
    )
    arrays: dict[str, AnyArray] = {"samples": np.array(config.samples)}
    return findings, arrays | {f"gaps_{k}": curve.gaps for k, curve in enumerate(curves)}


def _statements(
    curves: Sequence[_Curve], published: Mapping[str, FloatArray], theirs: float
) -> tuple[Statement, ...]:
    samples = curves[0].samples
    few, many = samples <= 2 * _UNITS, samples > 2 * _UNITS
    largest = max(float(c.gaps[few].max(initial=0.0)) / c.spectrum_mean for c in curves)
    found = [
        judge(
            "Above ratio one (m ≤ 32) there is no gap.",
            largest < 1e-12 if few.any() else None,
            f"largest 17th eigenvalue at m ≤ 32 {digits(largest, 1)} of the mean eigenvalue",
        )
    ]
    for curve in curves:
        off = np.abs(curve.mean - curve.scale * shape(samples))[many] > 3 * curve.error[many]
        both = np.isin(samples, published["num_samples"])
        dots = published["gap"][np.searchsorted(published["num_samples"], samples[both])]
        apart = np.abs(curve.mean[both] / curve.scale - dots / theirs).max(initial=0.0)
        apart /= published["gap"].max() / theirs
        found += [
            judge(
                f"Below ratio one the gap is σ(1 − √φ)² with one σ, within a tenth of the largest "
                f"gap ({curve.name} data).",
                curve.misfit() < 0.1,
                f"largest difference {digits(100 * curve.misfit(), 2)} % of the largest gap, "
                f"σ = {digits(curve.scale)}; {int(off.sum())} of {off.size} points are more than "
                "three standard errors off",
            ),
            judge(
                "Over their scales, measured gaps are the published dots within a tenth of the "
                f"largest ({curve.name} data).",
                bool(apart < 0.1) if both.any() else None,
                f"largest difference {digits(100 * float(apart), 2)} % of the largest published "
                f"gap, at {int(both.sum())} numbers of samples",
            ),
        ]
    ratios = [curve.scale / curve.spectrum_mean for curve in curves]
    found.append(
        judge(
            "The fitted σ is the mean of the spectrum, as Marchenko-Pastur has it, within 10 %.",
            all(abs(ratio - 1) < 0.1 for ratio in ratios),
            "fitted σ over the mean non-zero eigenvalue: "
            + ", ".join(
                f"{digits(ratio, 2)} ({c.name})" for ratio, c in zip(ratios, curves, strict=True)
            ),
        )
    )
    return tuple(found)


def _chart(curves: Sequence[_Curve], published: Mapping[str, FloatArray], theirs: float) -> Chart:
    runs = curves[0].gaps.shape[1]
    fine = np.linspace(10, curves[0].samples[-1], 200)
    dots = Series(
        label="published: figure 5",
        x=published["num_samples"] / 32,
        y=published["gap"] / theirs,
        error="published without an error",
        source="published",
        mark="points",
    )
    ours = [
        Series(
            label=f"{curve.name} data, measured, {runs} runs a point",
            x=curve.samples / 32,
            y=curve.mean / curve.scale,
            low=(curve.mean - curve.error) / curve.scale,
            high=(curve.mean + curve.error) / curve.scale,
            error="mean, bars ± one standard error over the runs",
            source="measured",
            mark="points",
            nudge=3.0 * k,
        )
        for k, curve in enumerate(curves)
    ]
    law = Series(
        label="(1 − √φ)²", x=fine / 32, y=shape(fine), error="exact", source="theory", mark="line"
    )
    return Chart(
        name="gap",
        title="The gap of H₀ opens at ratio one",
        caption="Gap over the fitted scale, ours and the published one. The curve is the lower "
        "edge of Marchenko-Pastur.",
        x_label="1/φ = number of samples / 32",
        y_label="gap / fitted σ",
        series=(dots, *ours, law),
    )


def _table(curves: Sequence[_Curve], published: Mapping[str, FloatArray]) -> Table:
    rows: list[tuple[str | Number, ...]] = []
    basis = "mean [± standard error]"
    for k, m in enumerate(curves[0].samples.tolist()):
        dots = published["gap"][published["num_samples"] == m]
        measured = [
            Number(
                value=float(c.mean[k]),
                low=float(c.mean[k] - c.error[k]),
                high=float(c.mean[k] + c.error[k]),
                basis=basis,
            )
            for c in curves
        ]
        theirs = (
            Number(value=float(dots[0]), basis="published without an error")
            if dots.size
            else "none"
        )
        rows.append((exact(m), exact(32 / m, 3), *measured, theirs))
    return Table(
        title="Gap by number of samples",
        columns=("m", "φ", *(f"gap, {curve.name} data" for curve in curves), "published"),
        rows=tuple(rows),
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

"""Figure 5 of Pennington & Bahri (2017): the gap of H0 against the number of samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hessium._typing import FloatArray
from hessium.curvature import GaussNewton
from hessium.estimate import spectrum
from hessium.figures.formatting import digits
from hessium.figures.records import CONTROL, OURS, Chart, Findings, Number, Statement, exact, judge
from hessium.figures.views.repetitions import (
    UNPUBLISHED,
    curve,
    mean_and_stderr,
    published,
    with_stderr,
)
from hessium.runs.experiment import Result, Task
from hessium.studies.images import digest, small_images
from hessium.studies.published import column_table
from hessium.studies.real_networks.setting import plain_network, squared_risk
from hessium.studies.results import ResultTable
from hessium.studies.sources import pennington_bahri
from hessium.studies.study import Summary, study, table, with_error

_PHOTOGRAPHS = (
    "The paper's images are not in the package. Ours are patches of two photographs, half of them "
    "nearly uniform, so that few patches determine the smallest eigenvalues; patches of equal "
    "contrast differ less than half as much."
)
_NAMES = {"photographs": "photographs", "gaussian": "Gaussian data"}
_UNITS = 16
_PUBLISHED_SCALE = 1 / 26  # of the curve drawn there


@dataclass(frozen=True, slots=True, kw_only=True)
class GramGapConfig:
    """Settings of `pb-fig5`.

    Attributes:
        samples: numbers of images, more than 16.
        seeds: of images and weights, one run each.
        data: "gaussian", or sources of `small_images`; the first one is fitted.
    """

    samples: tuple[int, ...] = (20, *range(30, 241, 10))
    seeds: tuple[int, ...] = tuple(range(30))
    data: tuple[str, ...] = ("photographs", "gaussian")


def tasks(config: GramGapConfig) -> list[Task]:
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


class _Gaps:
    """Gaps of one kind of data, shape (numbers of samples, runs), and the law fitted to them."""

    def __init__(self, name: str, samples: FloatArray, runs: ResultTable) -> None:
        self.label = _NAMES.get(name, name)
        self.name, self.samples, self.gaps = name, samples, runs.column("gaps")
        self.mean, self.stderr = mean_and_stderr(self.gaps.T)
        self.spectrum_mean = float(runs.column("means").mean())
        self.scale = fitted_scale(samples, self.mean)
        self.law = self.scale * shape(samples)
        self.misfit = float(np.abs(self.mean - self.law).max() / self.mean.max())


def summarise(config: GramGapConfig, results: Sequence[Result]) -> Summary:
    """The chart, statements and table of the runs."""
    runs = ResultTable.of(tasks(config), results)
    samples = np.array(config.samples, dtype=np.float64)
    kinds = [_Gaps(name, samples, runs.select(data=name)) for name in config.data]
    dots = column_table("pb_fig5")
    by_samples = dict(zip(dots["num_samples"], dots["gap"], strict=True))
    theirs = fitted_scale(dots["num_samples"], dots["gap"])
    findings = Findings(
        statements=_statements(kinds, by_samples, theirs),
        charts=(_chart(kinds, by_samples, theirs),),
        tables=(
            table(
                "Gap by number of samples",
                ("m", "φ", *(f"gap, {one.label}" for one in kinds), "published"),
                (
                    (
                        m,
                        exact(32 / m, 3),
                        *(
                            with_error(one.mean[k], one.stderr[k], "mean [± standard error]")
                            for one in kinds
                        ),
                        Number(value=by_samples[m], basis=UNPUBLISHED)
                        if m in by_samples
                        else "none",
                    )
                    for k, m in enumerate(config.samples)
                ),
            ),
        ),
        notes=(
            f"16-16-16 ReLU network without biases at initialisation, weights N(0, 1/fan-in), "
            f"{len(config.seeds)} runs a point; whitened 4 × 4 images from scikit-learn's data or "
            "files, and Gaussian data beside them. Gap: the 17th smallest eigenvalue of H₀, after "
            "the 16 zeros of rescaling. Law: σ(1 − √φ)², the lower edge of Marchenko-Pastur of "
            "ratio φ = 32/m; σ is fitted, one number for all points, as in Pennington & Bahri "
            "(2017).",
            "The paper has CIFAR-10 and does not state its weights, so gaps are compared over the "
            f"fitted scales. Its curve has σ = 1/26 = {digits(_PUBLISHED_SCALE)}; fitted to "
            f"its points as here, {digits(theirs)}.",
        ),
    )
    arrays = {f"gaps_{k}": one.gaps for k, one in enumerate(kinds)}
    return findings, {"samples": np.array(config.samples), **arrays}


def _statements(
    kinds: Sequence[_Gaps], dots: dict[float, float], theirs: float
) -> tuple[Statement, ...]:
    samples = kinds[0].samples
    few, many = samples <= 2 * _UNITS, samples > 2 * _UNITS
    largest = max(float(one.gaps[few].max(initial=0.0)) / one.spectrum_mean for one in kinds)
    found = [
        judge(
            "Above ratio one (m ≤ 32) there is no gap.",
            largest < 1e-12 if few.any() else None,
            f"largest 17th eigenvalue at m ≤ 32 {digits(largest, 1)} of the mean eigenvalue",
            origin=pennington_bahri("figure 5"),
            shown="gap",
        )
    ]
    both = [k for k, m in enumerate(samples) if m in dots]
    for one in kinds:
        off = np.abs(one.mean - one.law)[many] > 3 * one.stderr[many]
        apart = np.array([one.mean[k] / one.scale - dots[samples[k]] / theirs for k in both])
        worst = float(np.abs(apart).max(initial=0.0) * theirs / max(dots.values()))
        found += [
            judge(
                f"Below ratio one the gap is σ(1 − √φ)² with one σ, within a tenth of the largest "
                f"gap ({one.label}).",
                one.misfit < 0.1,
                f"largest difference {digits(100 * one.misfit, 2)} % of the largest gap, "
                f"σ = {digits(one.scale)}; {int(off.sum())} of {off.size} points are more than "
                "three standard errors off",
                origin=pennington_bahri("figure 5"),
                shown="gap",
                reason="Entries of the Jacobian of a network are products of weights and data, not "
                "independent normal numbers.",
            ),
            judge(
                "Over their scales, measured gaps are the published dots within a tenth of the "
                f"largest ({one.label}).",
                worst < 0.1 if both else None,
                f"largest difference {digits(100 * worst, 2)} % of the largest published gap, at "
                f"{len(both)} numbers of samples",
                origin=CONTROL,
                shown="gap",
                reason=_PHOTOGRAPHS if one.name == "photographs" else "",
            ),
        ]
    ratios = {one.label: one.scale / one.spectrum_mean for one in kinds}
    found.append(
        judge(
            "The fitted σ is the mean of the spectrum, as Marchenko-Pastur has it, within 10 %.",
            all(abs(ratio - 1) < 0.1 for ratio in ratios.values()),
            "fitted σ over the mean non-zero eigenvalue: "
            + ", ".join(f"{digits(ratio, 2)} ({name})" for name, ratio in ratios.items()),
            origin=OURS,
            shown="gap",
            reason="Entries of the Jacobian of a network are products of weights and data, not "
            "independent normal numbers.",
        )
    )
    return tuple(found)


def _chart(kinds: Sequence[_Gaps], dots: dict[float, float], theirs: float) -> Chart:
    samples, runs = kinds[0].samples, kinds[0].gaps.shape[1]
    fine = np.linspace(10, samples[-1], 200)
    return Chart(
        name="gap",
        title="The gap of H₀ opens at ratio one",
        caption="Gap over the fitted scale, measured and published. The curve is the lower "
        "edge of Marchenko-Pastur.",
        x_label="1/φ = number of samples / 32",
        y_label="gap / fitted σ",
        series=(
            published(
                "published: figure 5",
                np.array(list(dots)) / 32,
                np.array(list(dots.values())) / theirs,
            ),
            *(
                with_stderr(
                    f"{one.label}, measured, {runs} runs a point",
                    samples / 32,
                    one.mean / one.scale,
                    one.stderr / one.scale,
                    error="mean, bars ± one standard error over the runs",
                    nudge=3.0 * k,
                )
                for k, one in enumerate(kinds)
            ),
            curve("(1 − √φ)²", fine / 32, shape(fine)),
        ),
    )


EXPERIMENT = study(
    "pb-fig5",
    "The gap of H₀ against the number of samples",
    quick=GramGapConfig(
        samples=(20, 30, 40, 60, 80, 100, 120, 150, 180, 210, 240), seeds=tuple(range(8))
    ),
    paper=GramGapConfig(),
    tasks=tasks,
    compute=compute,
    summarise=summarise,
)

"""Figure 4 of Pennington & Bahri (2017): null space and smallest eigenvalues of H0."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hessium._typing import FloatArray
from hessium.compare import nonzero, symmetries
from hessium.curvature import GaussNewton
from hessium.estimate import spectrum
from hessium.figures.formatting import between, digits
from hessium.figures.records import OURS, Chart, Findings, Statement, judge, measured, over
from hessium.figures.views.repetitions import curve, histogram, published
from hessium.runs.experiment import Result, Task
from hessium.spectra import Spectrum
from hessium.studies.images import digest, small_images
from hessium.studies.real_networks.setting import plain_network, squared_risk, written
from hessium.studies.results import ResultTable
from hessium.studies.sources import pennington_bahri
from hessium.studies.study import Summary, repeated, study, table
from hessium.theory import MarchenkoPastur

_UNITS = 16
_SHOWN = 35
_PUBLISHED = ((0.0, 0.0148), (34.0, 0.0432))  # ends of the inset, digitised
_FORCED = {"relu": _UNITS, "linear": _UNITS**2, "tanh": 0}


@dataclass(frozen=True, slots=True, kw_only=True)
class NullSpaceConfig:
    """Settings of `pb-fig4`.

    Attributes:
        samples: images.
        activations: networks whose zeros are counted; the spectrum shown is that of "relu".
        seeds: of images and weights.
        images: see `small_images`.
    """

    samples: int = 256
    activations: tuple[str, ...] = ("relu", "linear", "tanh")
    seeds: tuple[int, ...] = tuple(range(10))
    images: str = "photographs"


def tasks(config: NullSpaceConfig) -> list[Task]:
    """One network for each activation and seed."""
    common = {"samples": config.samples, "images": config.images, "file": digest(config.images)}
    return [
        {"activation": activation, "seed": seed, **common}
        for activation in config.activations
        for seed in config.seeds
    ]


def compute(task: Task) -> Result:
    """Spectrum of H0, its zeros, and the symmetries that explain them."""
    x = small_images(task["samples"], task["seed"], task["images"])
    network = plain_network((_UNITS,) * 3, task["activation"], task["seed"])
    risk = squared_risk(network, x, x)
    found = symmetries(risk)
    return {
        "values": np.array(spectrum(GaussNewton(risk)).nodes),
        "zeros": found.measured.value,
        "forced": found.forced,
        "names": [part.name for part in found.parts],
        "error": max([part.error for part in found.parts], default=0.0),
    }


_ZEROS = "Zeros of H₀ by symmetry"


def summarise(config: NullSpaceConfig, results: Sequence[Result]) -> Summary:
    """Charts, statements and tables of the runs."""
    runs, what = ResultTable.of(tasks(config), results), repeated(config.seeds)
    by_name = {name: runs.select(activation=name) for name in config.activations}
    rows = [nonzero(r["values"]).nodes for r in by_name["relu"]]
    columns = (
        "activation", "symmetries", "forced zeros", "measured zeros", "smallest other", "mean of H₀"
    )  # fmt: skip
    findings = Findings(
        statements=_statements(config, by_name, rows),
        charts=(_spectrum_chart(config, rows, what), _smallest_chart(rows, what)),
        tables=(
            table(
                _ZEROS,
                columns,
                (
                    (
                        written(name),
                        "; ".join(found.results[0]["names"]) or "none",
                        found.results[0]["forced"],
                        over(found.column("zeros"), what, digits=12),
                        over(found.column(lambda r: nonzero(r["values"]).nodes[0]), what),
                        over(found.column(lambda r: Spectrum.of(r["values"]).mean()), what),
                    )
                    for name, found in by_name.items()
                ),
            ),
        ),
        notes=(
            f"16-16-16 networks without biases, weights N(0, 1/fan-in), {config.samples} whitened "
            f"4 × 4 images from {config.images}, H₀ at initialisation, ratio φ = 2n/m = "
            f"{digits(32 / config.samples)}. Pennington & Bahri (2017) have CIFAR-10 and do not "
            "state the weights: their scale differs by a factor.",
            "Null directions follow from symmetries of the architecture; their tangents are "
            "multiplied by H₀. The measured zeros are eigenvalues below 10⁻¹⁰ of the largest.",
        ),
    )
    return findings, {f"{name}_values": found.column("values") for name, found in by_name.items()}


def _law(config: NullSpaceConfig, mean: float) -> MarchenkoPastur:
    return MarchenkoPastur(ratio=32 / config.samples, scale=mean)


def _statements(
    config: NullSpaceConfig, by_name: Mapping[str, ResultTable], rows: Sequence[FloatArray]
) -> tuple[Statement, ...]:
    found = []
    for name, runs in by_name.items():
        expected, zeros, forced = _FORCED.get(name), runs.column("zeros"), runs.column("forced")
        if expected is None:
            continue
        worst = digits(runs.column("error").max(), 1)
        tried = f", their tangents are null to {worst}" if any(r["names"] for r in runs) else ""
        found.append(
            judge(
                f"With {written(name)} units H₀ has exactly {expected} zero eigenvalues, all "
                "forced by symmetry.",
                bool((zeros == expected).all() and (forced == expected).all()),
                f"measured {between(zeros, 12)}, forced {between(forced, 12)} ({len(runs)} seeds)"
                f"{tried}",
                origin=pennington_bahri("figure 4") if name == "relu" else OURS,
                shown=_ZEROS,
            )
        )
    distances, edges = [], []
    for values in rows:
        law, levels = _law(config, values.mean()), (np.arange(values.size) + 0.5) / values.size
        distances.append(float(np.abs(law.cdf(values) - levels).max()))
        edges.append(float(values[0]) / law.support()[0])
    found.append(
        judge(
            "The non-zero spectrum of H₀ follows the Marchenko-Pastur law of ratio φ (Kolmogorov "
            "distance below 0.05).",
            bool(max(distances) < 0.05),
            f"Kolmogorov distance from the law of the same mean {between(distances, 2)}; the "
            f"smallest eigenvalue is {between(edges, 2)} of the law's lower edge",
            origin=pennington_bahri("section 4, eq. 8"),
            shown="spectrum",
            reason="Entries of the Jacobian of a network are products of weights and data, not "
            "independent normal numbers.",
        )
    )
    return tuple(found)


def _spectrum_chart(config: NullSpaceConfig, rows: Sequence[FloatArray], what: str) -> Chart:
    law = _law(config, float(np.mean([row.mean() for row in rows])))
    high, x = 1.6 * law.support()[1], np.linspace(*law.support(), 201)
    outside = float(np.mean([(row > high).mean() for row in rows]))
    label = f"Marchenko-Pastur, φ = {digits(32 / config.samples)}"
    return Chart(
        name="spectrum",
        title="Non-zero spectrum of H₀ at initialisation, ReLU",
        caption=f"16 null directions are removed; {digits(100 * outside, 2)} % of the eigenvalues "
        "lie beyond the right end. The law has the ratio and the mean of the matrix.",
        x_label="eigenvalue λ",
        y_label="density ρ(λ)",
        series=(
            measured(
                "measured", *histogram(rows, np.linspace(0, high, 41)), what=what, mark="points"
            ),
            curve(label, x, law.pdf(x), error="exact, its mean is measured"),
        ),
    )


def _smallest_chart(rows: Sequence[FloatArray], what: str) -> Chart:
    index, first = np.arange(float(_SHOWN)), [row[:_SHOWN] / row[0] for row in rows]
    x, y = (np.array(side) for side in zip(*_PUBLISHED, strict=True))
    return Chart(
        name="smallest",
        title="The smallest non-zero eigenvalues of H₀",
        caption="In ascending order, over the smallest one: there is a gap, and no eigenvalue in "
        "it. The published ends of the inset are 0.0148 and 0.0432.",
        x_label="k",
        y_label="k-th smallest non-zero eigenvalue / smallest",
        series=(
            measured("measured", index, first, what=what, mark="line"),
            published("published: figure 4, ends of the inset", x, y / y[0]),
        ),
    )


EXPERIMENT = study(
    "pb-fig4",
    "The null space of H₀ is the symmetry of the network",
    quick=NullSpaceConfig(seeds=(0, 1, 2)),
    paper=NullSpaceConfig(),
    tasks=tasks,
    compute=compute,
    summarise=summarise,
)

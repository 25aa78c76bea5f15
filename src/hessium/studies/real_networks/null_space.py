"""Figure 4 of the second source: H0 at initialisation, null space and smallest eigenvalues."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hessium._typing import AnyArray, FloatArray
from hessium.compare import nonzero, symmetries
from hessium.curvature import GaussNewton
from hessium.estimate import spectrum
from hessium.figures.formatting import between, digits
from hessium.figures.records import (
    Chart,
    Findings,
    Number,
    Series,
    Statement,
    Table,
    exact,
    judge,
    measured,
    over,
)
from hessium.runs.experiment import Experiment, Result, Task
from hessium.spectra import Spectrum
from hessium.studies.images import digest, small_images
from hessium.studies.real_networks.setting import plain_network, squared_risk
from hessium.theory import MarchenkoPastur

_UNITS = 16
_SHOWN = 35
_PUBLISHED = ((0.0, 0.0148), (34.0, 0.0432))  # ends of the inset, digitised
_FORCED = {"relu": _UNITS, "linear": _UNITS**2, "tanh": 0}


@dataclass(frozen=True, slots=True, kw_only=True)
class NullConfig:
    """Settings of `pb-fig4`.

    Attributes:
        samples: images.
        activations: networks to count the zeros of; the spectrum shown is that of "relu".
        seeds: of images and weights.
        images: see `small_images`.
    """

    samples: int = 256
    activations: tuple[str, ...] = ("relu", "linear", "tanh")
    seeds: tuple[int, ...] = tuple(range(10))
    images: str = "photographs"


def tasks(config: NullConfig) -> list[Task]:
    """One network for each activation and seed."""
    common = {"samples": config.samples, "images": config.images, "file": digest(config.images)}
    return [
        {"activation": activation, "seed": seed, **common}
        for activation in config.activations
        for seed in config.seeds
    ]


def compute(task: Task) -> Result:
    """Spectrum of H0 and its zeros by name."""
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


def summarise(
    config: NullConfig, results: Sequence[Result]
) -> tuple[Findings, Mapping[str, AnyArray]]:
    """Charts, statements and tables of the runs."""
    count = len(config.seeds)
    by_name = {
        name: results[k * count : (k + 1) * count] for k, name in enumerate(config.activations)
    }
    rows = [nonzero(r["values"]).nodes for r in by_name["relu"]]
    what = f"{count} seeds"
    findings = Findings(
        statements=_statements(config, by_name, rows),
        charts=(_histogram(config, rows, what), _smallest(rows, what)),
        tables=(_table(by_name, what),),
        notes=(
            f"16-16-16 networks without biases, weights N(0, 1/fan-in), {config.samples} whitened "
            f"4 × 4 images from {config.images}, H₀ at initialisation, ratio φ = 2n/m = "
            f"{digits(32 / config.samples)}. The source has CIFAR-10 and does not state the "
            "weights: its scale differs by a factor.",
            "Null directions are named from the architecture, written down as tangents and tried "
            "on H₀; the measured zeros are eigenvalues below 10⁻¹⁰ of the largest.",
        ),
    )
    arrays = {f"{name}_values": np.array([r["values"] for r in v]) for name, v in by_name.items()}
    return findings, arrays


def _statements(
    config: NullConfig, by_name: Mapping[str, Sequence[Result]], rows: Sequence[FloatArray]
) -> tuple[Statement, ...]:
    found = []
    for name, results in by_name.items():
        zeros = [r["zeros"] for r in results]
        worst = digits(max(r["error"] for r in results), 1)
        tried = f", their tangents are null to {worst}" if any(r["names"] for r in results) else ""
        expected = _FORCED.get(name)
        if expected is None:
            continue
        found.append(
            judge(
                f"With {name} units H₀ has exactly {expected} zero eigenvalues, all forced by "
                "symmetry.",
                all(r["zeros"] == r["forced"] == expected for r in results),
                f"measured {between(zeros, 12)}, forced "
                f"{between([r['forced'] for r in results], 12)} ({len(results)} seeds){tried}",
            )
        )
    distances, edges = [], []
    for values in rows:
        law = MarchenkoPastur(ratio=32 / config.samples, scale=float(values.mean()))
        levels = (np.arange(values.size) + 0.5) / values.size
        distances.append(float(np.abs(law.cdf(values) - levels).max()))
        edges.append(float(values[0]) / law.support()[0])
    found.append(
        judge(
            "The non-zero spectrum of H₀ is Marchenko-Pastur of ratio φ within 0.05.",
            bool(max(distances) < 0.05),
            f"Kolmogorov distance from the law of the same mean {between(distances, 2)}; the "
            f"smallest eigenvalue is {between(edges, 2)} of the law's lower edge",
        )
    )
    return tuple(found)


def _histogram(config: NullConfig, rows: Sequence[FloatArray], what: str) -> Chart:
    scale = float(np.mean([row.mean() for row in rows]))
    law = MarchenkoPastur(ratio=32 / config.samples, scale=scale)
    high = 1.6 * law.support()[1]
    ends = np.linspace(0, high, 41)
    table = np.array([np.histogram(row, ends)[0] / row.size for row in rows]) / ends[1]
    outside = float(np.mean([(row > high).mean() for row in rows]))
    x = np.linspace(*law.support(), 201)
    return Chart(
        name="spectrum",
        title="Non-zero spectrum of H₀ at initialisation, ReLU",
        caption=(
            f"16 null directions are removed; {digits(100 * outside, 2)} % of the eigenvalues lie "
            "beyond the right end. The law has the ratio and the mean of the matrix."
        ),
        x_label="eigenvalue λ",
        y_label="density ρ(λ)",
        series=(
            measured("measured", 0.5 * (ends[:-1] + ends[1:]), table, what=what, mark="points"),
            Series(
                label=f"Marchenko-Pastur, φ = {digits(32 / config.samples)}",
                x=x,
                y=law.pdf(x),
                error="exact, its mean is measured",
                source="theory",
                mark="line",
            ),
        ),
    )


def _smallest(rows: Sequence[FloatArray], what: str) -> Chart:
    index = np.arange(float(_SHOWN))
    first = [row[:_SHOWN] / row[0] for row in rows]
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
            Series(
                label="published: figure 4, ends of the inset",
                x=x,
                y=y / y[0],
                error="published without an error",
                source="published",
                mark="points",
            ),
        ),
    )


def _table(by_name: Mapping[str, Sequence[Result]], what: str) -> Table:
    rows: tuple[tuple[str | Number, ...], ...] = tuple(
        (
            name,
            "; ".join(results[0]["names"]) or "none",
            exact(results[0]["forced"]),
            over([r["zeros"] for r in results], what, digits=12),
            over([nonzero(r["values"]).nodes[0] for r in results], what),
            over([Spectrum.of(r["values"]).mean() for r in results], what),
        )
        for name, results in by_name.items()
    )
    columns = (
        "activation", "symmetries", "forced zeros", "measured zeros", "smallest other", "mean of H₀"
    )  # fmt: skip
    return Table(title="Zeros of H₀ by name", columns=columns, rows=rows)


EXPERIMENT = Experiment(
    name="pb-fig4",
    title="The null space of H₀ is the symmetry of the network",
    shows="The spectrum of H₀ at initialisation, its forced zeros by name for three activations, "
    "and its smallest non-zero eigenvalues.",
    presets={
        "quick": NullConfig(seeds=(0, 1, 2)),
        "paper": NullConfig(),
    },
    seeds=lambda config: config.seeds,
    tasks=tasks,
    compute=compute,
    summarise=summarise,
)

"""Level spacings of real Hessians beside those of random matrices."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from hessium._typing import FloatArray
from hessium.compare import LevelStatistics, levels
from hessium.curvature import GaussNewton, Hessian, ResidualHessian
from hessium.figures.formatting import digits
from hessium.figures.hues import hue_of
from hessium.figures.records import (
    CONTROL,
    OURS,
    Chart,
    Findings,
    Number,
    Statement,
    judge,
    judge_test,
)
from hessium.figures.views.repetitions import curve, histogram, with_stderr
from hessium.runs.experiment import Result, Task
from hessium.spectra import Spectrum
from hessium.studies.images import digest, small_images
from hessium.studies.real_networks.setting import plain_network, squared_risk
from hessium.studies.study import Summary, repeated, study, table, with_error
from hessium.studies.training import train
from hessium.theory import SpacingRatio, goe, gue, haar

_LIMIT = 4.0  # standard errors; a false alarm in 1 of 16 000 comparisons


@dataclass(frozen=True, slots=True, kw_only=True)
class SpacingsConfig:
    """Settings of `spacings`.

    Attributes:
        size: of the random matrices.
        matrices: of each ensemble.
        samples: images of the networks.
        max_iterations: of their training.
        seeds: of the networks.
        images: see `small_images`.
    """

    size: int = 400
    matrices: int = 20
    samples: int = 64
    max_iterations: int = 20
    seeds: tuple[int, ...] = tuple(range(10))
    images: str = "photographs"


REFERENCES = ("goe", "gue", "poisson", "two blocks, mixed", "two blocks, apart")
NETWORKS = (
    "H, tanh, start",
    "H, tanh, trained",
    "H₀, tanh, start",
    "H, ReLU, start",
    "H₁, ReLU, units mixed",
    "H₁, ReLU, unit by unit",
)


def tasks(config: SpacingsConfig) -> list[Task]:
    """One for each ensemble, one for each seed of the networks."""
    ensembles: list[Task] = [
        {"ensemble": name, "size": config.size, "matrices": config.matrices} for name in REFERENCES
    ]
    common = {
        "samples": config.samples,
        "max_iterations": config.max_iterations,
        "images": config.images,
        "file": digest(config.images),
    }
    return ensembles + [{"seed": seed, **common} for seed in config.seeds]


def compute(task: Task) -> Result:
    """Spacing ratios by name, with the number of zeros that were removed."""
    found = _ensemble(task) if "ensemble" in task else _networks(task)
    return {
        name: {
            "ratios": one.ratios,
            "stderr": one.stderr,
            "sectors": len(one.sectors),
            "zeros": one.zeros,
        }
        for name, one in found.items()
    }


def _ensemble(task: Task) -> dict[str, LevelStatistics]:
    name, n = task["ensemble"], task["size"]
    rng = np.random.default_rng([REFERENCES.index(name), n])
    spectra: list[Spectrum] = []
    for _ in range(task["matrices"]):
        if name == "poisson":
            parts = [Spectrum.of(rng.random(n))]
        elif name in ("goe", "gue"):
            matrix = goe(n, rng=rng) if name == "goe" else gue(n, rng=rng)
            parts = [Spectrum.of(np.linalg.eigvalsh(matrix))]
        else:
            blocks = [np.linalg.eigvalsh(goe(n // 2, rng=rng)) for _ in range(2)]
            blocks = [np.concatenate(blocks)] if name == "two blocks, mixed" else blocks
            parts = [Spectrum.of(block) for block in blocks]
        spectra += parts
    return {name: levels(*spectra)}


def _networks(task: Task) -> dict[str, LevelStatistics]:
    x = small_images(task["samples"], task["seed"], task["images"])
    smooth = squared_risk(plain_network((16, 16, 16), "tanh", task["seed"]), x, x)
    trained = train(smooth, max_iterations=task["max_iterations"]).risk
    kinked = squared_risk(plain_network((16, 16, 16), "relu", task["seed"]), x, x)
    residual = ResidualHessian(kinked).dense()
    # a rotation hides the units, and changes no eigenvalue
    turn = torch.from_numpy(haar(len(residual), task["seed"]))
    return {
        "H, tanh, start": levels(Hessian(smooth)),
        "H, tanh, trained": levels(Hessian(trained)),
        "H₀, tanh, start": levels(GaussNewton(smooth)),
        "H, ReLU, start": levels(Hessian(kinked)),
        "H₁, ReLU, units mixed": levels(turn @ residual @ turn.mT),
        "H₁, ReLU, unit by unit": levels(residual),
    }


def _name(spectrum: str) -> str:
    """As the field writes it."""
    known = {"goe": "GOE", "gue": "GUE", "poisson": "Poisson"}
    return known.get(spectrum, spectrum.replace(", start", " at initialisation"))


_RATIOS = "Mean spacing ratios"


class _Pooled:
    """Ratios of one kind over all its matrices."""

    def __init__(self, found: Sequence[Mapping[str, Any]]) -> None:
        self.ratios: FloatArray = np.concatenate([one["ratios"] for one in found])
        self.mean = float(self.ratios.mean())
        squares = [(one["stderr"] * len(one["ratios"])) ** 2 for one in found]
        self.stderr = float(np.sqrt(sum(squares))) / self.ratios.size
        self.zeros = int(found[0]["zeros"])

    def z(self, ensemble: str) -> float:
        """Distance of the mean from an ensemble's, in standard errors."""
        return (self.mean - SpacingRatio(ensemble).large_matrix_mean) / self.stderr

    def words(self) -> str:
        """Mean and error."""
        return f"{digits(self.mean, 4)} ± {digits(self.stderr, 1)}"


def summarise(config: SpacingsConfig, results: Sequence[Result]) -> Summary:
    """Charts, statements and tables of the runs."""
    ensembles, networks = results[: len(REFERENCES)], results[len(REFERENCES) :]
    pooled = {
        name: _Pooled([result[name]]) for name, result in zip(REFERENCES, ensembles, strict=True)
    }
    pooled |= {name: _Pooled([r[name] for r in networks]) for name in NETWORKS}
    columns = (
        "spectrum", "mean ratio", "ratios", "z to GOE", "z to GUE", "z to Poisson",
        "zeros removed (each)",
    )  # fmt: skip
    findings = Findings(
        statements=_statements(pooled),
        charts=(
            _chart("references", "Random matrices", pooled, REFERENCES[:4]),
            _chart("networks", "Networks", pooled, ("H, tanh, start", *NETWORKS[3:])),
        ),
        tables=(
            table(
                _RATIOS,
                columns,
                (
                    (
                        _name(name),
                        with_error(one.mean, one.stderr, "mean [± one standard error]", 4),
                        one.ratios.size,
                        *(
                            Number(value=one.z(law), basis="z: in standard errors", digits=2)
                            for law in ("goe", "gue", "poisson")
                        ),
                        one.zeros,
                    )
                    for name, one in pooled.items()
                ),
            ),
        ),
        notes=(
            "r = min(s, s′)/max(s, s′) of consecutive spacings needs no unfolding. Means of large "
            "matrices: Poisson 2 ln 2 − 1 = 0.3863, GOE 0.5307, GUE 0.5996. The null space (10⁻¹⁰ "
            "of the largest) is removed first, blocks of the matrix are kept apart, and of spectra "
            "symmetric about zero the positive half is taken.",
            "Networks: 16-16-16 without biases, weights N(0, 1/fan-in), autoencoders of "
            f"{config.samples} whitened images, {repeated(config.seeds)}; trained: "
            f"{config.max_iterations} iterations of L-BFGS-B. Errors: standard deviation of the "
            "mean of as many ratios of the nearest ensemble, in which neighbours share a spacing.",
        ),
    )
    names = (*REFERENCES, *NETWORKS)
    return findings, {f"ratios_{k}": pooled[name].ratios for k, name in enumerate(names)}


def _statements(pooled: Mapping[str, _Pooled]) -> tuple[Statement, ...]:
    mixed, apart = pooled["two blocks, mixed"], pooled["two blocks, apart"]
    units, blocks = pooled[NETWORKS[4]], pooled[NETWORKS[5]]
    return (
        *(
            judge_test(
                f"{label} has the mean ratio {value}.",
                abs(pooled[name].z(name)) < _LIMIT,
                f"{pooled[name].words()}, {digits(pooled[name].z(name), 2)} standard errors off",
                origin=CONTROL,
                shown="references",
            )
            for label, name, value in (("GOE", "goe", 0.5307), ("Poisson", "poisson", 0.3863))
        ),
        judge(
            "A symmetry that is not removed lowers the ratio (two GOE blocks, the control).",
            mixed.z("goe") < -_LIMIT and abs(apart.z("goe")) < _LIMIT,
            f"mixed {mixed.words()}, block by block {apart.words()}",
            origin=CONTROL,
            shown="references",
        ),
        judge_test(
            "H₁ of a ReLU network repels like GOE once its hidden units are kept apart.",
            abs(blocks.z("goe")) < _LIMIT,
            f"unit by unit {blocks.words()} ({digits(blocks.z('goe'), 2)} standard errors from "
            f"GOE), units mixed {units.words()}",
            origin=OURS,
            shown="networks",
        ),
        *(
            judge_test(
                f"{_name(name)}: levels repel like GOE.",
                abs(one.z("goe")) < _LIMIT,
                f"{one.words()}, {digits(one.z('goe'), 2)} standard errors from GOE, "
                f"{digits(one.z('poisson'), 2)} from Poisson; {one.zeros} zeros removed",
                origin=OURS,
                shown=_RATIOS,
            )
            for name, one in pooled.items()
            if name in ("H, tanh, start", "H, tanh, trained", "H, ReLU, start")
        ),
    )


def _chart(name: str, title: str, pooled: Mapping[str, _Pooled], chosen: Sequence[str]) -> Chart:
    """One spectrum on axes, with both laws, above the others on axes of their own."""
    first, *others = (_axes(f"{name}-{k}", pooled[one], one) for k, one in enumerate(chosen))
    return dataclasses.replace(
        first,
        name=name,
        title=f"{title}: ratios of consecutive spacings",
        caption="Densities. Repelling levels have few ratios near zero, independent ones have most "
        "there.",
        panels=tuple(others),
    )


def _axes(name: str, found: _Pooled, label: str) -> Chart:
    """The density of the ratios of one spectrum."""
    ratios, grid = found.ratios, np.linspace(0, 1, 101)
    x, (height,) = histogram([ratios], np.linspace(0, 1, 21))
    one = 1 / (ratios.size * (x[1] - x[0]))  # the height of one ratio
    measured = with_stderr(
        f"{_name(label)}, {ratios.size:,} ratios",
        x,
        height,
        np.sqrt(height * one),
        error="density in a bin, bars ± root of the count",
        hue=hue_of(label),
    )
    laws = [
        curve(
            f"{law} law",
            grid,
            SpacingRatio(which).pdf(grid),
            error="exact for 3 x 3 matrices (Poisson: exact)",
        )
        for law, which in (("GOE", "goe"), ("Poisson", "poisson"))
    ]
    return Chart(
        name=name,
        title=_name(label),
        caption="The density of the ratios of one spectrum.",
        x_label="r = smaller / larger of two neighbouring spacings",
        y_label=_name(label),
        y_range=(0.0, 2.4),
        series=(measured, *laws),
    )


EXPERIMENT = study(
    "spacings",
    "Do the levels of a real Hessian repel?",
    quick=SpacingsConfig(size=200, matrices=15, seeds=(0, 1, 2)),
    paper=SpacingsConfig(),
    tasks=tasks,
    compute=compute,
    summarise=summarise,
)

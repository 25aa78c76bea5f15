"""Critical points of two-layer linear networks, where every class is known in closed form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from hessium._typing import FloatArray
from hessium.figures.formatting import digits
from hessium.figures.records import CONTROL, Chart, Findings, Statement, exact, judge
from hessium.figures.views.repetitions import points
from hessium.landscape.certify import certify
from hessium.landscape.dead_units import with_dead_units
from hessium.landscape.levenberg_marquardt import LevenbergMarquardt
from hessium.landscape.noise_floor import PROBES
from hessium.landscape.trajectory import Stopping
from hessium.landscape.two_layer import TwoLayerSurface
from hessium.runs.experiment import Result, Task
from hessium.studies.critical_points.search import samples_of
from hessium.studies.results import ResultTable
from hessium.studies.sources import pennington_bahri
from hessium.studies.study import Summary, study, table
from hessium.theory import minimiser_energy


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearConfig:
    """Settings of `linear-fig6`.

    Attributes:
        size: n inputs, n units, n outputs.
        ratios: 2 n / samples.
        runs: at each ratio.
        max_steps: of each.
    """

    size: int = 16
    ratios: tuple[float, ...] = (2 / 3, 1 / 2, 1 / 3, 1 / 4, 1 / 8, 1 / 16)
    runs: int = 100
    max_steps: int = 300


def tasks(config: LinearConfig) -> list[Task]:
    """One search each, fresh Gaussian data."""
    return [
        {"size": config.size, "ratio": ratio, "seed": seed, "max_steps": config.max_steps}
        for seed in range(config.runs)
        for ratio in config.ratios
    ]


def search(task: Task) -> Result:
    """Levenberg-Marquardt beside a point of random rank, and the class of what it finds.

    From random weights it would find classes of high rank only. So the start is what it finds in a
    network of fewer units, with units of zero output added, and shifted a little: near a critical
    point of the wide network, which it then has to reach.
    """
    size, samples = task["size"], samples_of(task["size"], task["ratio"])
    rng = np.random.default_rng([task["seed"], size, samples])
    x, y = (torch.from_numpy(rng.standard_normal((samples, size))) for _ in range(2))
    rank = int(rng.integers(0, size + 1))
    wide = TwoLayerSurface(x, y, size, activation="linear")
    start = torch.zeros(wide.dim, dtype=torch.float64)
    if rank:
        narrow = TwoLayerSurface(x, y, rank, activation="linear")
        weights = torch.from_numpy(rng.standard_normal(narrow.dim) / np.sqrt(size))
        walk = LevenbergMarquardt().find(narrow, weights, Stopping(steps=task["max_steps"]))
        start = with_dead_units(narrow, walk.theta, size)
    walk = LevenbergMarquardt().find(
        wide,
        start + 1e-6 * torch.from_numpy(rng.standard_normal(wide.dim)),
        Stopping(steps=task["max_steps"]),
    )
    judged = certify(wide, walk, torch.from_numpy(rng.standard_normal((PROBES, wide.dim))))
    energy, index, nullity = _class_of(wide, judged.theta, x.numpy(), y.numpy())
    return {
        "kind": judged.kind,
        "energy": wide.loss(judged.theta) / size,
        "index": judged.index.value,
        "index_lower": judged.index.lower,
        "index_upper": judged.index.upper,
        "symmetry_zeros": judged.certificate.symmetry_zeros,
        "energy_exact": energy,
        "index_exact": index,
        "nullity_exact": nullity,
        "reason": judged.certificate.reason,
        "spectrum": np.empty(0) if judged.spectrum is None else judged.spectrum.nodes,
    }


def _class_of(
    surface: TwoLayerSurface, theta: torch.Tensor, x: FloatArray, y: FloatArray
) -> tuple[float, int, int]:
    """Energy, index and nullity of the class that a point is in (Baldi & Hornik 1989).

    With the directions u_j and variances l_j of what a linear map can explain of the targets, a
    class is the set of those that the network does explain.
    """
    samples, size = x.shape
    explained = x @ np.linalg.lstsq(x, y, rcond=None)[0]
    variances, directions = np.linalg.eigh(explained.T @ explained / samples)
    fit = y + surface.errors(theta).numpy().T
    share = ((fit @ directions) ** 2).sum(axis=0) / samples / variances
    inside = share > 0.5
    m, rest = int(inside.sum()), variances[~inside]
    pairs = int(sum((rest > value).sum() for value in variances[inside]))
    energy = ((y**2).sum() / samples - variances[inside].sum()) / (2 * size)
    return float(energy), (size - m) ** 2 + pairs, m * (2 * size - m)


_CLASSES = "Classes found"


def summarise(config: LinearConfig, results: Sequence[Result]) -> Summary:
    """Found against known."""
    runs, dim = ResultTable.of(tasks(config), results), 2 * config.size**2
    names = ("energy", "index", "energy_exact", "index_exact", "nullity_exact", "symmetry_zeros")
    found = runs.select(kind="critical")
    energy, index, energy_exact, index_exact, nullity, zeros = map(found.column, names)
    decided = found.column("index_lower") == found.column("index_upper")
    off, same, flat = np.abs(energy - energy_exact), index == index_exact, zeros == nullity
    rows, series = [], []
    for hue, ratio in enumerate(config.ratios):
        here = found.select(ratio=ratio)
        energies = here.column("energy")
        if len(here):
            series.append(
                points(
                    f"found, φ = {digits(ratio)}",
                    energies,
                    here.column("index") / dim,
                    error="certified: bars have no length",
                    hue=hue,
                )
            )
        rows.append(
            (
                ratio,
                len(runs.select(ratio=ratio)),
                len(here),
                len(set(energies.round(9))),
                digits(float(energies.min()), 4) if len(here) else "none",
                exact(float(minimiser_energy(ratio)), 4),
            )
        )
    findings = Findings(
        statements=(
            judge(
                "Every certified point has the energy of a known class, to 10⁻¹⁰.",
                bool(off.max() < 1e-10) if off.size else None,
                f"{len(found)} of {len(runs)} searches end at a certified critical point; largest "
                f"difference {digits(float(off.max()), 2) if off.size else '-'}",
                origin=CONTROL,
                shown=_CLASSES,
            ),
            judge(
                "Its index is that of the class, and no other is possible within the certificate.",
                bool(same.all() and decided.all()) if same.size else None,
                f"{int(same.sum())} of {same.size} equal, {int(decided.sum())} decided",
                origin=CONTROL,
                shown=_CLASSES,
            ),
            judge(
                "Its zero eigenvalues are those of the symmetry GL(n), no more and no fewer.",
                bool(flat.all()) if flat.size else None,
                f"{int(flat.sum())} of {flat.size} have m (2n − m) of them",
                origin=CONTROL,
                shown=_CLASSES,
            ),
            _published_minimum(config, found),
        ),
        charts=(
            Chart(
                name="index",
                title="Index against energy, linear networks",
                caption="Data are fresh in each run; there is no 3/2 law here and no threshold.",
                x_label="energy ε = L / n",
                y_label="index α, share of negative eigenvalues",
                series=tuple(series),
            ),
        )
        if series
        else (),
        tables=(
            table(
                _CLASSES,
                ("φ", "runs", "critical", "energies", "least ε", "½ (1 − φ/2)"),
                rows,
                "½ (1 − φ/2) is the limit of the least energy for n → ∞.",
            ),
        ),
        notes=(
            "A class is a set of m directions of the regression of the targets on the inputs "
            "(Baldi & Hornik 1989). Its energy is half the mean square of the targets that they do "
            "not explain, its index (n − m)² plus the number of pairs in which a direction left "
            "out explains more than one taken in, its nullity m (2n − m).",
        ),
    )
    arrays = {name: runs.column(name) for name in names}
    return findings, arrays | {"ratio": np.array([task["ratio"] for task in runs.tasks])}


def _published_minimum(config: LinearConfig, found: ResultTable) -> Statement:
    """Whether the least energies are nearer to the published formula than to that of n/m."""
    ratios = [ratio for ratio in config.ratios if len(found.select(ratio=ratio))]
    least = np.array([found.select(ratio=ratio).column("energy").min() for ratio in ratios])
    printed = np.array([(1 - ratio) / 2 for ratio in ratios])
    right = np.array([float(minimiser_energy(ratio)) for ratio in ratios])
    closer = np.abs(least - printed) < np.abs(least - right)
    listed = "; ".join(
        f"{digits(e)} at φ = {digits(ratio)}, where ½ (1 − φ) is {digits(p)} and ½ (1 − φ/2) is "
        f"{digits(r)}"
        for ratio, e, p, r in zip(ratios, least, printed, right, strict=True)
    )
    return judge(
        "The least energy of linear networks is ½ (1 − φ).",
        bool(closer.all()) if ratios else None,
        f"least energy found: {listed}" if ratios else "0 certified points",
        origin=pennington_bahri("figure 6, caption"),
        shown=_CLASSES,
        reason="With φ = 2n/m, as everywhere else in the paper, random data have the limit "
        "½ (1 − n/m) = ½ (1 − φ/2).",
    )


EXPERIMENT = study(
    "linear-fig6",
    "Critical points of linear networks: index against energy, exactly",
    quick=LinearConfig(size=6, ratios=(1 / 2, 1 / 4), runs=12),
    paper=LinearConfig(),
    tasks=tasks,
    compute=search,
    summarise=summarise,
    seeds=lambda config: tuple(range(config.runs)),
    points=True,
)

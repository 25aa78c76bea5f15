"""Where do Wishart + Wigner hold? The table of assumptions over networks of many kinds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binom

from hessium._typing import FloatArray
from hessium.compare import assumptions
from hessium.figures.formatting import between, digits
from hessium.figures.records import OURS, Chart, Findings, Number, Statement, Table, judge
from hessium.figures.views.repetitions import curve, ranges
from hessium.runs.experiment import Result, Task
from hessium.studies.real_networks.assumptions import (
    ASSUMPTIONS,
    FREE_MOMENTS,
    FREE_SUM,
    SHORT,
    VARIANCE,
    WIGNER,
    WISHART,
)
from hessium.studies.real_networks.setting import plain_network, squared_risk, written
from hessium.studies.results import ResultTable
from hessium.studies.sources import pennington_bahri
from hessium.studies.study import Cell, Summary, repeated, study, table
from hessium.studies.training import train
from hessium.theory import index, wigner_energy

_WHEN = {"random": "at initialisation", "trained": "after training"}


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditConfig:
    """Settings of `wishart-or-not`.

    Attributes:
        activations: of the one hidden layer.
        widths: n of the n-n-n networks.
        ratios: 2n/m.
        max_iterations: of the training.
        rotations: Haar rotations for freeness; alpha of every test is 1/(rotations + 1).
        draws: random matrices for the ranges of the distances.
        seeds: of Gaussian data and targets, weights, and random matrices.
    """

    activations: tuple[str, ...] = ("linear", "relu", "tanh", "gelu")
    widths: tuple[int, ...] = (8, 12, 16)
    ratios: tuple[float, ...] = (0.25, 0.5, 1.0, 2.0)
    max_iterations: int = 100
    rotations: int = 99
    draws: int = 19
    seeds: tuple[int, ...] = (0, 1)


def tasks(config: AuditConfig) -> list[Task]:
    """One network for each combination, random and trained."""
    common = {k: getattr(config, k) for k in ("max_iterations", "rotations", "draws")}
    return [
        {"activation": a, "width": n, "ratio": ratio, "when": when, "seed": seed, **common}
        for a in config.activations
        for n in config.widths
        for ratio in config.ratios
        for when in _WHEN
        for seed in config.seeds
    ]


def compute(task: Task) -> Result:
    """The table of assumptions of one network."""
    n, m = task["width"], round(2 * task["width"] / task["ratio"])
    rng = np.random.default_rng([task["seed"], n, m])
    x, y = rng.standard_normal((2, m, n))
    risk = squared_risk(plain_network((n, n, n), task["activation"], rng), x, y)
    if task["when"] == "trained":
        risk = train(risk, max_iterations=task["max_iterations"]).risk
    alpha = 1 / (task["rotations"] + 1)
    found = assumptions(
        risk, alpha=alpha, draws=task["draws"], rotations=task["rotations"], rng=task["seed"]
    )
    last = risk.names[-1]
    return {
        "checks": {
            c.assumption.replace(f"weights {last}", "weights last"): {
                "value": c.value,
                "high": c.high,
                "holds": c.holds,
            }
            for c in found.checks
        },
        "predictions": {p.quantity: [p.measured, p.linear, p.relu] for p in found.predictions},
        "network_index": float(
            index(wigner_energy(found.energy, found.ratio), found.ratio, scale=found.scale)
        ),
        "energy": found.energy,
        "ratio": found.ratio,
    }


_NOT_REJECTED = "In how many networks an assumption is not rejected, {when}"
_PREDICTED = "Measured and predicted at initialisation, n = {width}"


def _values(assumption: str, runs: ResultTable, of: str = "value") -> FloatArray:
    """An entry of the test of an assumption, from the runs in which it was tested."""
    found = [r["checks"][assumption][of] for r in runs if assumption in r["checks"]]
    return np.array(found, dtype=np.float64)


def summarise(config: AuditConfig, results: Sequence[Result]) -> Summary:
    """Charts, statements and tables of the runs."""
    runs = ResultTable.of(tasks(config), results)
    findings = Findings(
        statements=(
            *_tested(config, runs),
            _index(config, runs),
            _variance(config, runs),
            _network_index(config, runs),
        ),
        charts=(
            _chart(config, runs, "wishart", WISHART, "Distance of H₀ from Marchenko-Pastur"),
            _chart(config, runs, "wigner", WIGNER, "Distance of H₁ from a semicircle"),
            _chart(
                config,
                runs,
                "free",
                FREE_SUM,
                "Distance of H₀ + H₁ from its rotations",
                when="trained",
            ),
        ),
        tables=(*(_table(config, runs, when) for when in _WHEN), _predictions(config, runs)),
        notes=(
            "n-n-n networks without biases, weights N(0, 1/n), Gaussian data and targets, "
            f"{repeated(config.seeds)}; trained: {config.max_iterations} iterations of L-BFGS-B. "
            f"Widths {', '.join(map(str, config.widths))}, ratios "
            f"{', '.join(digits(r) for r in config.ratios)}.",
            "εφ is the variance of H₁ for residuals that are independent of data and weights. "
            "Residuals at initialisation contain the outputs of the network itself, which depend "
            "on the data; that adds to the variance. In a trained linear network H₁ vanishes.",
            "Each assumption is tested for itself against matrices of the same size, at a "
            f"false-alarm rate of {digits(1 / (config.rotations + 1), 2)}; a claim about all "
            "networks stands while no more of them are rejected than chance allows in 999 of 1000 "
            "runs. The distance is the size of the error of an assumption; the verdict says "
            "whether it is significant.",
        ),
    )
    tested = runs.column(
        lambda r: [r["checks"].get(name, {"value": np.nan})["value"] for name in SHORT]
    )
    arrays = {f"check_{k}": values for k, values in enumerate(tested.T)}
    return findings, arrays | {"predictions": runs.column(lambda r: [*r["predictions"].values()])}


def _tested(config: AuditConfig, runs: ResultTable) -> list[Statement]:
    found = []
    counts_table = _NOT_REJECTED.format(when=_WHEN["trained"])
    for assumption, claim, place, shown, reason in ASSUMPTIONS:
        holds = {when: _values(assumption, runs.select(when=when), "holds") for when in _WHEN}
        tested = np.concatenate(list(holds.values()))
        # as many rejections as chance allows: more come in one of a thousand runs
        chance = float(binom.ppf(0.999, tested.size, 1 / (config.rotations + 1)))
        counts = ", ".join(
            f"{int(held.sum())} of {held.size} networks {_WHEN[when]}"
            for when, held in holds.items()
        )
        at_start = {a: runs.select(activation=a, when="random") for a in config.activations}
        by_activation = ", ".join(
            f"{written(a)} {between(_values(assumption, one), 2)}" for a, one in at_start.items()
        )
        evidence = (
            f"not rejected in {counts}; {_statistic(assumption)} at initialisation: {by_activation}"
        )
        found.append(
            judge(
                claim,
                bool((tested == 0).sum() <= chance),
                evidence,
                origin=pennington_bahri(place),
                shown=shown or counts_table,
                reason=reason,
            )
        )
    return found


def _index(config: AuditConfig, runs: ResultTable) -> Statement:
    measured, *predicted = runs.select(when="random").column(lambda r: r["predictions"]["index"]).T
    off = [np.asarray(found - measured) for found in predicted]
    names = ("Wishart + Wigner", "the ReLU model")
    return judge(
        "The index that theory predicts at this energy and ratio is measured within 0.05, at "
        "initialisation.",
        bool(min(np.abs(one).max() for one in off) < 0.05),
        "; ".join(f"{name}: off by {between(e, 2)}" for name, e in zip(names, off, strict=True)),
        origin=pennington_bahri("eq. 19, 16 and 29"),
        shown=_PREDICTED.format(width=config.widths[-1]),
        reason="The assumptions above fail, and H₁ of a network has not the printed variance 2ε.",
    )


def _variance(config: AuditConfig, runs: ResultTable) -> Statement:
    """Which of the two variances of H1 is nearer: 2 energy as printed, or energy x ratio."""
    parts, nearer, compared = [], 0, 0
    for when, words in _WHEN.items():
        for activation in config.activations:
            # in units of the energy, where H1 is not zero
            pairs = [
                (found["value"], r["ratio"] * (0.5 if activation == "relu" else 1.0))
                for r in runs.select(activation=activation, when=when)
                if (found := r["checks"].get(VARIANCE)) and found["value"] > 0
            ]
            if not pairs:
                continue
            measured, network = np.array(pairs, dtype=np.float64).T
            closer = np.abs(np.log(measured / network)) < np.abs(np.log(measured / 2))
            nearer, compared = nearer + int(closer.sum()), compared + closer.size
            parts.append(
                f"{written(activation)} {words}: {between(measured / 2, 2)} and "
                f"{between(measured / network, 2)}"
            )
    return judge(
        "The variance of H₁ is nearer to εφ, with ReLU half of it, than to the printed 2ε.",
        nearer == compared if compared else None,
        f"in {nearer} of {compared} networks; measured over 2ε and over εφ: " + "; ".join(parts),
        origin=OURS,
        shown=_NOT_REJECTED.format(when=_WHEN["random"]),
    )


def _network_index(config: AuditConfig, runs: ResultTable) -> Statement:
    parts, better = [], []
    for when, words in _WHEN.items():
        chosen = runs.select(when=when).filter(lambda _, r: r["energy"] > 0)
        measured, printed = chosen.column(lambda r: r["predictions"]["index"][:2]).T
        both = [
            float(np.sqrt(np.mean((predicted - measured) ** 2)))
            for predicted in (printed, chosen.column("network_index"))
        ]
        better.append(both[1] < both[0])
        parts.append(f"{digits(both[0], 2)} and {digits(both[1], 2)} {words}")
    return judge(
        "With that variance Wishart + Wigner predicts the index better.",
        all(better),
        "root mean square distance of the index with 2ε and with εφ: " + ", ".join(parts),
        origin=OURS,
        shown=_PREDICTED.format(width=config.widths[-1]),
    )


def _statistic(assumption: str) -> str:
    if assumption == FREE_MOMENTS:
        return "τ(p1 q1 p1 q1), 0 if free,"
    return "Anderson-Darling" if "normal" in assumption else "Kolmogorov distance"


def _chart(
    config: AuditConfig,
    runs: ResultTable,
    name: str,
    assumption: str,
    title: str,
    when: str = "random",
) -> Chart:
    width, what = config.widths[-1], repeated(config.seeds)
    shown = runs.select(width=width, when=when)

    def by_ratio(activation: str, of: str = "value") -> list[FloatArray]:
        mine = shown.select(activation=activation)
        return [_values(assumption, mine.select(ratio=ratio), of) for ratio in config.ratios]

    measured = {f"{written(a)}, measured": by_ratio(a) for a in config.activations}
    series = [
        ranges(label, config.ratios, groups, what=what, mark="both", nudge=3.0 * k)
        for k, (label, groups) in enumerate(measured.items())
        if any(group.size for group in groups)
    ]
    limits = {
        ratio: float(np.median(found))
        for ratio, found in zip(config.ratios, by_ratio(config.activations[0], "high"), strict=True)
        if found.size
    }
    label = "limit of the test for such random matrices"
    return Chart(
        name=name,
        title=f"{title}, n = {width}, {_WHEN[when]}",
        caption="Kolmogorov distance by ratio and activation; a matrix of the assumed kind lies "
        "below the dashed line.",
        x_label="ratio φ = parameters / (samples × outputs)",
        y_label="Kolmogorov distance",
        x_scale="log",
        x_ticks=config.ratios,
        y_scale="log",
        series=(*series, curve(label, [*limits], [*limits.values()], error="limit of the test")),
    )


def _table(config: AuditConfig, runs: ResultTable, when: str) -> Table:
    def cell(assumption: str, activation: str) -> str:
        held = _values(assumption, runs.select(activation=activation, when=when), "holds")
        return f"{int(held.sum())} of {held.size}"

    return table(
        _NOT_REJECTED.format(when=_WHEN[when]),
        ("assumption", *map(written, config.activations)),
        (
            (short, *(cell(assumption, a) for a in config.activations))
            for assumption, short in SHORT.items()
        ),
        "Fewer networks in a row: where H₁ is zero or no law could be fitted.",
    )


def _predictions(config: AuditConfig, runs: ResultTable) -> Table:
    width, basis = config.widths[-1], f"mean over {repeated(config.seeds)}"
    quantities = ("index", "lower edge", "upper edge")
    at_start = runs.select(width=width, when="random")
    rows: list[tuple[Cell, ...]] = []
    for activation in config.activations:
        for ratio in config.ratios:
            found = at_start.select(activation=activation, ratio=ratio)
            means = found.column(lambda r: [r["predictions"][q] for q in quantities]).mean(axis=0)
            cells = [Number(value=v, basis=basis, digits=2) for v in means.ravel()]
            rows.append((written(activation), ratio, *cells))
    heads = (
        f"{quantity}: {which}"
        for quantity in quantities
        for which in ("measured", "Wigner", "ReLU model")
    )
    return table(
        _PREDICTED.format(width=width),
        ("activation", "φ", *heads),
        rows,
        "Predictions take energy, ratio and the mean of H₀ from the network. Wigner: "
        "Marchenko-Pastur plus semicircle (eq. 16); ReLU model: eq. 29.",
    )


EXPERIMENT = study(
    "wishart-or-not",
    "Where do the random-matrix assumptions hold?",
    quick=AuditConfig(widths=(8, 12), ratios=(0.25, 1.0, 2.0), rotations=19, draws=7, seeds=(0,)),
    paper=AuditConfig(),
    tasks=tasks,
    compute=compute,
    summarise=summarise,
)

"""Where do Wishart + Wigner hold? The table of assumptions over networks of many kinds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binom

from hessium._typing import AnyArray, FloatArray
from hessium.compare import assumptions
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
)
from hessium.runs.experiment import Experiment, Result, Task
from hessium.studies.real_networks.setting import plain_network, squared_risk
from hessium.studies.training import train
from hessium.theory import index, wigner_energy

_WHEN = {"random": "at initialisation", "trained": "after training"}
_H0, _H1 = "H0 is Wishart of the network's ratio", "H1 is Wigner of its own variance"
_VARIANCE = "H1 has the variance of the Wigner model, 2 energy"
_MOMENTS, _SUM = "H0 and H1 are free: mixed moments", "H0 and H1 are free: spectrum of the sum"
_SHORT = {
    _H0: "H₀: Marchenko-Pastur of ratio φ",
    "H0 is Wishart of some ratio and scale": "H₀: some Marchenko-Pastur",
    _H1: "H₁: semicircle",
    "H1 is Wigner of some variance": "H₁: some semicircle",
    _VARIANCE: "variance of H₁ is 2ε",
    _MOMENTS: "free: mixed moments",
    _SUM: "free: spectrum of the sum",
    "residuals are normal": "residuals normal",
    "weights 0.weight are normal": "weights normal, first layer",
    "weights last are normal": "weights normal, last layer",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AssumedConfig:
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


def tasks(config: AssumedConfig) -> list[Task]:
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


class _Runs:
    """Results by task."""

    def __init__(self, config: AssumedConfig, results: Sequence[Result]) -> None:
        self.config = config
        self.pairs = list(zip(tasks(config), results, strict=True))

    def chosen(self, **wanted: object) -> list[Result]:
        """The results of tasks with these settings."""
        return [r for t, r in self.pairs if all(t[k] == v for k, v in wanted.items())]

    def value(self, assumption: str, **wanted: object) -> FloatArray:
        """The statistic of an assumption in these tasks."""
        found = [r["checks"].get(assumption) for r in self.chosen(**wanted)]
        return np.array([one["value"] for one in found if one], dtype=np.float64)

    def held(self, assumption: str, **wanted: object) -> tuple[int, int]:
        """In how many tasks an assumption holds, of how many."""
        found = [r["checks"].get(assumption) for r in self.chosen(**wanted)]
        return sum(one["holds"] for one in found if one), sum(one is not None for one in found)


def summarise(
    config: AssumedConfig, results: Sequence[Result]
) -> tuple[Findings, Mapping[str, AnyArray]]:
    """Charts, statements and tables of the runs."""
    runs = _Runs(config, results)
    findings = Findings(
        statements=_statements(runs),
        charts=(
            _chart(runs, "wishart", _H0, "How far H₀ is from Marchenko-Pastur", "random"),
            _chart(runs, "wigner", _H1, "How far H₁ is from a semicircle", "random"),
            _chart(runs, "free", _SUM, "How far H₀ + H₁ is from its rotations", "trained"),
        ),
        tables=(*(_table(runs, when) for when in _WHEN), _predictions(runs)),
        notes=(
            "n-n-n networks without biases, weights N(0, 1/n), Gaussian data and targets, "
            f"{len(config.seeds)} seeds; trained: {config.max_iterations} iterations of L-BFGS-B. "
            f"Widths {', '.join(map(str, config.widths))}, ratios "
            f"{', '.join(digits(r) for r in config.ratios)}.",
            "εφ is the variance of H₁ for residuals that are independent of data and weights. "
            "Residuals at initialisation hold the outputs of the network itself, which depend on "
            "the data; that adds to the variance. In a trained linear network H₁ vanishes.",
            "Each assumption is tested for itself against matrices of the same size, at a "
            f"false-alarm rate of {digits(1 / (config.rotations + 1), 2)}; a claim about all "
            "networks stands while no more of them are rejected than chance allows in 999 of 1000 "
            "runs. The distances say how wrong an assumption is, the verdicts that it is wrong.",
        ),
    )
    arrays = {
        f"check_{k}": np.array(
            [r["checks"].get(name, {"value": np.nan})["value"] for _, r in runs.pairs]
        )
        for k, name in enumerate(_SHORT)
    }
    arrays["predictions"] = np.array([list(r["predictions"].values()) for _, r in runs.pairs])
    return findings, arrays


def _statements(runs: _Runs) -> tuple[Statement, ...]:
    found = []
    for assumption, claim in (
        (_H0, "H₀ is Wishart: its spectrum is Marchenko-Pastur of the network's ratio."),
        (_H1, "H₁ is Wigner: its spectrum is a semicircle."),
        (_MOMENTS, "H₀ and H₁ are free."),
        ("residuals are normal", "Residuals are normal."),
        ("weights 0.weight are normal", "Weights are normal (first layer)."),
    ):
        parts = []
        rejected, tested = 0, 0
        for when, words in _WHEN.items():
            held, of = runs.held(assumption, when=when)
            rejected, tested = rejected + of - held, tested + of
            parts.append(f"{held} of {of} networks {words}")
        # as many rejections as chance allows: more come in one of a thousand runs
        chance = float(binom.ppf(0.999, tested, 1 / (runs.config.rotations + 1)))
        values = {
            a: runs.value(assumption, activation=a, when="random") for a in runs.config.activations
        }
        by_activation = ", ".join(f"{a} {between(v, 2)}" for a, v in values.items())
        found.append(
            judge(
                claim,
                bool(rejected <= chance),
                f"not rejected in {', '.join(parts)}; {_statistic(assumption)} at initialisation: "
                f"{by_activation}",
            )
        )
    errors = {
        model: np.array(
            [
                r["predictions"]["index"][k] - r["predictions"]["index"][0]
                for r in runs.chosen(when="random")
            ]
        )
        for k, model in ((1, "Wishart + Wigner"), (2, "the ReLU model"))
    }
    found.append(
        judge(
            "The index that theory predicts at this energy and ratio is measured within 0.05, at "
            "the start.",
            bool(min(np.abs(e).max() for e in errors.values()) < 0.05),
            "; ".join(f"{m}: off by {between(e, 2)}" for m, e in errors.items()),
        )
    )
    return (*found, _variance(runs), _network_index(runs))


def _variance(runs: _Runs) -> Statement:
    """Which of the two variances of H1 is nearer: 2 energy as printed, or energy x ratio."""
    parts, nearer, compared = [], 0, 0
    for when, words in _WHEN.items():
        for activation in runs.config.activations:
            # of energy, where H1 is not zero
            pairs = [
                (found["value"], r["ratio"] * (0.5 if activation == "relu" else 1.0))
                for r in runs.chosen(activation=activation, when=when)
                if (found := r["checks"].get(_VARIANCE)) and found["value"] > 0
            ]
            if not pairs:
                continue
            measured, network = np.array(pairs, dtype=np.float64).T
            closer = np.abs(np.log(measured / network)) < np.abs(np.log(measured / 2))
            nearer, compared = nearer + int(closer.sum()), compared + closer.size
            parts.append(
                f"{activation} {words}: {between(measured / 2, 2)} and "
                f"{between(measured / network, 2)}"
            )
    return judge(
        "The variance of H₁ is nearer to εφ, with ReLU half of it, than to the printed 2ε.",
        nearer == compared if compared else None,
        f"in {nearer} of {compared} networks; measured over 2ε and over εφ: " + "; ".join(parts),
    )


def _network_index(runs: _Runs) -> Statement:
    parts, better = [], []
    for when, words in _WHEN.items():
        chosen = [r for r in runs.chosen(when=when) if r["energy"] > 0]
        measured, printed = np.array([r["predictions"]["index"][:2] for r in chosen]).T
        network = np.array([r["network_index"] for r in chosen])
        both = [float(np.sqrt(np.mean((p - measured) ** 2))) for p in (printed, network)]
        better.append(both[1] < both[0])
        parts.append(f"{digits(both[0], 2)} and {digits(both[1], 2)} {words}")
    return judge(
        "With that variance Wishart + Wigner predicts the index better.",
        all(better),
        "root mean square distance of the index with 2ε and with εφ: " + ", ".join(parts),
    )


def _statistic(assumption: str) -> str:
    if assumption == _MOMENTS:
        return "τ(p1 q1 p1 q1), 0 if free,"
    return "Anderson-Darling" if "normal" in assumption else "Kolmogorov distance"


def _chart(runs: _Runs, name: str, assumption: str, title: str, when: str) -> Chart:
    ratios = runs.config.ratios
    width = runs.config.widths[-1]
    series = []
    for hue, activation in enumerate(runs.config.activations):
        rows = [
            runs.value(assumption, activation=activation, width=width, ratio=r, when=when)
            for r in ratios
        ]
        kept = [(r, row) for r, row in zip(ratios, rows, strict=True) if row.size]
        if not kept:
            continue
        series.append(
            Series(
                label=f"{activation}, measured",
                x=np.array([r for r, _ in kept]),
                y=np.array([np.median(row) for _, row in kept]),
                low=np.array([row.min() for _, row in kept]),
                high=np.array([row.max() for _, row in kept]),
                error=f"median, bars from least to greatest over {len(runs.config.seeds)} seeds",
                source="measured",
                mark="both",
                nudge=3.0 * hue,
            )
        )
    first = runs.config.activations[0]
    limits = [
        [
            r["checks"][assumption]["high"]
            for r in runs.chosen(activation=first, width=width, ratio=ratio, when=when)
            if assumption in r["checks"]
        ]
        for ratio in ratios
    ]
    shown = [(r, float(np.median(v))) for r, v in zip(ratios, limits, strict=True) if v]
    series.append(
        Series(
            label="what such random matrices show at most",
            x=np.array([r for r, _ in shown]),
            y=np.array([v for _, v in shown]),
            error="limit of the test",
            source="theory",
            mark="line",
        )
    )
    return Chart(
        name=name,
        title=f"{title}, n = {width}, {_WHEN[when]}",
        caption="Kolmogorov distance by ratio and activation; the dashed line is where a matrix of "
        "the assumed kind would lie below.",
        x_label="ratio φ = parameters / (samples × outputs)",
        y_label="Kolmogorov distance",
        x_scale="log",
        x_ticks=ratios,
        y_scale="log",
        series=tuple(series),
    )


def _table(runs: _Runs, when: str) -> Table:
    rows = []
    for assumption, short in _SHORT.items():
        cells = []
        for activation in runs.config.activations:
            held, of = runs.held(assumption, activation=activation, when=when)
            cells.append(f"{held} of {of}")
        rows.append((short, *cells))
    return Table(
        title=f"In how many networks an assumption is not rejected, {_WHEN[when]}",
        columns=("assumption", *runs.config.activations),
        rows=tuple(rows),
        note="Fewer networks in a row: where H₁ is zero or no law could be fitted.",
    )


def _predictions(runs: _Runs) -> Table:
    width, seeds = runs.config.widths[-1], f"{len(runs.config.seeds)} seeds"
    rows: list[tuple[str | Number, ...]] = []
    for activation in runs.config.activations:
        for ratio in runs.config.ratios:
            found = runs.chosen(activation=activation, ratio=ratio, width=width, when="random")
            row: list[str | Number] = [activation, exact(ratio)]
            for quantity in ("index", "lower edge", "upper edge"):
                table = np.array([r["predictions"][quantity] for r in found])
                row += [
                    Number(value=float(v), basis=f"mean over {seeds}", digits=2)
                    for v in table.mean(axis=0)
                ]
            rows.append(tuple(row))
    heads = tuple(
        f"{quantity}: {which}"
        for quantity in ("index", "lower edge", "upper edge")
        for which in ("measured", "Wigner", "ReLU model")
    )
    return Table(
        title=f"Measured and predicted at initialisation, n = {width}",
        columns=("activation", "φ", *heads),
        rows=tuple(rows),
        note="Predictions take energy, ratio and the mean of H₀ from the network. Wigner: "
        "Marchenko-Pastur plus semicircle (eq. 16); ReLU model: eq. 29.",
    )


EXPERIMENT = Experiment(
    name="wishart-or-not",
    title="Where do the random-matrix assumptions hold?",
    shows="Every assumption behind Wishart + Wigner tested on networks with four activations, "
    "several widths and ratios, random and trained, and the predictions beside the measurement.",
    presets={
        "quick": AssumedConfig(
            widths=(8, 12), ratios=(0.25, 1.0, 2.0), rotations=19, draws=7, seeds=(0,)
        ),
        "paper": AssumedConfig(),
    },
    seeds=lambda config: config.seeds,
    tasks=tasks,
    compute=compute,
    summarise=summarise,
)

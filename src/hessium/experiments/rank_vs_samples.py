"""The figure of the first source: rank of the Hessian against the number of samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from hessium._typing import AnyArray, FloatArray
from hessium.experiments.experiment import Experiment, Result, Task
from hessium.experiments.published import column_table
from hessium.experiments.records import (
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
from hessium.experiments.sine import inputs, sine_risk
from hessium.experiments.spectra import matrices, negative, positive, positive_at
from hessium.experiments.training import train
from hessium.experiments.wording import between, digits

SIZES = (*range(1, 11), *range(20, 91, 10))
TOLS = tuple(10.0**-k for k in range(3, 13))
TICKS = (1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0, 90.0)
SAMPLES = "number of samples |I|"
_SHOWN = 14


@dataclass(frozen=True, slots=True, kw_only=True)
class RankConfig:
    """Settings of `rank-vs-samples`.

    Attributes:
        sizes: numbers of samples.
        seeds: of the initial weights.
        tol: eigenvalues count above this fraction of the largest.
        max_iterations: of L-BFGS-B.
    """

    sizes: tuple[int, ...] = SIZES
    seeds: tuple[int, ...] = (2, 23, 233, 2333, 23333)
    tol: float = 1e-6
    max_iterations: int = 15000


def tasks(config: RankConfig) -> list[Task]:
    """One training for each size and seed, the largest first so that workers end together."""
    return [
        {"samples": size, "seed": seed, "max_iterations": config.max_iterations}
        for size in reversed(config.sizes)
        for seed in config.seeds
    ]


def compute(task: Task) -> Result:
    """Spectra at the start and after training."""
    start = sine_risk(inputs(task["samples"]), task["seed"])
    trained = train(start, max_iterations=task["max_iterations"])
    spectra = {f"start_{k}": v for k, v in matrices(start).items()}
    spectra |= {f"end_{k}": v for k, v in matrices(trained.risk).items()}
    return {
        **spectra,
        "loss": trained.loss,
        "gradient_norm": trained.gradient_norm,
        "iterations": trained.iterations,
        "message": trained.message,
    }


class _Runs:
    """Results on the grid of seeds and sizes."""

    def __init__(self, config: RankConfig, results: Sequence[Result]) -> None:
        keys = [(task["samples"], task["seed"]) for task in tasks(config)]
        self._results = dict(zip(keys, results, strict=True))
        self.config = config
        self.sizes = np.array(config.sizes)
        self.what = f"{len(config.seeds)} seeds"

    def table(self, of: str, count: str = "positive") -> FloatArray:
        """Counts at the config's tol, shape (seeds, sizes)."""
        how = {"positive": positive, "negative": negative}[count]
        tol = self.config.tol
        return self._grid(lambda result: how(result[of], tol))

    def scalars(self, of: str) -> FloatArray:
        """A number of each run, shape (seeds, sizes)."""
        return self._grid(lambda result: float(result[of]))

    def spectra(self, of: str, size: int) -> FloatArray:
        """Eigenvalues over the largest, descending, shape (seeds, n)."""
        rows = [self._results[size, seed][of] for seed in self.config.seeds]
        return np.array([row[::-1] / np.abs(row).max() for row in rows])

    def _grid(self, number: Callable[[Result], float]) -> FloatArray:
        return np.array(
            [[number(self._results[n, s]) for n in self.config.sizes] for s in self.config.seeds],
            dtype=np.float64,
        )


def summarise(
    config: RankConfig, results: Sequence[Result]
) -> tuple[Findings, Mapping[str, AnyArray]]:
    """Charts, statements and tables of the runs."""
    runs = _Runs(config, results)
    findings = Findings(
        statements=_statements(runs),
        charts=(_rank_chart(runs), _matrices_chart(runs), _spectrum_chart(runs), _tol_chart(runs)),
        tables=(_table(runs),),
        notes=(
            "Protocol: y = sin πx, x on 100 points of [0, 1]; |I| of them, linearly spaced, "
            "endpoints left out; tanh network 1-20-20-20-1 (901 parameters), weights "
            "N(0, 1/fan-in), biases 0; L(θ) = Σᵢ (f(xᵢ, θ) − yᵢ)², no ½ and no 1/m; L-BFGS-B with "
            "ftol = gtol = 10⁻¹²; float64; exact dense Hessian, all eigenvalues. Rounding moves an "
            "eigenvalue by about 3×10⁻¹⁴ of the largest, so it decides no count down to 10⁻¹².",
            "H = H₀ + H₁ with H₀ = 2 Σᵢ ∇fᵢ∇fᵢᵀ (Gauss-Newton; the source drops the 2) and "
            "H₁ = 2 Σᵢ (fᵢ − yᵢ) ∇²fᵢ. The theorem rank ≤ |I| is about H₀; H obeys it where H₁ is "
            "negligible.",
            "The seeds are NumPy's; the published ones are Julia's, so the same seed means other "
            "weights. Published points are read off the figure.",
        ),
    )
    seeds, sizes = np.array(config.seeds), np.array(config.sizes)
    largest = int(max(config.sizes))
    arrays = {
        "sizes": sizes,
        "seeds": seeds,
        "rank_hessian_end": runs.table("end_hessian"),
        "rank_hessian_start": runs.table("start_hessian"),
        "negative_hessian_start": runs.table("start_hessian", "negative"),
        "rank_gauss_newton_end": runs.table("end_gauss_newton"),
        "rank_gauss_newton_start": runs.table("start_gauss_newton"),
        "rank_gram_end": runs.table("end_gram"),
        "loss": runs.scalars("loss"),
        "iterations": runs.scalars("iterations"),
        "spectrum_hessian_end": runs.spectra("end_hessian", largest),
        "spectrum_gauss_newton_end": runs.spectra("end_gauss_newton", largest),
    }
    return findings, arrays


def published() -> dict[int, tuple[FloatArray, FloatArray]]:
    """The source's points: seed -> (sizes, counts)."""
    table = column_table("adcme_hessian_rank")
    return {
        int(seed): (
            table["num_samples"][table["seed"] == seed],
            table["positive_eigenvalues"][table["seed"] == seed],
        )
        for seed in np.unique(table["seed"])
    }


def _identity(upto: int) -> Series:
    x = np.arange(1.0, upto + 1)
    return Series(label="rank = |I|", x=x, y=x, error="exact", source="theory", mark="line")


def _rank_chart(runs: _Runs) -> Chart:
    points = tuple(
        Series(
            label=f"published: ADCME.jl documentation, seed {seed}",
            x=sizes,
            y=counts,
            error="published without an error",
            source="published",
            mark="points",
            nudge=nudge,
        )
        for (seed, (sizes, counts)), nudge in zip(
            published().items(), (-4.0, 4.0, 8.0), strict=True
        )
    )
    label = f"H after training, measured ({runs.what})"
    ours = measured(label, runs.sizes, runs.table("end_hessian"), what=runs.what)
    return Chart(
        name="rank",
        title="Rank of the Hessian after training",
        caption=(
            "Up to five samples every sample adds one to the rank; then it stays at 5 to 7, here "
            "and in the source. Points at equal sizes are set side by side."
        ),
        x_label=SAMPLES,
        y_label="eigenvalues above 10⁻⁶ of the largest",
        x_scale="log",
        x_ticks=TICKS,
        series=(ours, *points, _identity(7)),
    )


def _matrices_chart(runs: _Runs) -> Chart:
    def line(label: str, of: str, count: str = "positive", nudge: float = 0.0) -> Series:
        return measured(label, runs.sizes, runs.table(of, count), what=runs.what, nudge=nudge)

    return Chart(
        name="start",
        title="The bound rank ≤ |I| is about H₀, not about H",
        caption=(
            "At the start residuals are large: the exact Hessian of a single sample has dozens of "
            "positive and of negative eigenvalues. H₀ obeys the bound at the start and after "
            "training. The Gram matrix of the samples gives the same counts (see the table)."
        ),
        x_label=SAMPLES,
        y_label="eigenvalues beyond 10⁻⁶ of the largest",
        x_scale="log",
        y_scale="log",
        x_ticks=TICKS,
        y_ticks=(1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0),
        series=(
            line("H at the start, positive, measured", "start_hessian"),
            line("H at the start, negative, measured", "start_hessian", "negative", 3.0),
            line("H₀ at the start, measured", "start_gauss_newton"),
            line("H₀ after training, measured", "end_gauss_newton", nudge=3.0),
            _identity(90),
        ),
    )


def _spectrum_chart(runs: _Runs) -> Chart:
    largest = int(runs.sizes.max())
    index = np.arange(1.0, _SHOWN + 1)
    h, h0 = (runs.spectra(of, largest)[:, :_SHOWN] for of in ("end_hessian", "end_gauss_newton"))
    cut = Series(
        label="cut-off of the source, 10⁻⁶",
        x=index[[0, -1]],
        y=np.full(2, runs.config.tol),
        error="exact",
        source="theory",
        mark="line",
    )
    return Chart(
        name="spectrum",
        title=f"The spectrum has no edge where the count stops (|I| = {largest})",
        caption=(
            "Eigenvalues of H and H₀ after training over the largest one, in descending order. "
            "They fall about tenfold per index: the plateau is where the cut-off crosses this "
            "line. Below 3×10⁻¹⁴ rounding decides."
        ),
        x_label="index of the eigenvalue",
        y_label="eigenvalue / largest eigenvalue",
        y_scale="log",
        x_ticks=tuple(float(i) for i in range(2, _SHOWN + 1, 2)),
        series=(
            measured("H₀ after training, measured", index, h0, what=runs.what),
            measured("H after training, measured", index, h, what=runs.what, nudge=3.0),
            cut,
        ),
    )


def _tol_chart(runs: _Runs) -> Chart:
    largest = int(runs.sizes.max())
    series = tuple(
        measured(
            label,
            TOLS,
            [positive_at(row, TOLS) for row in runs.spectra(of, largest)],
            what=runs.what,
            nudge=nudge,
        )
        for label, of, nudge in (
            ("H₀ after training, measured", "end_gauss_newton", 0.0),
            ("H after training, measured", "end_hessian", 3.0),
            ("H₀ at the start, measured", "start_gauss_newton", -3.0),
            ("H at the start, measured", "start_hessian", 0.0),
        )
    )
    return Chart(
        name="cut-off",
        title=f"The plateau moves with the cut-off (|I| = {largest})",
        caption=(
            "Positive eigenvalues counted above tol times the largest. H₀ gains about one per "
            "decade; H departs from it where tol falls below the share of the residual part."
        ),
        x_label="tol, fraction of the largest eigenvalue",
        y_label="positive eigenvalues above tol",
        x_scale="log",
        y_scale="log",
        x_ticks=TOLS[::3],
        y_ticks=(2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0),
        series=series,
    )


def _table(runs: _Runs) -> Table:
    columns = (
        ("H", runs.table("end_hessian")),
        ("H₀", runs.table("end_gauss_newton")),
        ("Gram", runs.table("end_gram")),
        ("H at start, positive", runs.table("start_hessian")),
        ("H at start, negative", runs.table("start_hessian", "negative")),
        ("H₀ at start", runs.table("start_gauss_newton")),
        ("Gram at start", runs.table("start_gram")),
        ("loss", runs.scalars("loss")),
        ("‖H−H₀‖/‖H‖", runs.scalars("end_residual_share")),
        ("L-BFGS-B iterations", runs.scalars("iterations")),
    )
    rows: list[tuple[str | Number, ...]] = [
        (
            exact(int(size)),
            *(over(values[:, i], runs.what, digits=_digits(name)) for name, values in columns),
        )
        for i, size in enumerate(runs.sizes)
    ]
    return Table(
        title="Counts at tol 10⁻⁶, by number of samples",
        columns=("|I|", *(name for name, _ in columns)),
        rows=tuple(rows),
        note="Everything is after training unless the column says otherwise.",
    )


def _digits(column: str) -> int:
    return 2 if column in ("loss", "‖H−H₀‖/‖H‖") else 3


def _statements(runs: _Runs) -> tuple[Statement, ...]:
    sizes = runs.sizes
    trained, start = runs.table("end_hessian"), runs.table("start_hessian")
    h0 = np.stack([runs.table("start_gauss_newton"), runs.table("end_gauss_newton")])
    few, many = sizes <= 5, sizes >= 6
    share = runs.scalars("end_residual_share").max()
    hits = trained[:, few] == sizes[few]
    plateau = trained[:, many]
    return (
        judge(
            "With up to 5 samples the rank of the trained Hessian is the number of samples.",
            bool(hits.all()) if few.any() else None,
            f"true in {int(hits.sum())} of {hits.size} runs",
        ),
        judge(
            "From 6 samples on the rank stays at 5 to 7.",
            bool(((plateau >= 5) & (plateau <= 7)).all()) if many.any() else None,
            f"least {plateau.min():.0f}, greatest {plateau.max():.0f} in {plateau.size} runs"
            if many.any()
            else "no such size was run",
        ),
        _agreement(runs, trained),
        *_cut_off(runs),
        judge(
            "rank(H) ≤ |I| for the exact Hessian after training.",
            bool((trained <= sizes).all()),
            f"true in {int((trained <= sizes).sum())} of {trained.size} runs at tol 10⁻⁶, where "
            f"‖H−H₀‖/‖H‖ is at most {digits(share, 1)}",
        ),
        _bound_at_start(runs, start),
        judge(
            "rank(H₀) ≤ |I|, at the start and after training.",
            bool((h0 <= sizes).all()),
            f"true in {int((h0 <= sizes).sum())} of {h0.size} spectra",
        ),
        _gram(runs),
    )


def _agreement(runs: _Runs, trained: FloatArray) -> Statement:
    points = list(published().values())
    shared = [n for n in runs.config.sizes if all(n in x for x, _ in points)]
    within = 0
    for n in shared:
        theirs = [float(y[x == n][0]) for x, y in points]
        ours = trained[:, runs.config.sizes.index(n)]
        within += bool(min(theirs) <= ours.max() and max(theirs) >= ours.min())
    return judge(
        "The counts agree with the published ones.",
        within == len(shared) if shared else None,
        f"the ranges over seeds, ours and theirs, overlap at {within} of {len(shared)} sizes",
    )


def _cut_off(runs: _Runs) -> tuple[Statement, Statement]:
    largest = int(runs.sizes.max())
    spectra = runs.spectra("end_gauss_newton", largest)
    per_index = [np.exp(-np.polyfit(np.arange(8), np.log(row[:8]), 1)[0]) for row in spectra]
    levels = (1e-4, 1e-6, 1e-8, 1e-10)
    steps = {tol: np.array([positive(row, tol) for row in spectra]) for tol in levels}
    words = ", ".join(f"{between(counts)} at {digits(tol)}" for tol, counts in steps.items())
    medians = [float(np.median(counts)) for counts in steps.values()]
    return (
        judge(
            "The plateau is a property of the cut-off, not of the network: it moves with tol.",
            all(b > a for a, b in pairwise(medians)),
            f"rank of H₀ at |I| = {largest}: {words}",
        ),
        judge(
            "The eigenvalues of H₀ fall about tenfold per index (between 5 and 20).",
            bool(min(per_index) >= 5 and max(per_index) <= 20),
            f"factor per index over the first 8, fitted: {between(per_index)} over {runs.what}",
        ),
    )


def _bound_at_start(runs: _Runs, start: FloatArray) -> Statement:
    minus = runs.table("start_hessian", "negative")
    first = int(np.argmin(runs.sizes))
    return judge(
        "rank(H) ≤ |I| for the exact Hessian at the start.",
        bool((start + minus <= runs.sizes).all()),
        f"with |I| = {runs.sizes[first]} it has "
        f"{between(start[:, first])} positive and "
        f"{between(minus[:, first])} negative eigenvalues "
        "beyond 10⁻⁶ of the largest",
    )


def _gram(runs: _Runs) -> Statement:
    worst = 0.0
    for size in runs.config.sizes:
        top = runs.spectra("end_gauss_newton", size)[:, :size]
        worst = max(worst, float(np.abs(top - runs.spectra("end_gram", size)).max()))
    same = runs.table("end_gauss_newton") == runs.table("end_gram")
    return judge(
        "The Gram matrix of the samples has the non-zero spectrum of H₀.",
        bool(same.all()) and worst < 1e-12,
        f"equal counts in {int(same.sum())} of {same.size} runs; eigenvalues differ by at most "
        f"{digits(worst, 1)} of the largest",
    )


EXPERIMENT = Experiment(
    name="rank-vs-samples",
    title="How many directions do the data determine?",
    shows=(
        "Rank of the Hessian of a small network against the number of training samples, beside the "
        "published curve, and what the plateau is made of."
    ),
    presets={
        "quick": RankConfig(),
        "paper": RankConfig(seeds=(2, 23, 233, 2333, 23333, *range(15))),
    },
    seeds=lambda config: config.seeds,
    tasks=tasks,
    compute=compute,
    summarise=summarise,
)

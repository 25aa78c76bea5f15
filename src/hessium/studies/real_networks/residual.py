"""Figure 3 of the second source: H1 of a ReLU network with its residuals overwritten, eq. 28."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hessium._typing import AnyArray, FloatArray
from hessium.compare import cumulants
from hessium.curvature import ResidualHessian
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
    over,
)
from hessium.runs.experiment import Experiment, Result, Task
from hessium.spectra import Spectrum
from hessium.studies.images import digest, small_images
from hessium.studies.real_networks.setting import plain_network, with_residuals
from hessium.theory import LevyLaw, relu_residual

ENERGY = 50.0  # the source draws residuals from N(0, 100)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResidualConfig:
    """Settings of `pb-fig3`.

    Attributes:
        samples: numbers of images m at 16 units; ratio 32/m.
        widths: sizes n of networks with Gaussian data of the same ratios, ascending; all serve to
            extrapolate.
        shown: the largest of them of which all eigenvalues are computed.
        seeds: of data, weights and residuals.
        images: see `small_images`.
    """

    samples: tuple[int, ...] = (256, 64)
    widths: tuple[int, ...] = (16, 32, 64, 128)
    shown: int = 64
    seeds: tuple[int, ...] = tuple(range(10))
    images: str = "photographs"


def tasks(config: ResidualConfig) -> list[Task]:
    """One draw for each width, ratio and seed, and the images for themselves."""
    real: list[Task] = [
        {
            "n": 16,
            "samples": m,
            "seed": seed,
            "images": config.images,
            "file": digest(config.images),
        }
        for m in config.samples
        for seed in config.seeds
    ]
    largest = max(config.widths)
    sampled: list[Task] = [
        {
            "n": n,
            "samples": m * n // 16,
            "seed": seed,
            "images": "",
            # small networks scatter more, and cost less
            "draws": (largest // n) ** 2,
            "eigenvalues": n <= config.shown,
        }
        for n in config.widths
        for m in config.samples
        for seed in config.seeds
    ]
    return real + sampled


def compute(task: Task) -> Result:
    """Eigenvalues of H1, from the dense matrix at 16 units and from its blocks at all sizes."""
    n, m = task["n"], task["samples"]
    rng = np.random.default_rng([task["seed"], n, m])
    x = small_images(m, task["seed"], task["images"]) if task["images"] else None
    x = rng.standard_normal((m, n)) if x is None else x
    errors = np.sqrt(2 * ENERGY) * rng.standard_normal((m, n))
    network = plain_network((n, n, n), "relu", rng)
    weights = next(network.parameters()).detach().numpy()
    if not task["images"]:
        moments = [residual_averages(x, x @ weights.T > 0)]
        for _ in range(task["draws"] - 1):
            fresh, turn = rng.standard_normal((m, n)), rng.standard_normal((n, n))
            moments.append(residual_averages(fresh, fresh @ turn > 0))
        found = {"moments": np.array(moments)}
        if task["eigenvalues"]:
            found["blocks"] = unit_spectrum(x, errors, x @ weights.T > 0)
        return found
    blocks = unit_spectrum(x, errors, x @ weights.T > 0)
    dense = np.array(spectrum(ResidualHessian(with_residuals(network, x, errors))).nodes)
    linear = plain_network((n, n, n), "linear", rng)
    repeated = spectrum(ResidualHessian(with_residuals(linear, x, errors))).nodes
    groups = repeated.reshape(-1, n)  # ascending: equal eigenvalues are neighbours
    scale = np.abs(repeated).max()
    return {
        "blocks": blocks,
        "block_error": float(np.abs(dense - blocks).max() / np.abs(dense).max()),
        "repeat_error": float(np.ptp(groups, axis=1).max() / scale),
        "repeat_gap": float(np.diff(groups.mean(axis=1)).min() / scale),
    }


def unit_spectrum(x: FloatArray, errors: FloatArray, on: AnyArray) -> FloatArray:
    r"""All eigenvalues of H1: plus and minus the singular values of one n x n block for each unit.

    Block a is $m^{-1} \sum_\mu e_\mu \theta(z_{a\mu}) x_\mu^T$ (eq. 23): H1 couples row a of the
    first layer with column a of the second, and nothing else.
    """
    found = [np.linalg.svd(errors[gate].T @ x[gate] / len(x), compute_uv=False) for gate in on.T]
    values = np.concatenate(found)
    return np.sort(np.concatenate([values, -values]))


def residual_averages(x: FloatArray, on: AnyArray) -> FloatArray:
    r"""Second and fourth moment of H1, averaged over its Gaussian residuals exactly.

    For one unit with samples $X_a$ (those where it is on), $G = X_a^T X_a$ and $S = e^T X_a / m$ of
    residual variance v: $E \operatorname{tr} SS^T = v n \operatorname{tr} G / m^2$ and
    $E \operatorname{tr}(SS^T)^2
    = v^2 (n(n+1) \operatorname{tr} G^2 + n (\operatorname{tr} G)^2)/m^4$.
    """
    m, n = x.shape
    v, second, fourth = 2 * ENERGY / m**2, 0.0, 0.0
    for gate in on.T:
        gram = x[gate].T @ x[gate]
        trace, square = float(np.trace(gram)), float((gram**2).sum())
        second += v * n * trace
        fourth += v**2 * (n * (n + 1) * square + n * trace**2)
    return np.array([second, fourth]) / n**2


class _Runs:
    """Spectra by case."""

    def __init__(self, config: ResidualConfig, results: Sequence[Result]) -> None:
        self.config, self.what = config, f"{len(config.seeds)} seeds"
        count = len(config.seeds)
        self.real = {m: results[k * count : (k + 1) * count] for k, m in enumerate(config.samples)}
        rest = list(results[len(config.samples) * count :])
        self.sampled: dict[tuple[int, int], list[Spectrum]] = {}
        self.averages: dict[tuple[int, int], FloatArray] = {}
        for n in config.widths:
            for m in config.samples:
                draws, rest = rest[:count], rest[count:]
                self.averages[n, m] = np.concatenate([r["moments"] for r in draws])
                if n <= config.shown:
                    self.sampled[n, m] = [Spectrum.of(r["blocks"]) for r in draws]
        self.largest = max(n for n, _ in self.sampled)

    def law(self, samples: int) -> LevyLaw:
        """Eq. 28 at ratio 2n/m."""
        return relu_residual(ENERGY, 32 / samples)

    def excess(self, n: int, samples: int, order: int) -> tuple[float, float]:
        """Relative difference of a free cumulant from the law's, with its standard error."""
        second, fourth = self.averages[n, samples].T
        values = second if order == 2 else fourth - 2 * second.mean() ** 2
        # the mean of the square enters through the mean alone: to first order its slope does
        slope = 0.0 if order == 2 else 4 * second.mean()
        error = (values - slope * second).std(ddof=1) / np.sqrt(values.size)
        theory = self.law(samples).free_cumulant(order)
        return float(values.mean()) / theory - 1, float(error) / theory

    def limit(self, samples: int, order: int) -> tuple[float, float]:
        """The same extrapolated to n -> infinity: weighted fit of a + b/n + c/n^2."""
        pairs = np.array([self.excess(n, samples, order) for n in self.config.widths])
        degree = min(2, len(pairs) - 1)
        steps = 1 / np.array(self.config.widths, dtype=np.float64)
        design = np.vander(steps, degree + 1, increasing=True) / pairs[:, 1:]
        covariance = np.linalg.inv(design.T @ design)
        value = covariance @ design.T @ (pairs[:, 0] / pairs[:, 1])
        return float(value[0]), float(np.sqrt(covariance[0, 0]))

    def density_error(self, samples: int) -> float:
        """L1 difference of the densities at the largest size, in 60 bins of equal width."""
        draws, law = self.sampled[self.largest, samples], self.law(samples)
        values = np.concatenate([draw.nodes for draw in draws])
        low, high = law.support()
        ends = np.linspace(low, high, 61)
        outside = float(((values < low) | (values > high)).mean())
        shares = np.histogram(values, ends)[0] / values.size
        return float(np.abs(shares - np.diff(law.cdf(ends))).sum()) + outside


def summarise(
    config: ResidualConfig, results: Sequence[Result]
) -> tuple[Findings, Mapping[str, AnyArray]]:
    """Charts, statements and tables of the runs."""
    runs = _Runs(config, results)
    findings = Findings(
        statements=_statements(runs),
        charts=(*(_chart(runs, m) for m in config.samples), _limit_chart(runs)),
        tables=(_table(runs),),
        notes=(
            "Protocol: 16 ReLU units, no biases, whitened 4 × 4 images, targets moved so that the "
            "residuals are N(0, 100) draws, energy ε = 50. Law: R(g) = εφg/(2 − ε φ² g²) (eq. 28) "
            "with φ = 2n/m. The captions of the source say φ = 1/16 and 1/4, which is n/m; its "
            "printed curves are those of φ = 1/8 and 1/2.",
            f"Larger networks have Gaussian data of the same ratios ({runs.what} each): the law is "
            "a limit, and a single n is off by order 1/n. For ReLU, H₁ falls apart into one block "
            "for each hidden unit; only without activation are the n blocks equal.",
            "The numbers that are extrapolated are averages over the Gaussian residuals, done "
            "exactly for each draw of data and weights; the table has those of the eigenvalues.",
        ),
    )
    arrays = {
        f"images_{m}": np.array([r["blocks"] for r in found]) for m, found in runs.real.items()
    } | {f"averages{n}_{m}": v for (n, m), v in runs.averages.items()}
    arrays |= {
        f"n{n}_{m}": np.array([d.nodes for d in draws]) for (n, m), draws in runs.sampled.items()
    }
    return findings, arrays


def _statements(runs: _Runs) -> tuple[Statement, ...]:
    samples, largest = runs.config.samples, runs.config.widths[-1]
    shown = runs.largest
    by_size = {n: [runs.excess(n, m, 2)[0] for m in samples] for n in runs.config.widths}
    n_for = min((n for n in by_size if n >= 64), default=largest)
    fourth = {n: [runs.excess(n, m, 4)[0] for m in samples] for n in runs.config.widths}
    limits = [runs.limit(m, 4) for m in samples]
    densities = [runs.density_error(m) for m in samples]
    errors = np.array([r["block_error"] for found in runs.real.values() for r in found])
    repeats = np.array([r["repeat_error"] for found in runs.real.values() for r in found])
    gaps = np.array([r["repeat_gap"] for found in runs.real.values() for r in found])
    ratios = " and ".join(digits(32 / m) for m in samples)
    return (
        judge(
            f"The variance of H₁ is εφ/2 within 2 % at n = {n_for}.",
            bool(max(map(abs, by_size[n_for])) < 0.02),
            f"relative difference {between(by_size[n_for], 2)} at n = {n_for}, "
            f"{between(by_size[runs.config.widths[0]], 2)} at n = {runs.config.widths[0]} (ratios "
            f"{ratios}, {runs.what} and more)",
        ),
        judge(
            f"The density is that of eq. 28 within 3 % (L1) at n = {shown}.",
            bool(max(densities) < 0.03),
            f"L1 difference in 60 bins {between(densities, 2)}, tails beyond the edges included",
        ),
        judge(
            "The fourth free cumulant is ε²φ³/4 within 5 % when extrapolated in 1/n.",
            bool(all(abs(value) < 0.05 for value, _ in limits)),
            "relative difference "
            + " and ".join(f"{digits(v, 2)} ± {digits(e, 1)}" for v, e in limits)
            + f" for n → ∞; {between(fourth[runs.config.widths[0]], 2)} at n = "
            f"{runs.config.widths[0]}, {between(fourth[largest], 2)} at n = {largest}",
        ),
        judge(
            "For ReLU the spectrum is ± the singular values of one block for each unit, exactly.",
            bool((errors < 1e-12).all()),
            f"largest difference from the dense matrix {digits(float(errors.max()), 1)} of the "
            f"largest eigenvalue, 512 eigenvalues, {errors.size} runs",
        ),
        judge(
            "Without activation every eigenvalue of H₁ is 16-fold degenerate, exactly.",
            bool((repeats < 1e-12).all() and (gaps > 1e-9).all()),
            f"spread within groups of 16 at most {digits(float(repeats.max()), 1)} of the largest "
            f"eigenvalue, groups apart by at least {digits(float(gaps.min()), 1)}",
        ),
    )


def _chart(runs: _Runs, samples: int) -> Chart:
    law = runs.law(samples)
    low, high = law.support()
    x = low + (high - low) * 0.5 * (1 - np.cos(np.linspace(0, np.pi, 241)))
    ends = np.linspace(1.3 * low, 1.3 * high, 53)
    n = runs.largest

    def series(label: str, rows: Sequence[FloatArray]) -> Series:
        table = np.array([np.histogram(v, ends)[0] / v.size for v in rows]) / (ends[1] - ends[0])
        error = table.std(axis=0, ddof=1) / np.sqrt(len(rows))
        return Series(
            label=label,
            x=0.5 * (ends[:-1] + ends[1:]),
            y=table.mean(axis=0),
            low=table.mean(axis=0) - error,
            high=table.mean(axis=0) + error,
            error=f"mean density in a bin, bars ± one standard error over {runs.what}",
            source="measured",
            mark="points",
        )

    return Chart(
        name=f"m{samples}",
        title=f"H₁ of a ReLU network with m = {samples} samples, φ = 2n/m = {digits(32 / samples)}",
        caption="Sixteen units are few: the tails reach beyond the edges and the middle is higher. "
        f"At n = {n} the law is met.",
        x_label="eigenvalue λ",
        y_label="density ρ(λ)",
        series=(
            series("16 units, images, measured", [r["blocks"] for r in runs.real[samples]]),
            series(
                f"{n} units, Gaussian data, measured",
                [d.nodes for d in runs.sampled[n, samples]],
            ),
            Series(label="eq. 28", x=x, y=law.pdf(x), error="exact", source="theory", mark="line"),
        ),
    )


def _limit_chart(runs: _Runs) -> Chart:
    widths = np.array(runs.config.widths, dtype=np.float64)
    series = []
    for hue, m in enumerate(runs.config.samples):
        pairs = np.array([runs.excess(n, m, 4) for n in runs.config.widths])
        value, error = runs.limit(m, 4)
        series.append(
            Series(
                label=f"φ = {digits(32 / m)}, measured; at 0 the extrapolation",
                x=np.concatenate([[0.0], 1 / widths[::-1]]),
                y=np.concatenate([[value], pairs[::-1, 0]]),
                low=np.concatenate([[value - error], (pairs[:, 0] - pairs[:, 1])[::-1]]),
                high=np.concatenate([[value + error], (pairs[:, 0] + pairs[:, 1])[::-1]]),
                error=f"bars ± one standard error over {runs.what}",
                source="measured",
                mark="both",
                nudge=3.0 * hue,
            )
        )
    return Chart(
        name="fourth-cumulant",
        title="The fourth free cumulant of H₁ against 1/n",
        caption="Relative difference from ε²φ³/4. It goes away as 1/n: a single size says little.",
        x_label="1/n",
        y_label="κ₄ / (ε²φ³/4) − 1",
        series=tuple(series),
    )


def _table(runs: _Runs) -> Table:
    rows: list[tuple[str | Number, ...]] = []

    def row(label: str, n: int, m: int, draws: list[Spectrum]) -> None:
        law = runs.law(m)
        values = [
            over([d.moment(2) / law.var() for d in draws], runs.what),
            over([cumulants(d).free[3] / law.free_cumulant(4) for d in draws], runs.what),
            over([d.nodes[-1] / law.support()[1] for d in draws], runs.what),
        ]
        rows.append((label, exact(n), exact(32 / m), *values))

    for m, found in runs.real.items():
        row("images", 16, m, [Spectrum.of(r["blocks"]) for r in found])
    for (n, m), draws in runs.sampled.items():
        row("Gaussian", n, m, draws)
    return Table(
        title="Measured over predicted",
        columns=("data", "n", "φ", "variance", "fourth free cumulant", "largest eigenvalue"),
        rows=tuple(rows),
        note="Each number is the measurement over what eq. 28 says of it; 1 is agreement.",
    )


EXPERIMENT = Experiment(
    name="pb-fig3",
    title="The residual part of a ReLU network against its law",
    shows="Eigenvalues of H₁ of ReLU networks whose residuals are overwritten by normal noise, "
    "beside eq. 28, and how the difference goes away with the width.",
    presets={
        "quick": ResidualConfig(),
        "paper": ResidualConfig(seeds=tuple(range(40)), shown=128),
    },
    seeds=lambda config: config.seeds,
    tasks=tasks,
    compute=compute,
    summarise=summarise,
)

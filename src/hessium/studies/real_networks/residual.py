"""Figure 3 of Pennington & Bahri (2017): H1 of a ReLU network with normal residuals, eq. 28."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hessium._typing import FloatArray
from hessium.compare import cumulants
from hessium.curvature import ResidualHessian
from hessium.estimate import spectrum
from hessium.figures.formatting import between, digits
from hessium.figures.records import OURS, Chart, Findings, Statement, Table, judge, over
from hessium.figures.views.repetitions import density, histogram, mean_and_stderr, with_stderr
from hessium.runs.experiment import Result, Task
from hessium.spectra import Spectrum
from hessium.studies.images import digest, small_images
from hessium.studies.real_networks.setting import plain_network, with_residuals
from hessium.studies.real_networks.unit_spectra import ENERGY, residual_averages, unit_spectrum
from hessium.studies.results import ResultTable
from hessium.studies.sources import pennington_bahri
from hessium.studies.study import Summary, repeated, study, table
from hessium.theory import LevyLaw, relu_residual


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
    """One draw for each ratio and seed with images, and for each width, ratio and seed without."""
    images = {"images": config.images, "file": digest(config.images)}
    real: list[Task] = [
        {"n": 16, "samples": m, "seed": seed, **images}
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
            # small networks vary more, and cost less
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
    on = x @ weights.T > 0
    if not task["images"]:
        moments = [residual_averages(x, on)]
        for _ in range(task["draws"] - 1):
            fresh, turn = rng.standard_normal((m, n)), rng.standard_normal((n, n))
            moments.append(residual_averages(fresh, fresh @ turn > 0))
        blocks = {"blocks": unit_spectrum(x, errors, on)} if task["eigenvalues"] else {}
        return {"moments": np.array(moments), **blocks}
    values = unit_spectrum(x, errors, on)
    dense = np.array(spectrum(ResidualHessian(with_residuals(network, x, errors))).nodes)
    linear = plain_network((n, n, n), "linear", rng)
    repeated = spectrum(ResidualHessian(with_residuals(linear, x, errors))).nodes
    groups = repeated.reshape(-1, n)  # ascending: equal eigenvalues are neighbours
    scale = np.abs(repeated).max()
    return {
        "blocks": values,
        "block_error": float(np.abs(dense - values).max() / np.abs(dense).max()),
        "repeat_error": float(np.ptp(groups, axis=1).max() / scale),
        "repeat_gap": float(np.diff(groups.mean(axis=1)).min() / scale),
    }


_MEASURED = "Measured over predicted"


class _Sampled:
    """Spectra with images by number of samples m, those with Gaussian data by (n, 16 m / n)."""

    def __init__(self, config: ResidualConfig, results: Sequence[Result]) -> None:
        self.config, self.what = config, repeated(config.seeds)
        runs = ResultTable.of(tasks(config), results)
        self.real = runs.select(images=config.images)
        self.images = {m: _spectra(self.real.select(samples=m)) for m in config.samples}
        self.gaussian: dict[tuple[int, int], list[Spectrum]] = {}
        self.averages: dict[tuple[int, int], FloatArray] = {}
        for n in config.widths:
            for m in config.samples:
                mine = runs.select(images="", n=n, samples=m * n // 16)
                self.averages[n, m] = np.concatenate([r["moments"] for r in mine])
                if n <= config.shown:
                    self.gaussian[n, m] = _spectra(mine)
        self.largest = max(n for n, _ in self.gaussian)

    def excess(self, n: int, samples: int, order: int) -> tuple[float, float]:
        """Relative difference of a free cumulant from the law's, with its standard error."""
        second, fourth = self.averages[n, samples].T
        values = second if order == 2 else fourth - 2 * second.mean() ** 2
        # the mean of the square enters through the mean alone: to first order its slope does
        slope = 0.0 if order == 2 else 4 * second.mean()
        error = (values - slope * second).std(ddof=1) / np.sqrt(values.size)
        theory = law(samples).free_cumulant(order)
        return float(values.mean()) / theory - 1, float(error) / theory

    def limit(self, samples: int, order: int) -> tuple[float, float]:
        """The same extrapolated to n -> infinity: weighted fit of a + b/n + c/n^2."""
        pairs = np.array([self.excess(n, samples, order) for n in self.config.widths])
        steps = 1 / np.array(self.config.widths, dtype=np.float64)
        design = np.vander(steps, min(3, len(pairs)), increasing=True) / pairs[:, 1:]
        covariance = np.linalg.inv(design.T @ design)
        value = covariance @ design.T @ (pairs[:, 0] / pairs[:, 1])
        return float(value[0]), float(np.sqrt(covariance[0, 0]))

    def density_error(self, samples: int) -> float:
        """L1 difference of the densities at the largest size, in 60 bins of equal width."""
        values = np.concatenate([d.nodes for d in self.gaussian[self.largest, samples]])
        low, high = law(samples).support()
        edges = np.linspace(low, high, 61)
        outside = float(((values < low) | (values > high)).mean())
        shares = np.histogram(values, edges)[0] / values.size
        return float(np.abs(shares - np.diff(law(samples).cdf(edges))).sum()) + outside


def law(samples: int) -> LevyLaw:
    """Eq. 28 at the ratio of 16 units, 32 / samples."""
    return relu_residual(ENERGY, 32 / samples)


def _spectra(runs: ResultTable) -> list[Spectrum]:
    return [Spectrum.of(result["blocks"]) for result in runs]


def summarise(config: ResidualConfig, results: Sequence[Result]) -> Summary:
    """Charts, statements and tables of the runs."""
    runs = _Sampled(config, results)
    findings = Findings(
        statements=_statements(runs),
        charts=(*(_chart(runs, m) for m in config.samples), _limit_chart(runs)),
        tables=(_table(runs),),
        notes=(
            "Protocol: 16 ReLU units, no biases, whitened 4 × 4 images, targets moved so that the "
            "residuals are N(0, 100) draws, energy ε = 50. Law: R(g) = εφg/(2 − ε φ² g²) (eq. 28) "
            "with φ = 2n/m. The captions of Pennington & Bahri (2017) say φ = 1/16 and 1/4, which "
            "is n/m; their printed curves are those of φ = 1/8 and 1/2.",
            f"Larger networks have Gaussian data of the same ratios ({runs.what} each): the law is "
            "a limit, and a single n is off by order 1/n. With ReLU, H₁ has one block for each "
            "hidden unit; only without activation are the n blocks equal.",
            "The numbers that are extrapolated are exact averages over the Gaussian residuals for "
            "each draw of data and weights; the table has those of the eigenvalues.",
        ),
    )
    return findings, {
        **{f"images_{m}": np.array([d.nodes for d in draws]) for m, draws in runs.images.items()},
        **{f"averages{n}_{m}": v for (n, m), v in runs.averages.items()},
        **{f"n{n}_{m}": np.array([d.nodes for d in v]) for (n, m), v in runs.gaussian.items()},
    }


def _statements(runs: _Sampled) -> tuple[Statement, ...]:
    samples, widths = runs.config.samples, runs.config.widths
    second, fourth = (
        {n: [runs.excess(n, m, order)[0] for m in samples] for n in widths} for order in (2, 4)
    )
    first, largest = widths[0], widths[-1]
    middle = min((n for n in widths if n >= 64), default=largest)
    limits = [runs.limit(m, 4) for m in samples]
    densities = [runs.density_error(m) for m in samples]
    errors, repeats, gaps = (
        runs.real.column(name) for name in ("block_error", "repeat_error", "repeat_gap")
    )
    return (
        judge(
            f"The variance of H₁ is εφ/2 within 2 % at n = {middle}.",
            bool(max(map(abs, second[middle])) < 0.02),
            f"relative difference {between(second[middle], 2)} at n = {middle}, "
            f"{between(second[first], 2)} at n = {first} (ratios "
            f"{' and '.join(digits(32 / m) for m in samples)}, {runs.what} and more)",
            origin=pennington_bahri("section 6, eq. 28"),
            shown=_MEASURED,
        ),
        judge(
            f"The density is that of eq. 28 within 3 % (L1) at n = {runs.largest}.",
            bool(max(densities) < 0.03),
            f"L1 difference in 60 bins {between(densities, 2)}, tails beyond the edges included",
            origin=pennington_bahri("section 6, eq. 28, figure 3"),
            shown=f"m{samples[0]}",
        ),
        judge(
            "The fourth free cumulant is ε²φ³/4 within 5 % when extrapolated in 1/n.",
            bool(all(abs(value) < 0.05 for value, _ in limits)),
            "relative difference "
            + " and ".join(f"{digits(v, 2)} ± {digits(e, 1)}" for v, e in limits)
            + f" for n → ∞; {between(fourth[first], 2)} at n = {first}, "
            f"{between(fourth[largest], 2)} at n = {largest}",
            origin=pennington_bahri("section 6, eq. 28"),
            shown="fourth-cumulant",
        ),
        judge(
            "For ReLU the spectrum is ± the singular values of one block for each unit, exactly.",
            bool((errors < 1e-12).all()),
            f"largest difference from the dense matrix {digits(errors.max(), 1)} of the "
            f"largest eigenvalue, 512 eigenvalues, {errors.size} runs",
            origin=pennington_bahri("section 6, eq. 23"),
            shown=_MEASURED,
        ),
        judge(
            "Without activation every eigenvalue of H₁ is 16-fold degenerate, exactly.",
            bool((repeats < 1e-12).all() and (gaps > 1e-9).all()),
            f"spread within groups of 16 at most {digits(repeats.max(), 1)} of the largest "
            f"eigenvalue, groups apart by at least {digits(gaps.min(), 1)}",
            origin=OURS,
            shown=_MEASURED,
        ),
    )


def _chart(runs: _Sampled, samples: int) -> Chart:
    low, high = law(samples).support()
    edges, n = np.linspace(1.3 * low, 1.3 * high, 53), runs.largest
    points = []
    for label, draws in (
        ("16 units, images, measured", runs.images[samples]),
        (f"{n} units, Gaussian data, measured", runs.gaussian[n, samples]),
    ):
        x, densities = histogram([d.nodes for d in draws], edges)
        error = f"mean density in a bin, bars ± one standard error over {runs.what}"
        points.append(with_stderr(label, x, *mean_and_stderr(densities), error=error))
    return Chart(
        name=f"m{samples}",
        title=f"H₁ of a ReLU network with m = {samples} samples, φ = 2n/m = {digits(32 / samples)}",
        caption="Sixteen units are few: the tails reach beyond the edges and the middle is higher. "
        f"At n = {n} the density is that of the law.",
        x_label="eigenvalue λ",
        y_label="density ρ(λ)",
        series=(*points, density("eq. 28", law(samples))),
    )


def _limit_chart(runs: _Sampled) -> Chart:
    widths = np.array(runs.config.widths, dtype=np.float64)
    series = []
    for k, m in enumerate(runs.config.samples):
        pairs = [runs.limit(m, 4), *(runs.excess(n, m, 4) for n in reversed(runs.config.widths))]
        series.append(
            with_stderr(
                f"φ = {digits(32 / m)}, measured; at 0 the extrapolation",
                np.concatenate([[0.0], 1 / widths[::-1]]),
                *np.array(pairs).T,
                error=f"bars ± one standard error over {runs.what}",
                mark="both",
                nudge=3.0 * k,
            )
        )
    return Chart(
        name="fourth-cumulant",
        title="The fourth free cumulant of H₁ against 1/n",
        caption="Relative difference from ε²φ³/4. It vanishes as 1/n, so one "
        "size alone says little about the limit.",
        x_label="1/n",
        y_label="κ₄ / (ε²φ³/4) − 1",
        series=tuple(series),
    )


def _table(runs: _Sampled) -> Table:
    cases = [
        *(("images", 16, m, draws) for m, draws in runs.images.items()),
        *(("Gaussian", n, m, draws) for (n, m), draws in runs.gaussian.items()),
    ]
    return table(
        _MEASURED,
        ("data", "n", "φ", "variance", "fourth free cumulant", "largest eigenvalue"),
        (
            (
                label,
                n,
                32 / m,
                over([d.moment(2) / law(m).var() for d in draws], runs.what),
                over([cumulants(d).free[3] / law(m).free_cumulant(4) for d in draws], runs.what),
                over([d.nodes[-1] / law(m).support()[1] for d in draws], runs.what),
            )
            for label, n, m, draws in cases
        ),
        "Each number is the measurement over what eq. 28 says of it; 1 is agreement.",
    )


EXPERIMENT = study(
    "pb-fig3",
    "The residual part of a ReLU network against its law",
    quick=ResidualConfig(),
    paper=ResidualConfig(seeds=tuple(range(40)), shown=128),
    tasks=tasks,
    compute=compute,
    summarise=summarise,
)

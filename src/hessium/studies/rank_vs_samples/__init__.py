"""The figure of the first source: rank of the Hessian against the number of samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from hessium._typing import AnyArray
from hessium.figures.records import Findings
from hessium.runs.experiment import Experiment, Result
from hessium.studies.rank_vs_samples.charts import charts
from hessium.studies.rank_vs_samples.compute import RankConfig, compute, tasks
from hessium.studies.rank_vs_samples.runs import Runs
from hessium.studies.rank_vs_samples.statements import statements, table


def summarise(
    config: RankConfig, results: Sequence[Result]
) -> tuple[Findings, Mapping[str, AnyArray]]:
    """Charts, statements and tables of the runs."""
    runs = Runs(config, results)
    findings = Findings(
        statements=statements(runs),
        charts=charts(runs),
        tables=(table(runs),),
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

"""The figure of the ADCME tutorial: rank of the Hessian against the number of samples."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hessium._typing import AnyArray, FloatArray
from hessium.figures.records import Findings, over
from hessium.runs.experiment import Result
from hessium.studies.eigenvalue_counts import negative, positive_of
from hessium.studies.rank_vs_samples.charts import charts
from hessium.studies.rank_vs_samples.compute import RankConfig, compute, tasks
from hessium.studies.rank_vs_samples.statements import COUNTS, statements
from hessium.studies.results import ResultTable
from hessium.studies.study import Summary, repeated, study, table

_MATRICES = ("hessian", "gauss_newton", "gram")
_WHEN = ("start", "end")


def measured_arrays(config: RankConfig, results: Sequence[Result]) -> dict[str, AnyArray]:
    """Counts at the config's threshold and other numbers, shape (seeds, sizes).

    Spectra are those at the largest number of samples over their largest absolute eigenvalue, in
    descending order, shape (seeds, n).
    """
    runs, tol, largest = ResultTable.of(tasks(config), results), config.tol, max(config.sizes)
    axes = {"seed": config.seeds, "samples": config.sizes}

    def relative(name: str, size: int) -> FloatArray:
        return runs.grid(
            lambda r: r[name][::-1] / np.abs(r[name]).max(), seed=config.seeds, samples=(size,)
        )[:, 0]

    arrays: dict[str, AnyArray] = {"sizes": np.array(config.sizes), "seeds": np.array(config.seeds)}
    for when in _WHEN:
        for matrix in _MATRICES:
            name = f"{when}_{matrix}"
            arrays[f"rank_{matrix}_{when}"] = runs.grid(positive_of(name, tol), **axes)
            if matrix != "gram":
                arrays[f"spectrum_{matrix}_{when}"] = relative(name, largest)
    arrays["negative_hessian_start"] = runs.grid(
        lambda r: negative(r["start_hessian"], tol), **axes
    )
    for name in ("loss", "end_residual_share", "iterations"):
        arrays[name] = runs.grid(name, **axes)
    arrays["gram_difference"] = np.array(
        [
            np.abs(relative("end_gauss_newton", n)[:, :n] - relative("end_gram", n)).max()
            for n in config.sizes
        ]
    )
    return arrays


def summarise(config: RankConfig, results: Sequence[Result]) -> Summary:
    """Charts, statements and tables of the runs."""
    arrays, what = measured_arrays(config, results), repeated(config.seeds)
    columns = (
        ("H", "rank_hessian_end", 3),
        ("H₀", "rank_gauss_newton_end", 3),
        ("Gram", "rank_gram_end", 3),
        ("H at initialisation, positive", "rank_hessian_start", 3),
        ("H at initialisation, negative", "negative_hessian_start", 3),
        ("H₀ at initialisation", "rank_gauss_newton_start", 3),
        ("Gram at initialisation", "rank_gram_start", 3),
        ("loss", "loss", 2),
        ("‖H−H₀‖/‖H‖", "end_residual_share", 2),
        ("L-BFGS-B iterations", "iterations", 3),
    )
    findings = Findings(
        statements=statements(arrays, what),
        charts=charts(config, arrays, what),
        tables=(
            table(
                COUNTS,
                ("|I|", *(head for head, _, _ in columns)),
                (
                    (size, *(over(arrays[of][:, i], what, digits) for _, of, digits in columns))
                    for i, size in enumerate(config.sizes)
                ),
                "After training, unless the column says otherwise.",
            ),
        ),
        notes=(
            "Protocol: y = sin πx, x on 100 points of [0, 1]; |I| of them, linearly spaced, "
            "endpoints left out; tanh network 1-20-20-20-1 (901 parameters), weights "
            "N(0, 1/fan-in), biases 0; L(θ) = Σᵢ (f(xᵢ, θ) − yᵢ)², no ½ and no 1/m; L-BFGS-B with "
            "ftol = gtol = 10⁻¹²; float64; exact dense Hessian, all eigenvalues. Rounding moves an "
            "eigenvalue by about 3×10⁻¹⁴ of the largest, so it changes no count down to 10⁻¹².",
            "H = H₀ + H₁ with H₀ = 2 Σᵢ ∇fᵢ∇fᵢᵀ (Gauss-Newton; the ADCME tutorial drops the 2) and "
            "H₁ = 2 Σᵢ (fᵢ − yᵢ) ∇²fᵢ. The theorem rank ≤ |I| is about H₀; H obeys it where H₁ is "
            "negligible.",
            "The seeds are NumPy's; the published ones are Julia's, so the same seed means other "
            "weights. Published points are read off the figure.",
        ),
    )
    return findings, arrays


EXPERIMENT = study(
    "rank-vs-samples",
    "How many directions do the data determine?",
    quick=RankConfig(seeds=(2, 23, 233)),
    paper=RankConfig(seeds=(2, 23, 233, 2333, 23333, *range(15))),
    tasks=tasks,
    compute=compute,
    summarise=summarise,
)

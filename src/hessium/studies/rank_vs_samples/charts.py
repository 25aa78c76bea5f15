"""Rank, the two matrices, the spectrum and the threshold, each in a chart."""

from __future__ import annotations

import dataclasses

import numpy as np

from hessium.figures.records import Chart, Series, measured
from hessium.figures.views.repetitions import curve, level, published
from hessium.studies.eigenvalue_counts import positive_at
from hessium.studies.published import column_table
from hessium.studies.rank_vs_samples.compute import RankConfig
from hessium.studies.study import Arrays

TOLS = tuple(10.0**-k for k in range(3, 13))
TICKS = (1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0, 90.0)
SAMPLES = "number of samples |I|"
_SHOWN = 14


def _timed(of: str, series: Series) -> Series:
    """Hollow markers at initialisation, filled ones after training."""
    return dataclasses.replace(series, hollow=of.endswith("_start"))


def _identity(upto: int) -> Series:
    x = np.arange(1.0, upto + 1)
    return curve("rank = |I|", x, x)


def charts(config: RankConfig, arrays: Arrays, what: str) -> tuple[Chart, ...]:
    """All charts of the study."""
    sizes, largest, table = arrays["sizes"], max(config.sizes), column_table("adcme_hessian_rank")
    seeds = np.unique(table["seed"])
    places = np.arange(1.0, _SHOWN + 1)

    def counts(label: str, of: str, nudge: float = 0.0) -> Series:
        return _timed(of, measured(label, sizes, arrays[of], what=what, nudge=nudge))

    def spectrum(label: str, of: str, nudge: float = 0.0) -> Series:
        shown = arrays[of][:, :_SHOWN]
        return _timed(of, measured(label, places, shown, what=what, nudge=nudge))

    def profile(label: str, of: str, nudge: float = 0.0) -> Series:
        found = [positive_at(row, TOLS) for row in arrays[of]]
        return _timed(of, measured(label, TOLS, found, what=what, nudge=nudge))

    return (
        Chart(
            name="rank",
            title="Rank of the Hessian after training",
            caption="Up to five samples every sample adds one to the rank; then it stays at 5 to "
            "7, here and in the ADCME tutorial.",
            x_label=SAMPLES,
            y_label="eigenvalues above 10⁻⁶ of the largest",
            x_scale="log",
            x_ticks=TICKS,
            series=(
                counts(f"H after training, measured ({what})", "rank_hessian_end"),
                *(
                    published(
                        f"published: ADCME.jl documentation, seed {seed:.0f}",
                        table["num_samples"][table["seed"] == seed],
                        table["positive_eigenvalues"][table["seed"] == seed],
                        nudge=nudge,
                    )
                    for seed, nudge in zip(seeds, (-4.0, 4.0, 8.0), strict=True)
                ),
                _identity(7),
            ),
        ),
        Chart(
            name="start",
            title="The bound rank ≤ |I| is about H₀, not about H",
            caption="At initialisation residuals are large: the exact Hessian of a single sample "
            "has dozens of positive and of negative eigenvalues. H₀ obeys the bound at "
            "initialisation and after training. The Gram matrix of the samples gives the same "
            "counts (see the table).",
            x_label=SAMPLES,
            y_label="eigenvalues beyond 10⁻⁶ of the largest",
            x_scale="log",
            y_scale="log",
            x_ticks=TICKS,
            y_ticks=(1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0),
            series=(
                counts("H at initialisation, positive, measured", "rank_hessian_start"),
                counts("H at initialisation, negative, measured", "negative_hessian_start", 3.0),
                counts("H₀ at initialisation, measured", "rank_gauss_newton_start"),
                counts("H₀ after training, measured", "rank_gauss_newton_end", 3.0),
                _identity(90),
            ),
        ),
        Chart(
            name="spectrum",
            title=f"The spectrum has no edge at the threshold (|I| = {largest})",
            caption="Eigenvalues of H and H₀ after training over the largest one, in descending "
            "order. They fall about tenfold per index: the plateau is where the spectrum crosses "
            "the threshold. Below 3×10⁻¹⁴ the eigenvalues are rounding errors.",
            x_label="eigenvalue index, sorted by magnitude",
            y_label="eigenvalue / largest eigenvalue",
            y_scale="log",
            x_ticks=tuple(float(i) for i in range(2, _SHOWN + 1, 2)),
            series=(
                spectrum("H₀ after training, measured", "spectrum_gauss_newton_end"),
                spectrum("H after training, measured", "spectrum_hessian_end", 3.0),
                level(
                    "threshold of the ADCME tutorial, 10⁻⁶",
                    places,
                    config.tol,
                    error="none, a chosen value",
                ),
            ),
        ),
        Chart(
            name="threshold",
            title=f"The plateau moves with the threshold (|I| = {largest})",
            caption="Positive eigenvalues counted above tol times the largest. H₀ gains about one "
            "per decade; H departs from it where tol falls below ‖H₁‖/‖H‖.",
            x_label="tol, fraction of the largest eigenvalue",
            y_label="positive eigenvalues above tol",
            x_scale="log",
            y_scale="log",
            x_ticks=TOLS[::3],
            y_ticks=(2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0),
            series=(
                profile("H₀ after training, measured", "spectrum_gauss_newton_end"),
                profile("H after training, measured", "spectrum_hessian_end", 3.0),
                profile("H₀ at initialisation, measured", "spectrum_gauss_newton_start", -3.0),
                profile("H at initialisation, measured", "spectrum_hessian_start"),
            ),
        ),
    )

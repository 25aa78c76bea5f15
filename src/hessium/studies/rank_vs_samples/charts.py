"""The four figures."""

from __future__ import annotations

import numpy as np

from hessium.figures.records import Chart, Series, measured
from hessium.studies.eigenvalue_counts import positive_at
from hessium.studies.rank_vs_samples.runs import Runs, published

TOLS = tuple(10.0**-k for k in range(3, 13))
TICKS = (1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0, 90.0)
SAMPLES = "number of samples |I|"
_SHOWN = 14


def charts(runs: Runs) -> tuple[Chart, ...]:
    """Rank, the two matrices, the spectrum, the threshold."""
    return (_rank_chart(runs), _matrices_chart(runs), _spectrum_chart(runs), _tol_chart(runs))


def _identity(upto: int) -> Series:
    x = np.arange(1.0, upto + 1)
    return Series(label="rank = |I|", x=x, y=x, error="exact", source="theory", mark="line")


def _rank_chart(runs: Runs) -> Chart:
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


def _matrices_chart(runs: Runs) -> Chart:
    def line(label: str, of: str, count: str = "positive", nudge: float = 0.0) -> Series:
        return measured(label, runs.sizes, runs.table(of, count), what=runs.what, nudge=nudge)

    return Chart(
        name="start",
        title="The bound rank ≤ |I| is about H₀, not about H",
        caption=(
            "At the start residuals are large: the exact Hessian of a single sample has dozens of "
            "positive and of negative eigenvalues. H₀ obeys the bound at initialisation and after "
            "training. The Gram matrix of the samples gives the same counts (see the table)."
        ),
        x_label=SAMPLES,
        y_label="eigenvalues beyond 10⁻⁶ of the largest",
        x_scale="log",
        y_scale="log",
        x_ticks=TICKS,
        y_ticks=(1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0),
        series=(
            line("H at initialisation, positive, measured", "start_hessian"),
            line("H at initialisation, negative, measured", "start_hessian", "negative", 3.0),
            line("H₀ at initialisation, measured", "start_gauss_newton"),
            line("H₀ after training, measured", "end_gauss_newton", nudge=3.0),
            _identity(90),
        ),
    )


def _spectrum_chart(runs: Runs) -> Chart:
    largest = int(runs.sizes.max())
    index = np.arange(1.0, _SHOWN + 1)
    h, h0 = (runs.spectra(of, largest)[:, :_SHOWN] for of in ("end_hessian", "end_gauss_newton"))
    cut = Series(
        label="threshold of the source, 10⁻⁶",
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
            "They fall about tenfold per index: the plateau is where the threshold crosses this "
            "line. Below 3×10⁻¹⁴ rounding decides."
        ),
        x_label="eigenvalue index, sorted by magnitude",
        y_label="eigenvalue / largest eigenvalue",
        y_scale="log",
        x_ticks=tuple(float(i) for i in range(2, _SHOWN + 1, 2)),
        series=(
            measured("H₀ after training, measured", index, h0, what=runs.what),
            measured("H after training, measured", index, h, what=runs.what, nudge=3.0),
            cut,
        ),
    )


def _tol_chart(runs: Runs) -> Chart:
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
            ("H₀ at initialisation, measured", "start_gauss_newton", -3.0),
            ("H at initialisation, measured", "start_hessian", 0.0),
        )
    )
    return Chart(
        name="threshold",
        title=f"The plateau moves with the threshold (|I| = {largest})",
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

"""Statements and the table, made from the numbers."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from hessium._typing import FloatArray
from hessium.figures.formatting import between, digits
from hessium.figures.records import Number, Statement, Table, exact, judge, over
from hessium.studies.eigenvalue_counts import positive
from hessium.studies.rank_vs_samples.runs import Runs, published


def statements(runs: Runs) -> tuple[Statement, ...]:
    """What holds and what does not."""
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
            "rank(H₀) ≤ |I|, at initialisation and after training.",
            bool((h0 <= sizes).all()),
            f"true in {int((h0 <= sizes).sum())} of {h0.size} spectra",
        ),
        _gram(runs),
    )


def _agreement(runs: Runs, trained: FloatArray) -> Statement:
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


def _cut_off(runs: Runs) -> tuple[Statement, Statement]:
    largest = int(runs.sizes.max())
    spectra = runs.spectra("end_gauss_newton", largest)
    per_index = [np.exp(-np.polyfit(np.arange(8), np.log(row[:8]), 1)[0]) for row in spectra]
    levels = (1e-4, 1e-6, 1e-8, 1e-10)
    steps = {tol: np.array([positive(row, tol) for row in spectra]) for tol in levels}
    words = ", ".join(f"{between(counts)} at {digits(tol)}" for tol, counts in steps.items())
    medians = [float(np.median(counts)) for counts in steps.values()]
    return (
        judge(
            "The plateau is a property of the threshold, not of the network: it moves with tol.",
            all(b > a for a, b in pairwise(medians)),
            f"rank of H₀ at |I| = {largest}: {words}",
        ),
        judge(
            "The eigenvalues of H₀ fall about tenfold per index (between 5 and 20).",
            bool(min(per_index) >= 5 and max(per_index) <= 20),
            f"factor per index over the first 8, fitted: {between(per_index)} over {runs.what}",
        ),
    )


def _bound_at_start(runs: Runs, start: FloatArray) -> Statement:
    minus = runs.table("start_hessian", "negative")
    first = int(np.argmin(runs.sizes))
    return judge(
        "rank(H) ≤ |I| for the exact Hessian at initialisation.",
        bool((start + minus <= runs.sizes).all()),
        f"with |I| = {runs.sizes[first]} it has "
        f"{between(start[:, first])} positive and "
        f"{between(minus[:, first])} negative eigenvalues "
        "beyond 10⁻⁶ of the largest",
    )


def _gram(runs: Runs) -> Statement:
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


def table(runs: Runs) -> Table:
    """Medians and ranges by number of samples."""
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

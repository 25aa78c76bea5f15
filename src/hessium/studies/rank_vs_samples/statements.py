"""Statements of the rank study, made from its arrays."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from hessium.figures.formatting import between, digits
from hessium.figures.records import CONTROL, OURS, Statement, judge
from hessium.studies.eigenvalue_counts import positive
from hessium.studies.published import column_table
from hessium.studies.sources import adcme
from hessium.studies.study import Arrays

COUNTS = "Counts at tol 10⁻⁶, by number of samples"
"""Title of the table of the study."""

_TOLS = (1e-4, 1e-6, 1e-8, 1e-10)


def statements(arrays: Arrays, what: str) -> tuple[Statement, ...]:
    """What holds and what does not."""
    sizes, trained = arrays["sizes"], arrays["rank_hessian_end"]
    start, minus = arrays["rank_hessian_start"], arrays["negative_hessian_start"]
    h0 = np.stack([arrays["rank_gauss_newton_start"], arrays["rank_gauss_newton_end"]])
    few, first = sizes <= 5, int(np.argmin(sizes))
    hits, plateau = trained[:, few] == sizes[few], trained[:, ~few]
    same = arrays["rank_gauss_newton_end"] == arrays["rank_gram_end"]
    worst = float(arrays["gram_difference"].max())
    return (
        judge(
            "With up to 5 samples the rank of the trained Hessian is the number of samples.",
            bool(hits.all()) if few.any() else None,
            f"true in {int(hits.sum())} of {hits.size} runs",
            origin=adcme("last paragraph and figure"),
            shown="rank",
        ),
        judge(
            "From 6 samples on the rank stays at 5 to 7.",
            bool(((plateau >= 5) & (plateau <= 7)).all()) if plateau.size else None,
            f"least {plateau.min():.0f}, greatest {plateau.max():.0f} in {plateau.size} runs"
            if plateau.size
            else "no run with 6 samples or more",
            origin=adcme("last paragraph and figure"),
            shown="rank",
        ),
        _agreement(arrays),
        *_threshold(arrays, what),
        judge(
            "rank(H) ≤ |I| for the exact Hessian after training.",
            bool((trained <= sizes).all()),
            f"true in {int((trained <= sizes).sum())} of {trained.size} runs at tol 10⁻⁶, where "
            f"‖H−H₀‖/‖H‖ is at most {digits(arrays['end_residual_share'].max(), 1)}",
            origin=adcme("corollary after eq. 2"),
            shown="rank",
        ),
        judge(
            "rank(H) ≤ |I| for the exact Hessian at initialisation.",
            bool((start + minus <= sizes).all()),
            f"with |I| = {sizes[first]} it has {between(start[:, first])} positive and "
            f"{between(minus[:, first])} negative eigenvalues beyond 10⁻⁶ of the largest",
            origin=adcme("corollary after eq. 2"),
            shown="start",
            reason="The corollary is about H₀, the Hessian of the linearised network. At "
            "initialisation residuals are large, and H₁ adds eigenvalues of both signs.",
        ),
        judge(
            "rank(H₀) ≤ |I|, at initialisation and after training.",
            bool((h0 <= sizes).all()),
            f"true in {int((h0 <= sizes).sum())} of {h0.size} spectra",
            origin=adcme("corollary after eq. 2"),
            shown="start",
        ),
        judge(
            "The Gram matrix of the samples has the non-zero spectrum of H₀.",
            bool(same.all()) and worst < 1e-12,
            f"equal counts in {int(same.sum())} of {same.size} runs; eigenvalues differ by at most "
            f"{digits(worst, 1)} of the largest",
            origin=CONTROL,
            shown=COUNTS,
        ),
    )


def _agreement(arrays: Arrays) -> Statement:
    table = column_table("adcme_hessian_rank")
    seeds = np.unique(table["seed"])
    shared = within = 0
    for size, ours in zip(arrays["sizes"], arrays["rank_hessian_end"].T, strict=True):
        theirs = table["positive_eigenvalues"][table["num_samples"] == size]
        if theirs.size == seeds.size:
            shared += 1
            within += bool(theirs.min() <= ours.max() and theirs.max() >= ours.min())
    return judge(
        "The counts agree with the published ones.",
        within == shared if shared else None,
        f"the ranges over seeds, ours and theirs, overlap at {within} of {shared} sizes",
        origin=CONTROL,
        shown="rank",
    )


def _threshold(arrays: Arrays, what: str) -> tuple[Statement, Statement]:
    spectra = arrays["spectrum_gauss_newton_end"]
    per_index = [np.exp(-np.polyfit(np.arange(8), np.log(row[:8]), 1)[0]) for row in spectra]
    counts = {tol: np.array([positive(row, tol) for row in spectra]) for tol in _TOLS}
    words = ", ".join(f"{between(found)} at {digits(tol)}" for tol, found in counts.items())
    medians = [float(np.median(found)) for found in counts.values()]
    return (
        judge(
            "The plateau is a property of the threshold, not of the network: it moves with tol.",
            all(b > a for a, b in pairwise(medians)),
            f"rank of H₀ at |I| = {max(arrays['sizes'])}: {words}",
            origin=OURS,
            shown="threshold",
        ),
        judge(
            "The eigenvalues of H₀ fall about tenfold per index (between 5 and 20).",
            bool(min(per_index) >= 5 and max(per_index) <= 20),
            f"factor per index over the first 8, fitted: {between(per_index)} over {what}",
            origin=OURS,
            shown="spectrum",
        ),
    )

"""Numbers of eigenvalues and rank profiles as charts."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hessium._typing import IntArray
from hessium.figures.formatting import digits
from hessium.figures.records import Chart, Series
from hessium.spectra import Count, Inertia, RankProfile


def count_chart(count: Count, *, label: str = "") -> Chart:
    """A number of eigenvalues with its bracket."""
    return counts_chart({label or count.what or "eigenvalues": count}, repr(count))


def inertia_chart(inertia: Inertia) -> Chart:
    """Numbers of negative, zero and positive eigenvalues with their brackets."""
    parts = {name: getattr(inertia, name) for name in ("negative", "zero", "positive")}
    threshold = f"Eigenvalues by sign, |λ| ≤ {digits(inertia.threshold)} is zero"
    return counts_chart(parts, threshold)


def counts_chart(counts: Mapping[str, Count], title: str) -> Chart:
    """Numbers of eigenvalues with their brackets, side by side."""
    return Chart(
        name="counts",
        title=title,
        caption=title,
        x_label="",
        y_label="number of eigenvalues",
        x_ticks=(0.0,),
        series=tuple(
            Series(
                label=f"{name}: {count.bracket}",
                x=np.array([float(position)]),
                y=np.array([float(count.value)]),
                low=np.array([float(count.lower)]),
                high=np.array([float(count.upper)]),
                error="bracket",
                source="measured",
                mark="points",
            )
            for position, (name, count) in enumerate(counts.items(), 1)
        ),
    )


def rank_profile_chart(profile: RankProfile, *, label: str = "rank") -> Chart:
    """Rank, and eigenvalues of either sign, over the threshold."""
    x = profile.tol[profile.tol > 0]
    kept = slice(0, x.size)

    def of(name: str, y: IntArray, hue: int, *, bracket: bool = False) -> Series:
        return Series(
            label=name,
            x=x,
            y=np.asarray(y[kept], dtype=np.float64),
            low=np.asarray(profile.lower[kept], dtype=np.float64) if bracket else None,
            high=np.asarray(profile.upper[kept], dtype=np.float64) if bracket else None,
            error="bracket" if bracket else "see the rank",
            source="measured",
            mark="line",
            hue=hue,
        )

    return Chart(
        name="rank-profile",
        title="Number of eigenvalues beyond a threshold",
        caption=repr(profile),
        x_label="threshold / largest |eigenvalue|",
        y_label=f"eigenvalues of {profile.dim}",
        x_scale="log",
        series=(
            of(label, profile.rank, 0, bracket=True),
            *(
                [of("positive", profile.positive, 1), of("negative", profile.negative, 2)]
                if profile.negative.any()
                else []
            ),
        ),
    )

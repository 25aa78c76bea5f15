"""The index with the variance that the residual part of a linear network has."""

from __future__ import annotations

import numpy as np

from hessium.figures.formatting import digits
from hessium.figures.records import Chart
from hessium.figures.views.repetitions import curve
from hessium.theory import index, wigner_energy


def network_chart(ratios: tuple[float, ...]) -> Chart:
    """Index against energy with the printed variance and with that of a network."""
    energy = np.geomspace(1e-3, 10, 61)
    series = []
    for hue, ratio in enumerate(ratios):
        for label, effective in (
            ("variance 2ε as printed", energy),
            ("variance εφ of a network", wigner_energy(energy, ratio)),
        ):
            found = index(effective, ratio)
            series.append(curve(f"{label}, φ = {digits(ratio)}", energy, found, hue=hue))
    return Chart(
        name="index-network",
        title="The index with the variance that H₁ of a linear network has",
        caption="The same curves, shifted by a factor 2/φ in the energy.",
        x_label="energy ε = L / n",
        y_label="index α",
        x_scale="log",
        series=tuple(series),
    )

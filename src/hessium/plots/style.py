"""One look for all figures: colours that colour-blind readers tell apart, on light and dark."""

from __future__ import annotations

from typing import Any

INK = "#010203"
"""Stands for the colour of the text around a figure."""

DARK_INK = "#e4e7ea"
"""The colour of text on a dark background."""

FAINT = "#040506"
"""Stands for the colour of grid lines."""

# Okabe and Ito (2008), ordered by contrast; the second of each pair is for dark pages
PALETTE = (
    ("#0072b2", "#56b4e9"),
    ("#d55e00", "#f08a3c"),
    ("#007a5a", "#2fc79c"),
    ("#a8487f", "#e39bc5"),
    ("#8a6d00", "#f0c73a"),
    ("#5b5b5b", "#b5b5b5"),
)
MARKERS = ("o", "s", "^", "D", "v", "P")
DASHES = ("--", ":", "-.", (0, (6, 2, 1, 2, 1, 2)))

# typed loosely: the stubs spell out every key of every release
RC: Any = {
    "text.parse_math": False,  # a dollar in a label is a dollar
    "font.family": "DejaVu Sans",
    "font.size": 10.0,
    "axes.titlesize": 10.0,
    "axes.labelsize": 10.0,
    "legend.fontsize": 10.0,
    "xtick.labelsize": 9.5,
    "ytick.labelsize": 9.5,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "lines.linewidth": 1.5,
    "lines.markersize": 4.5,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "svg.fonttype": "none",
    "svg.hashsalt": "hessium",
}

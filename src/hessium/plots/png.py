"""A figure as PNG, which has no page around it: dark ink on white."""

from __future__ import annotations

import io

import matplotlib as mpl
from matplotlib.figure import Figure

from hessium.plots.style import RC


def to_png(figure: Figure, dpi: float = 200.0) -> bytes:
    """The figure as PNG; its grid lines become light grey."""
    buffer = io.BytesIO()
    with mpl.rc_context(RC):
        for axes in figure.axes:
            for line in (*axes.get_xgridlines(), *axes.get_ygridlines()):
                line.set_color("#d5d8dc")
        figure.savefig(buffer, format="png", dpi=dpi, facecolor="white")
    return buffer.getvalue()

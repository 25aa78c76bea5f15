"""A figure as PNG or PDF, which has no page around it: dark ink on white."""

from __future__ import annotations

import io
from typing import Any, Literal, TypeAlias

import matplotlib as mpl
from matplotlib.figure import Figure

from hessium.plots.style import RC

Kind: TypeAlias = Literal["pdf", "png"]


def to_png(figure: Figure, dpi: float = 200.0) -> bytes:
    """The figure as PNG; its grid lines become light grey."""
    return _saved(figure, format="png", dpi=dpi)


def to_pdf(figure: Figure) -> bytes:
    """The figure as PDF with its fonts embedded, for slides and papers."""
    # creation dates would make the same figure another file
    return _saved(figure, format="pdf", metadata={"CreationDate": None})


def _saved(figure: Figure, **options: Any) -> bytes:
    buffer = io.BytesIO()
    with mpl.rc_context({**RC, "pdf.fonttype": 42}):
        for axes in figure.axes:
            for line in (*axes.get_xgridlines(), *axes.get_ygridlines()):
                line.set_color("#d5d8dc")
        figure.savefig(buffer, facecolor="white", **options)
    return buffer.getvalue()

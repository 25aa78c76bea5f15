"""A result as HTML for a notebook."""

from __future__ import annotations

import itertools
from html import escape
from typing import Any

from hessium.errors import InputError
from hessium.figures.views import chart_of
from hessium.plots.draw import draw
from hessium.plots.svg import to_svg

_numbers = itertools.count()  # ids of figures on one page differ


def html_of(result: Any) -> str:
    """The `repr` of a result, and its figure as SVG in the colours of the page."""
    words = f"<p><code>{escape(repr(result))}</code></p>"
    try:
        chart, _ = chart_of(result)
        figure = to_svg(draw(chart), chart, f"hessium-{next(_numbers)}")
    except (InputError, ValueError, ArithmeticError):  # nothing to draw, or too large for a figure
        return words
    return f'<div style="max-width: 34em">{words}{figure}</div>'

"""A result as HTML for a notebook."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from html import escape
from typing import Any

from hessium.errors import InputError
from hessium.figures.views import chart_of
from hessium.plots.draw import draw
from hessium.plots.svg import to_svg

_numbers = itertools.count()  # ids of figures on one page differ


def html_of(result: Any, **options: Any) -> str:
    """The `repr` of a result, and its figure as SVG in the colours of the page."""
    words = f"<p><code>{escape(repr(result))}</code></p>"
    try:
        chart, _ = chart_of(result, **options)
        figure = to_svg(draw(chart), chart, f"hessium-{next(_numbers)}")
    except (InputError, ValueError, ArithmeticError):  # nothing to draw, or too large for a figure
        return words
    return f'<div style="max-width: 28em">{words}{figure}</div>'


def live(result: Any, **options: Any) -> Callable[[], None]:
    """Show a result in the notebook; the function returned draws the same figure again.

    Args:
        result: what is drawn now and later.
        options: of its view.

    Raises:
        InputError: if IPython is not installed.
    """
    try:
        from IPython.display import HTML, display
    except ImportError as error:
        msg = "live: IPython is not installed; run this in a notebook"
        raise InputError(msg) from error
    handle: Any = display(HTML(html_of(result, **options)), display_id=True)

    def refresh() -> None:
        if handle is not None:  # None outside of a notebook
            handle.update(HTML(html_of(result, **options)))

    return refresh

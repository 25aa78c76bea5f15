"""A figure as SVG for an HTML page: text colour of the page, unique ids, text alternative."""

from __future__ import annotations

import io
import re
from html import escape

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from hessium.figures.fields import Field
from hessium.figures.records import Chart, Series
from hessium.plots.draw import tick_text
from hessium.plots.style import FAINT, INK, PALETTE, RC


def to_svg(figure: Figure, chart: Chart, prefix: str) -> str:
    """The figure as one `<svg>` element.

    Text and axes take the colour of the text around them (`currentColor`), data colours are CSS
    variables with the light palette as fallback, so that the same element serves light and dark
    pages and stands alone as a file.

    Args:
        figure: drawn from `chart`.
        chart: for the title and the text alternative.
        prefix: letters, digits and hyphens; starts every id, so that figures share a page.
    """
    buffer = io.StringIO()
    with mpl.rc_context(RC):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    # a style element would reach beyond the figure, to the whole page
    text = re.sub(r"\s*<(metadata|style)\b.*?</\1>", "", text, flags=re.DOTALL)
    # in the tags alone: a label may look like an identifier or a colour
    text = re.sub(
        r"<[^>]*>",
        lambda tag: _page_colours(_own_ids(tag.group(), prefix)),
        _traceable(text, chart),
    )
    opening = text[: text.index(">") + 1]
    size = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', opening)
    if size is None:
        msg = "the SVG backend wrote no viewBox"
        raise RuntimeError(msg)
    return _head(chart, prefix, size.group(0)[9:-1]) + text[len(opening) :]


def empty_svg(chart: Chart, prefix: str) -> str:
    """Placeholder of a figure that cannot be drawn."""
    text = '<text x="20" y="40" fill="currentColor">This figure cannot be drawn.</text>'
    return f"{_head(chart, prefix, '0 0 320 80')}\n{text}\n</svg>\n"


def _head(chart: Chart, prefix: str, box: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="{box}" class="chart" role="img" '
        f'stroke-linejoin="round" '
        f'aria-labelledby="{prefix}-title {prefix}-desc">\n'
        f'<title id="{prefix}-title">{escape(chart.title)}</title>\n'
        f'<desc id="{prefix}-desc">{escape(describe(chart))}</desc>'
    )


def _traceable(text: str, chart: Chart) -> str:
    """Each marker of a series with ids says on hover which run it is."""
    for number, series in enumerate(chart.series):
        start = text.find(f'<g id="points-{number}">')
        if not series.ids or start < 0:
            continue
        stop = text.index("</g>\n   </g>", start)
        head, *marks = re.split(r"(?=<use )", text[start:stop])
        if len(marks) != len(series.ids):  # some lie outside the axes: no telling which
            continue
        named = [
            mark.replace("/>", f"><title>{escape(one)}</title></use>", 1)
            for mark, one in zip(marks, series.ids, strict=True)
        ]
        text = text[:start] + head + "".join(named) + text[stop:]
    return text


def _own_ids(text: str, prefix: str) -> str:
    text = re.sub(r'\bid="', f'id="{prefix}-', text)
    text = re.sub(r"url\(#", f"url(#{prefix}-", text)
    return re.sub(r'xlink:href="#', f'xlink:href="#{prefix}-', text)


def _page_colours(text: str) -> str:
    text = text.replace(INK, "currentColor").replace(FAINT, "var(--grid, #d5d8dc)")
    for index, (light, _) in enumerate(PALETTE):
        text = text.replace(light, f"var(--series-{index}, {light})")
    return text


def describe(chart: Chart) -> str:
    """The chart in words: caption, axes, and the course of every series."""
    axes = f"Horizontal: {chart.x_label}. Vertical: {chart.y_label}."
    colours = [] if chart.field is None else [_range(chart.field)]
    below = [_course(one) for panel in chart.panels for one in panel.series]
    courses = [_course(one) for one in chart.series]
    return " ".join([chart.caption, axes, *colours, *courses, *below])


def _range(field: Field) -> str:
    low, high = (tick_text(_round(float(end))) for end in (field.z.min(), field.z.max()))
    return f"Colours: {field.label}, from {low} to {high} ({field.error})."


def _course(series: Series) -> str:
    if series.x.size == 0:
        return f"{series.label}: no points."
    low, high = int(np.argmin(series.y)), int(np.argmax(series.y))
    first = f"{_at(series, 0)}" + (f" to {_at(series, -1)}" if series.x.size > 1 else "")
    spread = (
        f"; least {tick_text(_round(series.y[low]))}, greatest {tick_text(_round(series.y[high]))}"
    )
    return f"{series.label}: {series.x.size} points, from {first}{spread} ({series.error})."


def _at(series: Series, index: int) -> str:
    return f"{tick_text(_round(series.y[index]))} at {tick_text(_round(series.x[index]))}"


def _round(value: float) -> float:
    return float(f"{value:.3g}")

import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from hessium.figures.hues import GAUSS_NEWTON, HESSIAN, PUBLISHED
from hessium.figures.records import Chart, Series, Source, measured
from hessium.plots import PALETTE, describe, draw, to_pdf, to_png, to_svg
from hessium.plots.draw import styles_of, symlog_ticks, tick_text
from hessium.plots.style import DARK_INK, FAINT, INK

SVG = "{http://www.w3.org/2000/svg}"


def _chart(**changes: object) -> Chart:
    x = np.array([1.0, 2, 5, 10, 50])
    fields: dict[str, object] = {
        "name": "a-chart",
        "title": "Rank & <samples>",
        "caption": "Rank saturates.",
        "x_label": "samples |I|",
        "y_label": "eigenvalues above 10⁻⁶ of the largest",
        "x_scale": "log",
        "series": (
            measured("H after training, measured", x, [x, x + 1, x + 3], what="3 seeds"),
            measured("band", x, [x, x + 1], what="2 seeds", mark="line"),
            Series(
                label="published: ADCME.jl documentation, seed 2",
                x=x,
                y=x,
                error="published without an error",
                source="published",
                mark="points",
                nudge=3.0,
            ),
            Series(label="rank = |I|", x=x, y=x, error="exact", source="theory", mark="line"),
        ),
    }
    return Chart(**(fields | changes))  # type: ignore[arg-type]


def _lay_out(figure: Figure) -> None:
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()


def _svg(chart: Chart, prefix: str = "p") -> ElementTree.Element:
    return ElementTree.fromstring(to_svg(draw(chart), chart, prefix))


@pytest.mark.parametrize("x_scale", ["linear", "log", "symlog"])
@pytest.mark.parametrize("y_scale", ["linear", "log"])
def test_nothing_is_clipped(x_scale: str, y_scale: str) -> None:
    chart = _chart(x_scale=x_scale, y_scale=y_scale, x_label="long words " * 12)
    figure = draw(chart)
    _lay_out(figure)
    width, height = figure.bbox.width, figure.bbox.height
    texts = [t for t in figure.findobj(Text) if t.get_visible() and t.get_text().strip()]
    axes = figure.axes[0]
    shown = [t for t in texts if t not in _outside_ticks(axes)]
    assert len(shown) > 8
    for text in shown:
        box = text.get_window_extent()
        assert box.x0 >= -0.5, text
        assert box.y0 >= -0.5, text
        assert box.x1 <= width + 0.5, text
        assert box.y1 <= height + 0.5, text


def _outside_ticks(axes: object) -> list[Text]:
    hidden: list[Text] = []
    for axis in (axes.xaxis, axes.yaxis):  # type: ignore[attr-defined]
        low, high = sorted(axis.get_view_interval())
        for tick in axis.get_major_ticks() + axis.get_minor_ticks():
            if not low <= tick.get_loc() <= high:
                hidden += [tick.label1, tick.label2]
    return hidden


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_all_points_and_bars_lie_inside_the_axes(scale: str) -> None:
    chart = _chart(x_scale=scale)
    axes = draw(chart).axes[0]
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    for series in chart.series:
        assert left <= series.x.min() < series.x.max() <= right
        low = series.y if series.low is None else series.low
        high = series.y if series.high is None else series.high
        assert bottom <= low.min() < high.max() <= top
    assert right < 3 * 50
    assert top < 3 * 53


def test_the_legend_names_every_series_below_the_axes() -> None:
    chart = _chart()
    figure = draw(chart)
    _lay_out(figure)
    (legend,) = figure.legends
    assert [t.get_text() for t in legend.get_texts()] == [s.label for s in chart.series]
    assert legend.get_window_extent().y1 <= figure.axes[0].get_window_extent().y0


def test_error_bars_show_the_stored_ends() -> None:
    figure = draw(_chart())
    containers: Any = figure.axes[0].containers
    (container,) = containers
    (segments,) = (c.get_segments() for c in container.lines[2])
    ends = np.array(segments)[:, :, 1]
    x = np.array([1.0, 2, 5, 10, 50])
    np.testing.assert_allclose(ends, np.stack([x, x + 3], axis=1))


def test_the_svg_has_a_text_alternative_and_its_own_ids() -> None:
    root = _svg(_chart(), "first")
    assert root.get("role") == "img"
    title, desc = root.find(f"{SVG}title"), root.find(f"{SVG}desc")
    assert title is not None
    assert desc is not None
    assert root.get("aria-labelledby") == f"{title.get('id')} {desc.get('id')}"
    assert title.text == "Rank & <samples>"
    ids = [e.get("id") for e in root.iter() if e.get("id")]
    assert len(ids) == len(set(ids))
    assert all(str(i).startswith("first-") for i in ids)
    others = {e.get("id") for e in _svg(_chart(), "second").iter() if e.get("id")}
    assert not others & set(ids)
    text = to_svg(draw(_chart()), _chart(), "p")
    for reference in set(re.findall(r'(?:url\(#|href="#)([^)"]+)', text)):
        assert f'id="{reference}"' in text


def test_the_svg_follows_the_page() -> None:
    text = to_svg(draw(_chart()), _chart(), "p")
    assert INK not in text
    assert FAINT not in text
    assert "currentColor" in text
    assert "var(--series-0, " + PALETTE[0][0] + ")" in text
    assert "<style" not in text
    assert "#000000" not in text.lower()


def test_the_same_chart_gives_the_same_bytes() -> None:
    assert to_svg(draw(_chart()), _chart(), "p") == to_svg(draw(_chart()), _chart(), "p")


def test_the_description_tells_every_series() -> None:
    words = describe(_chart())
    for series in _chart().series:
        assert series.label in words
        assert series.error in words
    assert "from 1 at 1 to 50 at 50" in words


def test_pyplot_is_not_touched() -> None:
    script = (
        "import sys; from hessium.plots import draw; from plots.test_draw import _chart;"
        "draw(_chart()); assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=Path(__file__).parents[1])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (20, "20"),
        (0.5, "0.5"),
        (-3, "−3"),
        (1e-3, "10⁻³"),
        (2e-5, "2×10⁻⁵"),
        (1e6, "10⁶"),
        (-1e6, "−10⁶"),
    ],
)
def test_tick_text(value: float, text: str) -> None:
    assert tick_text(float(value)) == text


def test_series_of_one_hue_share_a_colour_and_differ_in_dashes() -> None:
    x = np.array([1.0, 2.0])

    def curve(label: str, hue: int | None) -> Series:
        return Series(label=label, x=x, y=x, error="exact", source="theory", mark="line", hue=hue)

    pairs = [("a", 0), ("b", 1), ("a again", 0), ("b again", 1)]
    figure = draw(_chart(series=tuple(curve(*pair) for pair in pairs)))
    lines = figure.axes[0].get_lines()
    assert [line.get_color() for line in lines] == [PALETTE[hue][0] for _, hue in pairs]
    dashes = [line.get_linestyle() for line in lines]
    assert dashes[0] == dashes[1] != dashes[2] == dashes[3]
    plain = draw(_chart(series=(curve("a", None), curve("b", None)))).axes[0].get_lines()
    assert [line.get_color() for line in plain] == [INK, INK]  # bounds look alike in all charts
    assert len({line.get_linestyle() for line in plain}) == 2


def _points(label: str, source: Source = "measured", **options: Any) -> Series:
    x = np.array([1.0, 2.0])
    return Series(label=label, x=x, y=x, error="exact", source=source, mark="points", **options)


def test_a_quantity_has_its_colour_wherever_it_stands() -> None:
    first, second, other = styles_of(
        (_points("H₀ after training"), _points("H, positive"), _points("width 20"))
    )
    assert first["color"] == PALETTE[GAUSS_NEWTON][0]
    assert second["color"] == PALETTE[HESSIAN][0]
    assert other["color"] == PALETTE[2][0]  # its place in the chart
    (total,) = styles_of((_points("H₀ + H₁"),))
    assert total["color"] == PALETTE[0][0]  # a sum is no H₀


def test_series_of_one_colour_differ_in_their_markers() -> None:
    found = styles_of(tuple(_points(f"H, {name}") for name in "abcdef"))
    assert len({style["marker"] for style in found}) == len(found)
    hollow, filled = styles_of((_points("H at first", hollow=True), _points("H at last")))
    assert hollow["marker"] == filled["marker"]
    assert hollow["markerfacecolor"] == "none" != filled.get("markerfacecolor")


def test_published_numbers_are_grey_and_lines_on_dark_axes_are_light() -> None:
    (dots,) = styles_of((_points("published: figure 4", "published"),))
    assert dots["color"] == PALETTE[PUBLISHED][0]
    x = np.array([1.0, 2.0])
    bound = Series(label="bound", x=x, y=x, error="exact", source="theory", mark="line")
    assert styles_of((bound,), dark=True)[0]["color"] == DARK_INK


@pytest.mark.parametrize(
    ("label", "lines"),
    [
        ("eigenvalues above 10⁻⁶ of the largest", ["eigenvalues above", "10⁻⁶ of the largest"]),
        ("density", ["density"]),
        (
            "interdependencies of many words, each short",
            ["interdependencies of", "many words, each short"],
        ),
    ],
)
def test_lines_of_a_label_are_of_about_the_same_length(label: str, lines: list[str]) -> None:
    axes = draw(_chart(y_label=label)).axes[0]
    assert axes.get_ylabel().split("\n") == lines


def test_an_axis_of_numbers_of_things_has_whole_ticks() -> None:
    x = np.array([1.0, 2.0, 3.0])
    series = Series(label="a", x=x, y=0.1 * x, error="exact", source="measured", mark="points")
    axes = draw(_chart(x_scale="linear", series=(series,))).axes[0]
    assert all(tick == round(tick) for tick in axes.get_xticks())
    assert any(tick != round(tick) for tick in axes.get_yticks())


def test_short_labels_stand_in_two_columns() -> None:
    x = np.array([1.0, 2.0])

    def legend(labels: tuple[str, ...]) -> Any:
        series = tuple(
            Series(label=one, x=x, y=x, error="exact", source="theory", mark="line")
            for one in labels
        )
        return draw(_chart(series=series)).legends[0]

    assert legend(("BFGS", "L-BFGS-B", "trust region"))._ncols == 2
    assert legend(("BFGS", "L-BFGS-B", "trust region, plateau as published"))._ncols == 1


def test_png_is_a_picture_on_white() -> None:
    assert to_png(draw(_chart())).startswith(b"\x89PNG")


def test_symlog_is_asinh_with_the_linear_width_of_the_chart() -> None:
    x = np.array([-30.0, 0.0, 0.01, 30.0])
    series = Series(label="a", x=x, y=x**2, error="exact", source="theory", mark="line")
    chart = _chart(x_scale="symlog", x_linear=1e-3, y_scale="symlog", series=(series,))
    axes = draw(chart).axes[0]
    forward = axes.transScale.transform(np.stack([x, np.zeros(4)], axis=1))[:, 0]
    steps = np.arcsinh(x / 1e-3)
    np.testing.assert_allclose(np.diff(forward) / np.diff(steps), np.full(3, 1e-3), rtol=1e-9)
    assert axes.get_ylim()[0] == 0.0  # nothing is negative
    ticks = axes.get_xticks()
    assert 0.0 in ticks
    assert -10.0 in ticks
    assert 10.0 in ticks


@pytest.mark.parametrize(
    ("low", "high", "linear"), [(-1.0, 100.0, 1e-3), (0.0, 1e6, 1.0), (-5, 5, 2.0), (-1e-9, 1, 1)]
)
def test_symlog_ticks_stay_apart(low: float, high: float, linear: float) -> None:
    ticks = np.array(symlog_ticks(low, high, linear))
    assert 0.0 in ticks
    assert ((ticks >= low) & (ticks <= high)).all()
    gaps = np.diff(np.arcsinh(ticks / linear))
    room = np.arcsinh(high / linear) - np.arcsinh(low / linear)
    assert (gaps >= 0.09 * room).all()


def test_a_pdf_embeds_its_fonts_and_is_the_same_each_time() -> None:
    one = Series(
        label="a", x=np.arange(3.0), y=np.arange(3.0), error="exact", source="measured", mark="line"
    )
    chart = Chart(name="c", title="t", caption="c", x_label="x", y_label="y", series=(one,))
    first, second = to_pdf(draw(chart)), to_pdf(draw(chart))
    assert first == second
    assert b"/FontFile2" in first
    assert b"/Type3" not in first


def test_labels_of_low_axes_take_more_lines() -> None:
    label = "H\u2081, ReLU, unit by unit"
    panel = _chart(name="panel", y_label=label)
    figure = draw(_chart(y_label=label, panels=(panel,)))
    _lay_out(figure)
    above, below = (axes.get_ylabel() for axes in figure.axes)
    assert (above, below) == (label, "H\u2081, ReLU,\nunit by unit")
    shown = figure.axes[1].yaxis.label.get_window_extent()
    assert shown.height <= figure.axes[1].get_window_extent().height

"""Short legends: one row for a key and one for a kind, and only where nothing is lost."""

import dataclasses

import numpy as np

from hessium.figures.records import Chart, Series
from hessium.plots import draw
from hessium.plots.legends import keys_and_kinds


def one(label: str, hue: int | None, source: str = "theory", mark: str = "line") -> Series:
    x = np.array([1.0, 2.0])
    return Series(label=label, x=x, y=x, error="exact", source=source, mark=mark, hue=hue)  # type: ignore[arg-type]


def product() -> tuple[Series, ...]:
    laws = [one(f"law, e = {k}", k) for k in range(4)]
    return (*laws, *(one(f"sampled, e = {k}", k, "measured", "points") for k in range(4)))


def texts(series: tuple[Series, ...]) -> list[str]:
    figure = draw(Chart(name="c", title="t", caption="", x_label="x", y_label="y", series=series))
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_a_product_has_a_row_for_each_key_and_kind() -> None:
    assert texts(product()) == ["e = 0", "e = 1", "e = 2", "e = 3", "law", "sampled", "", ""]
    alone = (*product(), one("limit", 5))
    assert "limit" in texts(alone)


def test_what_is_no_product_keeps_its_own_rows() -> None:
    series = product()
    assert keys_and_kinds(series[:5]) is None  # short enough
    clash = (*series[:-1], one("sampled, e = 3", 0, "measured", "points"))
    assert keys_and_kinds(clash) is None  # a key in two colours
    mixed = (*series[:-1], one("sampled, e = 3", 3, "measured", "line"))
    assert keys_and_kinds(mixed) is None  # a kind with two looks
    assert keys_and_kinds((*series[:-1], one("sampled, e = 3", None))) is None
    assert texts(mixed) == [each.label for each in mixed]


def test_hollow_and_filled_markers_tell_two_kinds() -> None:
    series = [
        dataclasses.replace(one(f"{kind}, n = {k}", k, "measured", "both"), hollow=kind == "ReLU")
        for kind in ("linear", "ReLU")
        for k in range(3)
    ]
    limit = one("limit", None)
    assert texts((*series, limit)) == ["n = 0", "n = 1", "n = 2", "linear", "ReLU", "limit"]
    handles = draw(
        Chart(name="c", title="t", caption="", x_label="x", y_label="y", series=(*series, limit))
    ).legends[0]
    lines = [line for line in handles.get_lines() if line.get_marker() == "o"]
    assert [line.get_markerfacecolor() == "none" for line in lines] == [False, True]


def test_logarithmic_axes_have_three_labels_at_least() -> None:
    for low, high in (
        (0.12, 0.46),
        (0.3, 0.9),
        (1.1, 1.9),
        (2.0, 60.0),
        (0.12, 12.0),
        (0.03, 7.0),
        (1e-8, 1.0),
    ):
        values = Series(
            label="s",
            x=np.array([1.0, 2.0]),
            y=np.array([low, high]),
            error="exact",
            source="measured",
            mark="points",
        )
        chart = Chart(
            name="c", title="t", caption="", x_label="x", y_label="y", y_scale="log",
            series=(values,),
        )  # fmt: skip
        axis = draw(chart).axes[0].yaxis
        bottom, top = axis.get_view_interval()
        ticks = [at for at in axis.get_majorticklocs() if bottom <= at <= top]
        assert len(ticks) >= 3, (low, high, ticks)

"""Brackets of records in the chart: a band, bars, or nothing where an end is not known."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest

import hessium as hs
from hessium.figures.records import Chart
from hessium.figures.views.monitors import monitor_chart
from hessium.training import Record


def chart(uppers: list[float], *, confidence: float | None = 0.95) -> Chart:
    records = [
        Record(
            step=10 * i,
            sharpness=hs.Bracket(value=2.0 + i, lower=1.5 + i, upper=upper, confidence=confidence),
            threshold=8.0,
        )
        for i, upper in enumerate(uppers)
    ]
    return monitor_chart(
        SimpleNamespace(records=records, track=("sharpness", "threshold")), quantity="sharpness"
    )


def test_all_ends_known_are_a_band() -> None:
    line, limit = chart([3.0, 4.0, 5.0]).series
    assert line.mark == "line"
    assert line.high is not None
    assert list(line.high) == [3, 4, 5]
    assert line.error == "bracket, confidence 0.95"
    assert limit.label == "stability threshold"


def test_open_ends_have_no_band_and_the_others_have_bars() -> None:
    line, bars, _ = chart([math.inf, 4.0, math.inf, 900.0]).series
    assert line.low is None
    assert line.high is None
    assert list(line.y) == [2, 3, 4, 5]
    assert bars.mark == "points"
    assert bars.low is not None
    assert bars.high is not None
    assert list(bars.x) == [10, 30]
    assert list(bars.low) == [2.5, 4.5]
    assert list(bars.high) == [4, 1.5 * 8]  # cut, so that the curve can be seen
    assert bars.label == "bracket of 2 records of 4"
    assert "cut at 1.5 times" in bars.error
    assert line.hue == bars.hue


def test_no_end_known_is_a_line_alone() -> None:
    line, _ = chart([math.inf] * 3).series
    assert line.high is None
    assert "open" in line.error


def test_certain_brackets() -> None:
    line, _ = chart([3.0, 4.0], confidence=None).series
    assert line.error == "bracket, certain"


@pytest.mark.parametrize("uppers", [[math.inf, 4.0, 5.0], [3.0, 4.0, 5.0], [math.inf] * 3])
def test_they_are_drawn(uppers: list[float]) -> None:
    from hessium.plots.draw import draw

    figure = draw(chart(uppers))
    bands = figure.axes[0].collections
    assert bool(bands) == any(np.isfinite(uppers))

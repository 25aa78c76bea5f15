import dataclasses
import json

import numpy as np
import pytest

from hessium.errors import InputError
from hessium.figures.records import (
    Chart,
    Findings,
    Number,
    Section,
    Series,
    Table,
    judge,
    measured,
    over,
)
from hessium.runs.codec import DecodeError, decode, encode
from support.toy_experiment import compute, summarise, tasks, toy


def _section() -> Section:
    config = toy().config("quick")
    findings, _ = summarise(config, [compute(task) for task in tasks(config)])
    return Section(
        experiment="toy",
        title="t",
        shows="s",
        preset="quick",
        config={"sizes": [1, 2], "nested": {"a": None}},
        seeds=(0, 1),
        command="hessium reproduce toy",
        versions={"numpy": "1"},
        tasks=6,
        seconds=1.5,
        finished="2026-01-01",
        findings=findings,
    )


def test_a_section_survives_json_bit_for_bit() -> None:
    section = _section()
    text = json.dumps(encode(section), allow_nan=False)
    again = decode(Section, json.loads(text))
    assert json.dumps(encode(again), allow_nan=False) == text
    np.testing.assert_array_equal(
        again.findings.charts[0].series[0].y, section.findings.charts[0].series[0].y
    )


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("title",), 3),
        (("seeds",), ["a"]),
        (("seconds",), "long"),
        (("findings", "statements", 0, "verdict"), "perhaps"),
        (("findings", "charts", 0, "series", 0, "y"), [1.0]),
        (("findings", "charts", 0, "series", 0, "y"), ["x", "y", "z"]),
        (("findings", "tables", 0, "rows"), [["too few cells"]]),
        (("findings",), None),
    ],
)
def test_broken_json_is_refused(path: tuple[str | int, ...], value: object) -> None:
    data = encode(_section())
    place = data
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises(DecodeError):
        decode(Section, data)


def test_missing_and_unknown_fields_are_refused() -> None:
    data = encode(_section())
    with pytest.raises(DecodeError):
        decode(Section, data | {"more": 1})
    del data["seeds"]
    with pytest.raises(DecodeError):
        decode(Section, data)


def test_measured_gives_median_and_range() -> None:
    series = measured("a", [1, 2], [[1.0, 5.0], [2.0, 6.0], [9.0, 4.0]], what="3 seeds")
    assert series.low is not None
    assert series.high is not None
    np.testing.assert_array_equal(series.y, [2.0, 5.0])
    np.testing.assert_array_equal(series.low, [1.0, 4.0])
    np.testing.assert_array_equal(series.high, [9.0, 6.0])
    assert over([3.0, 1.0], "2 seeds") == Number(
        value=2.0, low=1.0, high=3.0, basis="median [least, greatest] over 2 seeds"
    )


def test_numbers_without_a_stated_error_are_refused() -> None:
    with pytest.raises(InputError, match="basis"):
        Number(value=1.0, basis=" ")
    with pytest.raises(InputError, match="both ends"):
        Number(value=1.0, low=0.5, basis="x")
    with pytest.raises(InputError, match="finite"):
        Number(value=float("nan"), basis="exact")
    x = np.arange(2.0)
    good = Series(label="a", x=x, y=x, error="exact", source="theory", mark="line")
    for change in ({"error": ""}, {"y": x[:1]}, {"y": x * np.nan}, {"low": x}):
        with pytest.raises(InputError):
            dataclasses.replace(good, **change)
    with pytest.raises(InputError, match="empty"):
        Chart(name="a", title="", caption="", x_label="", y_label="", series=())
    with pytest.raises(InputError, match="columns"):
        Table(title="t", columns=("a", "b"), rows=(("x",),))
    assert judge("c", None, "e").verdict == "not tested"
    assert isinstance(Findings(statements=(), charts=()), Findings)

import numpy as np
import pytest

from hessium.figures.formatting import between, digits
from hessium.figures.records import Chart, Number, Series, Table, exact, over
from hessium.report.statements import (
    bases,
    characters,
    columns,
    duration,
    errors,
    number,
    setting,
)


@pytest.mark.parametrize(
    ("value", "significant", "text"),
    [
        (0.0, 3, "0"),
        (1234.5, 3, "1230"),
        (0.12345, 3, "0.123"),
        (-2.0, 3, "−2"),
        (-1e-7, 3, "−10⁻⁷"),
        (1e-7, 3, "10⁻⁷"),
        (-1.256e9, 3, "−1.26×10⁹"),
        (9.9996, 3, "10"),
        (999999.6, 6, "10⁶"),
        (270_000.0, 12, "270,000"),
        (901.0, 12, "901"),
        (0.1, 12, "0.1"),
    ],
)
def test_digits(value: float, significant: int, text: str) -> None:
    assert digits(value, significant) == text


def test_ranges_that_read_the_same_are_one_number() -> None:
    assert between([61, 61]) == "61"
    assert between([0.1, 0.25, 0.2]) == "0.1 to 0.25"


def test_numbers_carry_their_error() -> None:
    assert number("as it is") == "as it is"
    assert number(exact(5)) == "5"
    assert number(over([4, 5, 7], "3 seeds")) == "5 [4, 7]"
    assert number(over([4], "1 seed")) == "4"  # one value has no range
    table = Table(
        title="t", columns=("a", "b"), rows=((exact(1), over([1, 2], "2 seeds")), ("x", exact(2)))
    )
    assert bases(table) == (
        "Numbers: median [least, greatest] over 2 seeds. The other numbers are exact."
    )
    assert bases(Table(title="t", columns=("a",), rows=((exact(1),),))) == "All numbers are exact."
    rounded = Table(title="t", columns=("a",), rows=((Number(value=1.0, basis="to rounding"),),))
    assert bases(rounded) == "Numbers: to rounding."


def test_a_column_of_numbers_stands_on_the_right_also_where_there_is_none() -> None:
    table = Table(
        title="t",
        columns=("data", "gap", "step", "ranks"),
        rows=(
            ("Gaussian", exact(2), "0.4", "15 / 15"),
            ("digits", "none", "10⁻⁵", "3 / 3"),
            ("beam", "below 0.1 %", "2 ± 0.1", "1 of 2"),
        ),
    )
    assert columns(table) == ["words", "number", "number", "words"]


def test_wide_tables_are_known_by_their_cells() -> None:
    wide = over([1.234, 1.567, 1.891], "3 seeds")  # 1.57 [1.23, 1.89]
    table = Table(title="t", columns=("a", "b"), rows=((wide, "a long sentence that wraps"),))
    assert characters(table) == len("1.57 [1.23, 1.89]") + 2 + 20 + 2


def _points(label: str, error: str, nudge: float = 0.0) -> Series:
    x = np.array([1.0, 2.0])
    return Series(
        label=label, x=x, y=x, error=error, source="measured", mark="points", nudge=nudge
    )  # fmt: skip


def test_what_bars_are_and_that_points_were_moved() -> None:
    def said(*series: Series) -> str:
        return errors(
            Chart(name="c", title="t", caption="", x_label="x", y_label="y", series=series)
        )

    assert said(_points("a", "exact")) == "Points: exact."
    assert said(_points("a", "bars ± one standard error")) == "Bars ± one standard error."
    moved = said(_points("certified points", "none: one run"), _points("H, all", "exact", 3.0))
    assert moved == (
        "Certified points: no error bars (one run). H, all: exact. "
        "Points at the same place are set side by side."
    )


def test_an_error_that_no_digit_feels_is_not_printed() -> None:
    tight = Number(value=2.0, low=2 - 1e-12, high=2 + 1e-12, basis="value [bounds of rounding]")
    zero = Number(value=0.0, low=-1e-12, high=1e-12, basis="value [bounds of rounding]")
    none = Number(value=0, low=0, high=0, basis="count [bracket with confidence 0.999]", digits=12)
    two = Number(value=1, low=0, high=2, basis="count [bracket with confidence 0.999]", digits=12)
    assert [number(cell) for cell in (tight, zero, none, two)] == [
        "2",
        "0 [−10⁻¹², 10⁻¹²]",
        "0",
        "1 [0, 2]",
    ]

    def below(*cells: Number) -> str:
        return bases(Table(title="t", columns=("a",), rows=tuple((cell,) for cell in cells)))

    assert below(tight, exact(1)) == "All digits shown are significant."
    assert below(tight, zero) == "Numbers: value [bounds of rounding]."
    # that a count is certain only with its confidence is said, whatever the bracket
    assert below(none) == "Numbers: count [bracket with confidence 0.999]."


@pytest.mark.parametrize(
    ("value", "low", "high", "text"),
    [
        (2, 0, 3, "2 [0, 3]"),  # three apart, the widest that is shown of a small count
        (2, 0, 4, "[0, 4]"),
        (100, 75, 125, "100 [75, 125]"),  # half the count apart
        (100, 75, 126, "[75, 126]"),
    ],
)
def test_of_a_count_in_a_wide_bracket_only_the_bracket_is_shown(
    value: float, low: float, high: float, text: str
) -> None:
    cell = Number(value=value, low=low, high=high, basis="count [bracket]", digits=12)
    assert number(cell) == text
    measured = Number(value=value, low=low, high=high, basis="value [bounds]", digits=12)
    assert number(measured) == f"{value} [{low}, {high}]"


def test_settings_and_durations() -> None:
    assert setting({"a": (1, 2.5), "b": None, "c": True}) == "a: 1, 2.5; b: none; c: yes"
    assert [duration(s) for s in (0.123, 9.96, 59.0, 200.0, 7500.0)] == [
        "0.12 s",
        "10 s",
        "59 s",
        "3 min 20 s",
        "2 h 5 min",
    ]

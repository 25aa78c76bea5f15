import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hessium.plots import draw
from hessium.profiles.histogram import bins, histogram_chart


@given(
    st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=60),
    st.sampled_from([0.9, 0.1, 1e-3, 1e-6, 1e-12]),
)
def test_every_eigenvalue_is_in_one_bin_and_the_zeros_in_theirs(
    given_values: list[float], tol: float
) -> None:
    values = np.array(given_values)
    chart = histogram_chart({"H": [values]}, tol, "1 run", "", "histogram")
    if not values.any():
        assert chart is None
        return
    assert chart is not None
    (series,) = chart.series
    x = values / np.abs(values).max()
    for low, high, count in zip(series.x[:-1], series.x[1:], series.y[:-1], strict=True):
        last = high == series.x[-1]
        assert count == np.sum((low <= x) & ((x <= high) if last else (x < high)))
    assert series.y.sum() == values.size
    zeros = int(np.sum(np.abs(x) <= tol))
    assert series.label.startswith(f"H: {zeros} of {values.size} within ±")
    assert series.y[bins(tol).size // 2 - 1] == zeros


@pytest.mark.parametrize("tol", [0.5, 1e-3, 1e-6, 1e-13])
def test_bins_are_those_of_both_signs_and_end_at_the_largest(tol: float) -> None:
    ends = bins(tol)
    assert ends[0] == -1
    assert ends[-1] == 1
    np.testing.assert_allclose(ends, -ends[::-1], rtol=1e-12)
    assert (np.diff(ends) > 0).all()


def test_repetitions_are_a_median_and_their_range_and_a_zero_matrix_is_left_out() -> None:
    runs = [np.array([-1.0, 0.0, 2.0]), np.array([0.0, 0.0, 3.0]), np.array([0.0, 1e-9, 1.0])]
    chart = histogram_chart(
        {"H": runs, "H₀": [np.zeros(3)] * 3}, 1e-6, "3 seeds", " after training", "histogram"
    )
    assert chart is not None
    (series,) = chart.series
    assert series.label == "H: 1 to 2 of 3 within ±10⁻⁶"
    assert series.low is not None
    assert series.high is not None
    middle = int(np.searchsorted(series.x, 0.0)) - 1
    assert (series.low[middle], series.y[middle], series.high[middle]) == (1, 2, 2)


def test_steps_are_drawn_from_their_bin_to_the_next() -> None:
    chart = histogram_chart({"H": [np.array([-1.0, 0.0, 0.5])]}, 0.1, "1 run", "", "histogram")
    assert chart is not None
    (axes,) = draw(chart).axes
    (line,) = axes.lines
    assert line.get_drawstyle() == "steps-post"
    assert axes.get_ylim()[0] == 0

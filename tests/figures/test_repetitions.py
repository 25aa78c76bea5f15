"""Repeated measurements as series, against sums written out."""

import numpy as np

from hessium.figures.views.repetitions import (
    curve,
    density,
    histogram,
    level,
    mean_and_stderr,
    published,
    ranges,
    with_stderr,
)
from hessium.theory import MarchenkoPastur


def test_histograms_count_what_lies_outside() -> None:
    edges = np.array([0.0, 1.0, 2.0])
    x, densities = histogram([np.array([0.5, 0.6, 1.5, 9.0]), np.array([0.1])], edges)
    np.testing.assert_allclose(x, [0.5, 1.5])
    np.testing.assert_allclose(densities, [[0.5, 0.25], [1.0, 0.0]])
    # half as wide bins: the same numbers are twice the density
    narrow, twice = histogram([np.array([0.5, 0.6, 1.5, 9.0]) / 2], edges / 2)
    np.testing.assert_allclose(narrow, x / 2)
    np.testing.assert_allclose(twice, [[1.0, 0.5]])


def test_the_histogram_of_a_law_is_its_density() -> None:
    law = MarchenkoPastur(ratio=0.25)
    edges = np.linspace(0.5, 1.5, 11)
    draws = [law.rvs(4000, rng=seed) for seed in range(10)]
    mean, stderr = mean_and_stderr(histogram(draws, edges)[1])
    expected = np.diff(law.cdf(edges)) / np.diff(edges)
    # Student's t with 9 degrees of freedom exceeds 9.8 with probability 4e-6, in ten bins 4e-5
    assert (np.abs(mean - expected) < 9.8 * stderr).all()
    assert (np.abs(mean - 1.3 * expected) > 9.8 * stderr).any()


def test_bars_are_one_standard_error_of_the_mean() -> None:
    mean, stderr = mean_and_stderr([[1.0, 2.0], [3.0, 2.0], [5.0, 2.0]])
    np.testing.assert_allclose(mean, [3, 2])
    np.testing.assert_allclose(stderr, [2 / np.sqrt(3), 0])
    series = with_stderr("m", [1, 2], mean, stderr, error="bars ± one standard error", least=2.5)
    assert series.low is not None
    assert series.high is not None
    np.testing.assert_allclose(series.low, [2.5, 2.5])
    np.testing.assert_allclose(series.y, [3, 2.5])
    np.testing.assert_allclose(series.high, [3 + 2 / np.sqrt(3), 2.5])


def test_ranges_leave_out_positions_without_measurements() -> None:
    groups = [np.array([3.0, 1.0, 8.0]), np.array([]), np.array([2.0])]
    series = ranges("r", [1, 2, 4], groups, what="3 seeds")
    np.testing.assert_array_equal(series.x, [1, 4])
    np.testing.assert_array_equal(series.y, [3, 2])
    assert series.low is not None
    assert series.high is not None
    np.testing.assert_array_equal(series.low, [1, 2])
    np.testing.assert_array_equal(series.high, [8, 2])
    assert ranges("r", [1, 2, 4], groups, what="3 seeds", centre="mean").y[0] == 4
    assert "3 seeds" in series.error


def test_theory_and_papers_keep_their_marks() -> None:
    law = MarchenkoPastur(ratio=0.25)
    drawn = density("law", law, num=11)
    np.testing.assert_allclose(drawn.x[[0, -1]], law.support())
    np.testing.assert_allclose(drawn.y, law.pdf(drawn.x))
    assert drawn.source == curve("c", [0, 1], [0, 1]).source == "theory"
    line = level("one", [3, 4, 9], 1.0)
    np.testing.assert_array_equal([line.x, line.y], [[3, 9], [1, 1]])
    assert published("p", [1], [2]).source == "published"

"""A discrete measure is a probability measure."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hessium as hs

nodes = st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=30)


@given(nodes=nodes, x=st.floats(-2e3, 2e3), y=st.floats(-2e3, 2e3))
def test_cdf_counts_nodes(nodes: list[float], x: float, y: float) -> None:
    measure = hs.Spectrum.of(nodes)
    assert measure.cdf(x) == pytest.approx((np.array(nodes) <= x).mean())
    low, high = min(x, y), max(x, y)
    assert measure.mass(low, high) >= 0
    assert measure.cdf(np.inf) == 1.0
    assert measure.cdf(-np.inf) == 0.0


@given(nodes=nodes)
def test_quantiles_invert_the_cdf(nodes: list[float]) -> None:
    measure = hs.Spectrum.of(nodes)
    np.testing.assert_array_equal(measure.quantile(measure.cdf(measure.nodes)), measure.nodes)
    assert measure.quantile(0.0) == measure.nodes[0]
    assert measure.quantile(1.0) == measure.nodes[-1]


@given(nodes=nodes)
def test_moments(nodes: list[float]) -> None:
    measure = hs.Spectrum.of(nodes)
    assert measure.mean() == pytest.approx(np.mean(nodes), abs=1e-9)
    assert measure.var() == pytest.approx(np.var(nodes), abs=1e-6)
    assert measure.moment(0) == pytest.approx(1.0)


def test_mixture_weighs_its_parts_equally() -> None:
    one = hs.Spectrum.of([0.0])
    two = hs.Spectrum.of([1.0, 2.0, 3.0])
    both = hs.DiscreteMeasure.mixture([one, two])
    assert both.cdf(0.5) == pytest.approx(0.5)
    assert both.mean() == pytest.approx(1.0)


def test_nodes_cannot_be_written() -> None:
    source = np.array([2.0, 1.0])
    measure = hs.Spectrum.of(source)
    source[0] = 9.0
    assert measure.nodes.tolist() == [1.0, 2.0]
    with pytest.raises(ValueError, match="read-only"):
        measure.nodes[0] = 3.0


@pytest.mark.parametrize(
    ("nodes", "weights", "match"),
    [
        ([], [], "k > 0"),
        ([1.0, 2.0], [1.0], "shapes"),
        ([1.0, np.nan], [0.5, 0.5], "nodes: 1 of 2 values are NaN"),
        ([1.0, np.inf], [0.5, 0.5], "nodes: 1 of 2 are not finite"),
        ([1.0, 2.0], [0.5, 0.6], "sum 1.1"),
        ([1.0, 2.0], [1.5, -0.5], "smallest -0.5"),
    ],
)
def test_what_is_no_measure(nodes: list[float], weights: list[float], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        hs.DiscreteMeasure(nodes=np.array(nodes), weights=np.array(weights))


def test_bad_arguments() -> None:
    measure = hs.Spectrum.of([1.0])
    with pytest.raises(ValueError, match="a <= b"):
        measure.mass(1.0, 0.0)
    with pytest.raises(ValueError, match="a probability lies"):
        measure.quantile(1.5)
    with pytest.raises(ValueError, match="at least one"):
        hs.DiscreteMeasure.mixture([])


def test_an_array_of_nodes_does_not_lose_weights() -> None:
    assert np.histogram(hs.Spectrum.of([1.0, 2.0, 2.0]), 2)[0].tolist() == [1, 2]
    with pytest.raises(ValueError, match="weights are unequal"):
        np.asarray(hs.DiscreteMeasure(nodes=np.array([0.0, 1.0]), weights=np.array([0.3, 0.7])))


def test_the_rounding_of_nodes_is_kept() -> None:
    single, double = (hs.Spectrum.of(np.ones(16, dtype=t)) for t in ("f4", "f8"))
    assert single.nodes.dtype == np.float64
    assert single.resolution == 16 * np.finfo(np.float32).eps
    assert double.resolution == 16 * np.finfo(np.float64).eps
    assert hs.Spectrum.of(np.ones(16, dtype=int)).resolution == double.resolution
    assert hs.Spectrum.of([1.0] * 16, unit=1e-3).resolution == 16e-3
    assert hs.DiscreteMeasure.mixture([double, single]).resolution == single.resolution


@pytest.mark.parametrize("order", [-1, True])
def test_moments_have_natural_orders(order: int) -> None:
    measure = hs.Spectrum.of([-1.0, 0.0, 2.0])
    assert measure.moment(0) == 1
    with pytest.raises(hs.errors.InputError, match="order"):
        measure.moment(order)

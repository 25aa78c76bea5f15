"""Outliers of spiked matrices."""

from typing import Any

import numpy as np
import pytest

from hessium.errors import InputError
from hessium.theory import (
    Empirical,
    FreeLevy,
    MarchenkoPastur,
    Semicircle,
    Uniform,
    free_sum,
    goe,
    outliers,
    relu_hessian,
    spiked,
)


def test_spiked_wigner_in_closed_form() -> None:
    v = 0.25
    found = outliers([-2.0, 0.4, 0.6, 3.0], Semicircle(variance=v))
    assert [o.spike for o in found] == [-2.0, 0.6, 3.0]
    for o in found:
        assert o.location == pytest.approx(o.spike + v / o.spike, rel=1e-14)
        assert o.overlap == pytest.approx(1 - v / o.spike**2, rel=1e-12)


def test_outliers_of_general_noise_equal_those_of_the_levy_form() -> None:
    noise = MarchenkoPastur(ratio=0.5)
    # the same law, told as a sum of atoms and a small rest, goes the general way
    general = free_sum(Empirical([0.0, 1e-12]), noise)
    exact, same = outliers([-1.0, 4.0], noise), outliers([-1.0, 4.0], general)
    for a, b in zip(exact, same, strict=True):
        assert b.location == pytest.approx(a.location, rel=1e-9)
        assert b.overlap == pytest.approx(a.overlap, rel=1e-6)


@pytest.mark.parametrize("noise", [Semicircle(variance=0.1), Uniform(-0.1, 0.5)])
def test_outliers_where_the_transform_of_the_base_is_zero(noise: Any) -> None:
    base = Empirical([-1.0, 1.0])
    (middle,) = outliers([0.0], noise, base)
    # x = theta + mean + variance g + ..., g = theta/(theta^2 - 1), and its derivative
    assert middle.location == pytest.approx(noise.mean(), abs=1e-15)
    assert middle.overlap == pytest.approx(1 - noise.var(), rel=1e-14)
    near = outliers([-1e-3, -1e-8, 1e-17, 1e-8, 1e-3], noise, base)
    for o in near:
        assert o.location == pytest.approx(noise.mean() + o.spike * (1 - noise.var()), abs=2e-7)
        assert o.overlap == pytest.approx(1 - noise.var(), abs=1e-3)
    n = 500
    matrix = np.diag(np.repeat([-1.0, 0.0, 1.0], [n // 2, 1, n // 2]))
    values, vectors = np.linalg.eigh(matrix + noise.matrix(n + 1, 0))
    k = int(np.abs(values - noise.mean()).argmin())
    assert values[k] == pytest.approx(middle.location, abs=0.1)  # fluctuates as n^{-1/2} = 0.04
    assert vectors[n // 2, k] ** 2 == pytest.approx(middle.overlap, abs=0.05)
    assert abs(vectors[n // 2, k - 1]) ** 2 < 0.05  # no eigenvector of the bulk is near


@pytest.mark.parametrize(
    "noise", [Semicircle(variance=0.3), Uniform(-1, 1), relu_hessian(0.2, 0.5)]
)
def test_outliers_against_a_sampled_matrix(noise: Any) -> None:
    n = 500
    base = Empirical([-1.0, 1.0])
    (outlier,) = (o for o in outliers([4.0], noise, base) if o.location > 3)
    one, two, three = np.random.default_rng(3).spawn(3)
    matrix = base.matrix(n, one) + noise.matrix(n, two)
    del three
    bulk_values, bulk = np.linalg.eigh(base.matrix(n, np.random.default_rng(3).spawn(3)[0]))
    # replace one eigenvalue of the base by the spike
    direction = bulk[:, -1]
    matrix = matrix + (4.0 - bulk_values[-1]) * np.outer(direction, direction)
    values, vectors = np.linalg.eigh(matrix)
    assert values[-1] == pytest.approx(outlier.location, abs=0.15)  # fluctuates as n^{-1/2} = 0.04
    assert (vectors[:, -1] @ direction) ** 2 == pytest.approx(outlier.overlap, abs=0.05)
    assert values[-1] != pytest.approx(4.0 + noise.mean(), abs=0.02)  # the naive guess fails


def test_a_spike_at_a_pole_of_r_makes_no_outlier() -> None:
    noise = FreeLevy(rates=(0.3,), jumps=(1.0,))
    assert outliers([1.0], noise) == ()
    (o,) = outliers([3.0], noise)
    assert o.location == pytest.approx(3 + 0.3 / (1 - 1 / 3))


def test_spikes_inside_the_bulk_are_refused() -> None:
    with pytest.raises(InputError, match="spikes"):
        outliers([0.5], Semicircle(variance=1.0), Uniform(0, 1))


def test_spiked_matrices() -> None:
    matrix, directions = spiked(goe(300, 0.25, rng=0), [3.0, -2.0], rng=1)
    assert directions.T @ directions == pytest.approx(np.eye(2), abs=1e-12)
    values = np.linalg.eigvalsh(matrix)
    assert values[[0, -1]] == pytest.approx([-2.125, 3 + 0.25 / 3], abs=0.1)

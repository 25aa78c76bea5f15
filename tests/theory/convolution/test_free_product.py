"""Free products, powers and compressions."""

from typing import Any

import numpy as np
import pytest
from scipy.optimize import brentq

from hessium.errors import InputError
from hessium.theory import (
    Arcsine,
    Empirical,
    Law,
    MarchenkoPastur,
    Semicircle,
    Uniform,
    free_compression,
    free_power,
    free_product,
)

LAWS: dict[str, Law] = {
    "MP x MP": free_product(MarchenkoPastur(ratio=0.5), MarchenkoPastur(ratio=0.3)),
    "atoms x MP": free_product(Empirical([1, 10]), MarchenkoPastur(ratio=0.1)),
    "atoms x MP, ratio 2": free_product(Empirical([1, 2, 3]), MarchenkoPastur(ratio=2)),
    "atoms x atoms": free_product(Empirical([0, 1, 2]), Empirical([0, 1, 3, 4])),
    "uniform x uniform": free_product(Uniform(0, 1), Uniform(1, 2)),
    "power": free_power(Empirical([0, 1, 5], weights=[0.8, 0.1, 0.1]), 2.0),
    "compression": free_compression(Uniform(0, 1), 0.3),
}


@pytest.mark.sampled
@pytest.mark.parametrize("name", LAWS)
def test_against_sampled_matrices(name: Any) -> None:
    law = LAWS[name]
    values = np.linalg.eigvalsh(law.matrix(400, rng=1))
    low, high = law.support()
    x = np.linspace(low, high, 501)
    clear = np.all([np.abs(x - a) > 0.02 for a in law.atoms], axis=0) & np.ones(501, dtype=bool)

    def distance(other: Any) -> Any:
        empirical = np.searchsorted(values, x, side="right") / 400
        return np.abs(empirical - other.cdf(x))[clear].max()

    # rigidity: O(1/n) = 0.0025; 0.015 has no false alarms
    assert distance(law) < 0.015
    assert distance(law.scaled(1.1)) > 0.015
    cdf = law.cdf(x)
    assert (np.diff(cdf) > -1e-12).all()
    assert (law.pdf(x) >= 0).all()
    assert cdf[-1] == 1


@pytest.mark.parametrize("name", LAWS)
def test_moments_agree_with_the_density(name: Any) -> None:
    law = LAWS[name]
    for k in (1, 2, 3):
        total = sum(w * x**k for x, w in law.atoms.items())
        for a, b in law.support_intervals():
            t = (np.arange(400) + 0.5) / 400
            x = a + (b - a) * np.sin(np.pi * t / 2) ** 2
            weight = (b - a) * np.pi / 2 * np.sin(np.pi * t) / 400
            total += float((x**k * law.pdf(x) * weight).sum())
        assert total == pytest.approx(law.moment(k), rel=1e-3)


def test_published_edges_of_sample_covariances() -> None:
    # support of {1, 2, 3} x MP: lower edges at ratio 1/2 and 2
    half = free_product(Empirical([1, 2, 3]), MarchenkoPastur(ratio=0.5))
    two = free_product(Empirical([1, 2, 3]), MarchenkoPastur(ratio=2))
    assert half.support()[0] == pytest.approx(0.1293, abs=1e-4)
    (low, _), *_ = two.support_intervals()
    assert low == pytest.approx(0.29936, abs=1e-5)
    assert two.atoms == {0.0: 0.5}


def test_edges_match_the_stationary_points_of_the_companion_equation() -> None:
    # Silverstein: x(v) = -1/v + ratio mean(t/(1 + t v)); edges where dx/dv = 0
    atoms, ratio = np.array([1.0, 10.0]), 0.1

    def derivative(s: Any) -> Any:
        return 1 / s**2 - ratio * np.mean(atoms**2 / (1 + s * atoms) ** 2)

    top = brentq(derivative, -0.0999, -0.01)
    x = -1 / top + ratio * np.mean(atoms / (1 + top * atoms))
    law = LAWS["atoms x MP"]
    assert law.support()[1] == pytest.approx(x, rel=1e-9)


def test_s_transforms_multiply() -> None:
    law = LAWS["MP x MP"]
    y = np.array([0.02 + 0.01j])
    expected = 1 / ((1 + 0.5 * y) * (1 + 0.3 * y))
    assert MarchenkoPastur(ratio=0.5).s_transform(y) == pytest.approx(1 / (1 + 0.5 * y), rel=1e-9)
    assert law.s_transform(y) == pytest.approx(expected, rel=1e-8)


def test_powers_in_closed_form() -> None:
    signs = free_power(Empirical([-1, 1]), 2)
    x = np.linspace(-1.9, 1.9, 21)
    assert signs.pdf(x) == pytest.approx(Arcsine(radius=2).pdf(x), rel=1e-10)
    assert free_power(Semicircle(variance=2.0), 0.5).var() == pytest.approx(1.0)
    mp = free_power(MarchenkoPastur(ratio=0.5), 3)
    assert mp.moment(2) == pytest.approx(3 * 0.5 + 9)
    # a corner of a projection of trace 1/2, of half the size: arcsine on [0, 1]
    corner = free_compression(Empirical([0, 1]), 0.5)
    assert corner.cdf([0.1, 0.5]) == pytest.approx(Arcsine(radius=0.5).cdf([-0.4, 0.0]), abs=1e-12)


def test_trivial_cases_and_refusals() -> None:
    assert free_product(Empirical([2.0]), Uniform(0, 1)).support() == (0, 2)
    assert free_power(Uniform(0, 1), 1).support() == (0, 1)
    assert free_power(Empirical([2.0]), 3).atoms == {6.0: 1.0}
    with pytest.raises(InputError, match="first"):
        free_product(Semicircle(variance=1.0), Uniform(0, 1))
    with pytest.raises(InputError, match="second"):
        free_product(Uniform(0, 1), Empirical([0.0]))
    with pytest.raises(InputError, match="exponent"):
        free_power(Uniform(0, 1), 0.5)
    with pytest.raises(InputError, match="share"):
        free_compression(Uniform(0, 1), 1.5)

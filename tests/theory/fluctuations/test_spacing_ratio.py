"""Ratios of consecutive level spacings."""

from typing import Any

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.linalg import eigvalsh_tridiagonal
from scipy.special import exp1

from hessium.errors import InputError
from hessium.theory import (
    SpacingRatio,
    goe,
)


@pytest.mark.parametrize(
    ("name", "mean"),
    [
        ("poisson", 2 * np.log(2) - 1),
        ("goe", 4 - 2 * np.sqrt(3)),
        ("gue", 2 * np.sqrt(3) / np.pi - 0.5),
        ("gse", 32 * np.sqrt(3) / (15 * np.pi) - 0.5),
    ],
)
def test_spacing_ratio_laws(name: Any, mean: Any) -> None:
    law = SpacingRatio(name)
    assert law.cdf([0, 1, 2]) == pytest.approx([0, 1, 1], abs=1e-12)
    assert law.mean() == pytest.approx(mean, abs=1e-12)
    assert abs(law.large_matrix_mean - mean) < 0.007
    assert law.pdf([-0.1, 1.1]).tolist() == [0, 0]
    with pytest.raises(InputError, match="ensemble"):
        SpacingRatio("goo")


def test_spacing_ratio_of_sampled_spectra() -> None:
    ratios = []
    for rng in np.random.default_rng(0).spawn(4):
        s = np.diff(np.linalg.eigvalsh(goe(400, rng=rng)))
        ratios.append(np.minimum(s[1:], s[:-1]) / np.maximum(s[1:], s[:-1]))
    mean = np.concatenate(ratios).mean()
    # 1592 ratios of standard deviation 0.27: 4 standard errors, 6e-5 false alarms
    assert mean == pytest.approx(SpacingRatio("goe").large_matrix_mean, abs=0.027)
    assert mean != pytest.approx(SpacingRatio("poisson").large_matrix_mean, abs=0.027)


def test_spread_of_the_mean_ratio_of_independent_levels() -> None:
    # the integral over the spacing b that two neighbouring ratios share
    def inner(b: float) -> float:
        return (1 - np.exp(-b) * (1 + b)) / b + b * exp1(b)

    law = SpacingRatio("poisson")
    shared = quad(lambda b: inner(b) ** 2 * np.exp(-b), 0, np.inf)[0] - law.mean() ** 2
    variance = 3 - 4 * np.log(2) - law.mean() ** 2
    assert law.mean_spread([1]) == pytest.approx(variance**0.5, rel=1e-5)
    exact = np.sqrt(7 * variance + 2 * 5 * shared) / 7
    assert law.mean_spread([3, 4]) == pytest.approx(exact, rel=1e-5)
    for runs in ([], [0], [2, -1]):
        with pytest.raises(InputError, match="runs"):
            law.mean_spread(runs)


@pytest.mark.parametrize(("name", "beta"), [("goe", 1), ("gue", 2), ("gse", 4)])
def test_spread_of_the_mean_ratio_of_repelling_levels(name: str, beta: int) -> None:
    # 1500 means: their deviation within 8.5 % of what is stated but with probability 4e-6
    rng, n = np.random.default_rng(beta), 40
    means = []
    for _ in range(1500):
        beside = np.sqrt(rng.chisquare(beta * np.arange(n - 1, 0, -1)))
        s = np.diff(eigvalsh_tridiagonal(np.sqrt(2) * rng.standard_normal(n), beside))
        means.append((np.minimum(s[1:], s[:-1]) / np.maximum(s[1:], s[:-1])).mean())
    stated = SpacingRatio(name).mean_spread([n - 2])
    assert np.std(means) == pytest.approx(stated, rel=0.085)
    # the control: ratios as if independent scatter less, by a tenth and more
    assert np.std(means) > 1.1 * SpacingRatio(name).mean_spread([1] * (n - 2))

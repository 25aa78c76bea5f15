"""The Tracy-Widom laws."""

from time import perf_counter
from typing import Any

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import kstest

from hessium.errors import InputError
from hessium.theory import (
    Semicircle,
    TracyWidom,
    soft_edge,
)

MOMENTS = [  # published means and variances (Bornemann 2010, table 2)
    (1, -1.206533574582, 1.607781034581),
    (2, -1.771086807411, 0.8131947928329),
    (4, -2.306884893241, 0.5177237207726),
]


@pytest.mark.parametrize(("beta", "mean", "variance"), MOMENTS)
def test_tracy_widom_moments(beta: Any, mean: Any, variance: Any) -> None:
    law = TracyWidom(beta)
    assert law.mean() == pytest.approx(mean, abs=2e-12)
    assert law.var() == pytest.approx(variance, abs=2e-11)
    s = np.linspace(-9, 15, 3001)
    assert (np.diff(law.cdf(s)) > -1e-13).all()
    assert (law.pdf(s) >= 0).all()
    assert np.trapezoid(law.pdf(s), s) == pytest.approx(1, abs=1e-9)
    assert law.cdf(law.ppf([0.01, 0.5, 0.99])) == pytest.approx([0.01, 0.5, 0.99], abs=1e-12)
    assert law.cdf([-50, 50]).tolist() == [0, 1]


def test_tracy_widom_quantiles_as_in_scipy() -> None:
    law = TracyWidom(1)
    assert law.ppf([0, 1]).tolist() == law.isf([1, 0]).tolist() == [-np.inf, np.inf]
    q = np.array([[1e-12, 1e-6, 0.3], [0.999, 1 - 1e-9, 0.5]])
    assert law.cdf(law.ppf(q)) == pytest.approx(q, abs=2e-15)
    assert law.sf(law.isf(q)) == pytest.approx(q, abs=2e-15)
    slow = brentq(lambda s: float(law.cdf(s)) - 0.3, -9, 9, xtol=1e-14)
    assert law.ppf(0.3) == pytest.approx(slow, abs=1e-13)
    edge = soft_edge(Semicircle(variance=1.0), 100, side="left")
    assert edge.ppf([0, 1]).tolist() == [-np.inf, np.inf]
    with pytest.raises(InputError, match="q"):
        law.isf(1.5)


def test_tracy_widom_draws() -> None:
    law, draws = TracyWidom(2), 20000
    begin = perf_counter()
    sample = law.rvs((2, draws // 2), rng=0)
    assert perf_counter() - begin < 2  # one root after the other takes 10 s
    # Kolmogorov-Smirnov: 2 exp(-2 c^2) = 2e-4 false alarms
    level = np.sqrt(-0.5 * np.log(1e-4) / draws)
    assert kstest(law.cdf(sample).ravel(), "uniform").statistic < level
    assert kstest(TracyWidom(4).cdf(sample).ravel(), "uniform").statistic > level


def test_tracy_widom_values() -> None:
    # F_2(-2) and F_1(-2) as printed by Bornemann 2010, section 1
    assert TracyWidom(2).cdf(-2.0) == pytest.approx(0.4132241425051226, abs=1e-13)
    assert TracyWidom(1).cdf(-1.2065) == pytest.approx(0.519, abs=2e-3)


def test_tracy_widom_determinant_has_converged() -> None:
    from hessium.theory.fluctuations import tracy_widom

    s = np.array([-8.0, -3.0, 0.0])
    here = tracy_widom._determinants(s)
    order = tracy_widom._ORDER
    try:
        tracy_widom._ORDER = order + 40
        finer = tracy_widom._determinants(s)
    finally:
        tracy_widom._ORDER = order
    assert here[0] == pytest.approx(finer[0], abs=1e-13)
    assert here[1] == pytest.approx(finer[1], abs=1e-13)


def test_airy_values_beyond_the_threshold() -> None:
    from scipy.special import airy

    from hessium.theory.fluctuations import tracy_widom

    z = np.concatenate([np.linspace(-14, 9, 30), np.geomspace(9.9, 30, 60)])
    found, expected = tracy_widom._airy(z), airy(z)[0]
    assert found == pytest.approx(expected, rel=1e-9, abs=0)
    assert np.abs(found - expected).max() < 1e-19

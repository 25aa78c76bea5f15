"""The test of normality and its critical values."""

from __future__ import annotations

import numpy as np
import pytest

from hessium.compare import normality
from hessium.compare._formatting import percent
from hessium.compare.normality import critical


@pytest.mark.parametrize("alpha", [1e-12, 0.001, 0.05, 0.2, 0.45, 0.745, 0.8, 0.99, 0.9999])
def test_every_alpha_has_a_critical_value(alpha: float) -> None:
    value = critical(alpha)
    assert 0 < value < 20
    assert critical(0.97 * alpha) >= value


def test_levels_near_the_ends() -> None:
    assert critical(1 - 1e-9) == 0.0
    assert critical(1e-300) == np.inf


def test_critical_values_are_those_of_the_p_value() -> None:
    # table 4.9 of the source: 10 %, 5 %, 2.5 %, 1 %
    for alpha, value in ((0.1, 0.631), (0.05, 0.752), (0.025, 0.873), (0.01, 1.035)):
        assert critical(alpha) == pytest.approx(value, rel=6e-3)
    found = normality(np.random.default_rng(0).standard_normal(500))
    assert critical(found.p_value) == pytest.approx(found.statistic, rel=1e-6)


def test_percentages_keep_their_digits() -> None:
    shown = [percent(1 - alpha) for alpha in (0.05, 0.01, 0.025, 0.001, 1e-6, 0.8, 0.999)]
    assert shown == ["95%", "99%", "97.5%", "99.9%", "99.9999%", "20%", "0.1%"]

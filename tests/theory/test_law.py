"""The protocol itself: a law from outside the package needs a handful of methods."""

import numpy as np
import pytest
from scipy.special import beta

from hessium._random import Rng
from hessium._typing import FloatArray
from hessium.theory import Empirical, Law, Semicircle, free_sum
from hessium.theory._arrays import ComplexArray
from hessium.theory._cumulants import cumulants_from_moments, moments_from_cumulants
from hessium.theory.ensembles import with_spectrum


class Root(Law):
    r"""Density (3/2) sqrt(1 - x) on [0, 1]; with s^2 = 1 - z, L = log((s - 1)/(s + 1)).

    G = 3 + (3/2) s L, and the log-potential is log z - 2/3 - 2 s^2 - s^3 L.
    """

    @staticmethod
    def _logarithm(z: ComplexArray) -> tuple[ComplexArray, ComplexArray]:
        s = -1j * np.sqrt(
            z - 1
        )  # not sqrt(1 - z): real z comes as x + 0i, and 1 - 0i loses the side
        return s, np.log(s - 1) - np.log(s + 1)

    def _transform(self, z: ComplexArray) -> tuple[ComplexArray, ComplexArray]:
        s, log = self._logarithm(z)
        return 3 + 1.5 * s * log, 1.5 / z - 0.75 * log / s

    def _log_potential(self, z: ComplexArray) -> ComplexArray:
        s, log = self._logarithm(z)
        return np.asarray(np.log(z) - 2 / 3 - 2 * s**2 - s**3 * log)

    def support_intervals(self) -> tuple[tuple[float, float], ...]:
        return ((0.0, 1.0),)

    def free_cumulants(self, count: int) -> FloatArray:
        k = np.arange(1, count + 1)
        return cumulants_from_moments(np.asarray(1.5 * beta(k + 1, 1.5), dtype=np.float64))

    def matrix(self, n: int, rng: Rng = None) -> FloatArray:
        return with_spectrum(self, n, rng)


def test_a_law_from_outside_works_everywhere() -> None:
    law = Root()
    x = np.array([0.1, 0.5, 0.9])
    assert law.pdf(x) == pytest.approx(1.5 * np.sqrt(1 - x), rel=1e-12)
    assert law.cdf(x) == pytest.approx(1 - (1 - x) ** 1.5, abs=1e-14)
    assert law.mean() == pytest.approx(0.4)
    total = free_sum(law, Semicircle(variance=0.1), Empirical([1.0]))
    assert total.mean() == pytest.approx(1.4)
    y = np.linspace(total.support()[0], total.support()[1], 400)
    assert np.trapezoid(total.pdf(y), y) == pytest.approx(1, abs=1e-3)


def test_moments_and_cumulants_are_inverse() -> None:
    cumulants = np.array([0.3, 1.2, -0.5, 0.7, 0.1, 2.0])
    moments = moments_from_cumulants(cumulants)
    assert cumulants_from_moments(moments) == pytest.approx(cumulants)
    # Catalan numbers, and the Bell-like recursion at order 4: m4 = k4 + 4 k3 k1 + 2 k2^2 + ...
    assert moments_from_cumulants(np.array([0, 1.0, 0, 0, 0, 0])) == pytest.approx(
        [0, 1, 0, 2, 0, 5]
    )
    k1, k2, k3, k4 = cumulants[:4]
    fourth = k4 + 4 * k3 * k1 + 2 * k2**2 + 6 * k2 * k1**2 + k1**4
    assert moments[3] == pytest.approx(fourth)

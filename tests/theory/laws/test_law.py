"""The protocol itself: a law from outside the package defines four public methods."""

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from scipy.special import beta
from scipy.stats import rv_discrete, semicircular

from hessium._typing import ComplexArray, FloatArray
from hessium.errors import InputError
from hessium.theory import (
    Arcsine,
    Empirical,
    Law,
    MarchenkoPastur,
    Semicircle,
    Uniform,
    free_power,
    free_product,
    free_sum,
    relu_hessian,
)
from hessium.theory.laws.cumulants import cumulants_from_moments, moments_from_cumulants


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

    def cauchy_above(self, z: ComplexArray) -> tuple[ComplexArray, ComplexArray]:
        s, log = self._logarithm(z)
        return 3 + 1.5 * s * log, 1.5 / z - 0.75 * log / s

    def log_potential_above(self, z: ComplexArray) -> ComplexArray:
        s, log = self._logarithm(z)
        return np.asarray(np.log(z) - 2 / 3 - 2 * s**2 - s**3 * log)

    def support_intervals(self) -> tuple[tuple[float, float], ...]:
        return ((0.0, 1.0),)

    def free_cumulants(self, count: int) -> FloatArray:
        k = np.arange(1, count + 1)
        return cumulants_from_moments(np.asarray(1.5 * beta(k + 1, 1.5), dtype=np.float64))


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
    eigenvalues = np.linalg.eigvalsh(law.matrix(9, rng=0))
    assert eigenvalues == pytest.approx(law.ppf((np.arange(9) + 0.5) / 9), abs=1e-12)


def test_a_law_from_outside_overrides_public_methods_only() -> None:
    overridden = {name for name in vars(Root) if name in dir(Law) and callable(getattr(Law, name))}
    assert overridden == Law.__abstractmethods__
    assert not any(name.startswith("_") for name in overridden)


def test_isf_as_in_scipy() -> None:
    q = np.array([[0.0, 1e-3, 0.25], [0.5, 0.999, 1.0]])
    assert Semicircle(variance=0.25).isf(q) == pytest.approx(semicircular.isf(q), abs=1e-9)
    points = Empirical([1.0, 2.0, 4.0], weights=[0.25, 0.25, 0.5])
    same = rv_discrete(values=([1, 2, 4], [0.25, 0.25, 0.5]))
    levels = np.array([0.1, 0.5, 0.6, 0.75, 0.9])
    assert points.isf(levels).tolist() == same.isf(levels).tolist()
    with pytest.raises(InputError, match="q: values"):
        points.isf(-0.1)


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


EVERY: dict[str, Law] = {
    "semicircle": Semicircle(variance=0.7),
    "mp": MarchenkoPastur(ratio=4.0, scale=2.0),
    "levy": relu_hessian(0.3, 0.4),
    "uniform": Uniform(-1, 3),
    "arcsine": Arcsine(radius=1.5),
    "empirical": Empirical([1, 2, 2, 5]),
    "two points": free_sum(Empirical([-1, 1]), Empirical([0, 1.3], weights=[0.3, 0.7])),
    "atoms + noise": free_sum(Empirical([0, 1, 4]), MarchenkoPastur(ratio=0.5)),
    "pair": free_sum(Empirical([0, 1, 4]), Uniform(0, 1)),
    "power": free_power(Uniform(0, 1), 2.5),
    "product": free_product(Uniform(1, 2), MarchenkoPastur(ratio=0.5)),
    "affine": Uniform(-1, 3).scaled(-2.0).shifted(1),
}


@pytest.mark.parametrize("name", EVERY)
def test_laws_are_values(name: Any) -> None:
    law = EVERY[name]
    for twin in (pickle.loads(pickle.dumps(law)), copy.deepcopy(law)):
        assert twin == law
        assert hash(twin) == hash(law)
    assert law != Semicircle(variance=0.123)
    assert len(repr(law)) < 200


@pytest.mark.parametrize("name", EVERY)
def test_far_away_every_law_is_one_atom(name: Any) -> None:
    law = EVERY[name]
    for z in (1e12, -1e12, 1e300, -1e300, 1e200j, np.inf, -np.inf):
        g = complex(law.stieltjes(z))
        assert g == pytest.approx(1 / (z - law.mean()), rel=1e-12, abs=0)
        assert complex(law.log_potential(z)).imag == pytest.approx(np.angle(z), abs=1e-11)
    for z in (1e4, 1e4j, -1e4):  # and the change of formula is not seen
        expansion = 1 / (z - law.mean()) + law.var() / (z - law.mean()) ** 3
        assert complex(law.stieltjes(z)) == pytest.approx(expansion, rel=1e-11)


@pytest.mark.parametrize("name", EVERY)
def test_nan_is_refused_everywhere(name: Any) -> None:
    law = EVERY[name]
    calls = [("stieltjes", "z"), ("log_potential", "z"), ("r_transform", "g"), ("pdf", "x")]
    for method, argument in calls:
        for bad in (np.nan, [0.1, np.nan], [True, np.nan]):
            with pytest.raises(InputError, match=argument):
                getattr(law, method)(bad)
    for share in (-0.1, 1.1):
        with pytest.raises(InputError, match="confidence"):
            law.interval(share)
    assert law.free_cumulants(0).shape == (0,)


@pytest.mark.sampled
@pytest.mark.parametrize("scale", [1e-60, 1e-6, 1e6, 1e60])
def test_laws_scale(scale: float) -> None:
    def laws(s: float) -> list[Law]:
        atoms = Empirical(np.array([-1.0, 0, 2]) * s)
        return [
            MarchenkoPastur(ratio=0.5, scale=s),
            relu_hessian(0.3 * s**2, 0.5, s),
            free_sum(Empirical([-s, s]), Empirical([0, 1.5 * s])),
            free_sum(atoms, Uniform(0, s)),
            free_sum(atoms, MarchenkoPastur(ratio=0.5, scale=s)),
        ]

    for unit, law in zip(laws(1.0), laws(scale), strict=True):
        x, q = np.linspace(*unit.support(), 23)[1:-1], np.linspace(0.05, 0.95, 7)
        assert np.divide(law.support_intervals(), scale) == pytest.approx(
            np.array(unit.support_intervals()), abs=1e-11
        )
        assert law.pdf(x * scale) * scale == pytest.approx(unit.pdf(x), rel=1e-8, abs=1e-11)
        assert law.cdf(x * scale) == pytest.approx(unit.cdf(x), abs=1e-11)
        assert law.ppf(q) / scale == pytest.approx(unit.ppf(q), rel=1e-9, abs=1e-9)

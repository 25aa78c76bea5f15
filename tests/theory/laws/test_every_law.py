"""What every law promises, checked on all of them."""

from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad

from hessium.errors import InputError
from hessium.theory import (
    Arcsine,
    Empirical,
    FreeLevy,
    Law,
    LevyLaw,
    MarchenkoPastur,
    Semicircle,
    Uniform,
    relu_hessian,
)

LAWS: dict[str, Law] = {
    "semicircle": Semicircle(variance=0.7),
    "mp-quarter": MarchenkoPastur(ratio=0.25, scale=1.5),
    "mp-one": MarchenkoPastur(ratio=1.0),
    "mp-four": MarchenkoPastur(ratio=4.0, scale=2.0),
    "levy": FreeLevy(drift=-1.0, variance=0.1, rates=(0.3, 6.0), jumps=(2.0, -0.2)),
    "compound": FreeLevy(rates=(0.2, 0.3), jumps=(1.0, -3.0)),
    "relu": relu_hessian(0.3, 0.4),
    "uniform": Uniform(-1, 3),
    "arcsine": Arcsine(radius=1.5),
}


@pytest.fixture(params=LAWS, scope="module")
def law(request: Any) -> Law:
    return LAWS[request.param]


def integral(law: Law, weight: Callable[[float], float], a: float, b: float) -> float:
    """Continuous part of the law against `weight` on an interval, with ends made smooth."""

    def integrand(t: float) -> float:
        x = a + (b - a) * np.sin(np.pi * t / 2) ** 2
        return float(law.pdf(x)) * weight(x) * (b - a) * np.pi / 2 * np.sin(np.pi * t)

    value: float = quad(integrand, 0, 1, epsabs=1e-11, epsrel=1e-11, limit=200)[0]
    return value


def _power(k: int) -> Callable[[float], float]:
    def power(x: float) -> float:
        return float(x**k)

    return power


@pytest.mark.sampled
def test_moments_are_integrals_of_the_density(law: Any) -> None:
    for k in range(4):
        total = sum(w * x**k for x, w in law.atoms.items())
        total += sum(integral(law, _power(k), a, b) for a, b in law.support_intervals())
        assert total == pytest.approx(law.moment(k), rel=1e-9, abs=1e-9)
    assert law.mean() == pytest.approx(law.moment(1))
    assert law.var() == pytest.approx(law.moment(2) - law.moment(1) ** 2)
    assert law.std() == pytest.approx(np.sqrt(law.var()))


def test_cdf_is_the_integral_of_pdf_plus_atoms(law: Any) -> None:
    for a, b in law.support_intervals():
        x = a + 0.37 * (b - a)
        grid = np.linspace(0, 1, 20001)
        t = a + (x - a) * grid**2
        f = law.pdf(t[1:]) * 2 * (x - a) * grid[1:]
        f = np.concatenate([[2 * f[0] - f[1]], f])
        below = float(law.cdf(a)) + float(np.trapezoid(f, grid))
        assert float(law.cdf(x)) == pytest.approx(below, abs=1e-8)
    low, high = law.support()
    assert law.cdf([-np.inf, low - 1e-9, high, np.inf]) == pytest.approx([0, 0, 1, 1], abs=0)
    assert law.sf(0.1) == pytest.approx(1 - law.cdf(0.1))
    assert law.mass(low - 1, high) == 1


def test_cdf_is_right_continuous_at_atoms(law: Any) -> None:
    for x, weight in law.atoms.items():
        jump = law.cdf(x) - law.cdf(np.nextafter(x, -np.inf))
        assert jump == pytest.approx(weight, abs=1e-15)


def test_ppf_is_the_generalised_inverse(law: Any) -> None:
    q = np.concatenate([np.linspace(0, 1, 41), [1e-12, 1 - 1e-12]])
    x = law.ppf(q)
    # to a few spacings of floats: next to a hard edge the cdf moves by 1e-8 from one to the next
    spacing = 4 * np.spacing(np.maximum(np.abs(x), np.abs(law.support()).max()))
    assert (law.cdf(x + spacing) >= q - 1e-14).all()
    assert (law.cdf(x - spacing) <= q + 1e-14).all()
    assert law.ppf(0) == law.support()[0]
    assert law.ppf(1) == pytest.approx(law.support()[1])
    assert law.interval(0.5) == pytest.approx(tuple(law.ppf([0.25, 0.75])))
    assert law.median() == law.ppf(0.5)


def test_transforms_agree_with_each_other(law: Any) -> None:
    z = np.array([0.3 + 0.8j, -2 - 1j, 5 + 1e-3j, law.support()[1] + 1.0, law.support()[0] - 1])
    g = law.stieltjes(z)
    assert law.r_transform(g) + 1 / g == pytest.approx(z, rel=1e-9)
    h = 1e-5
    slope = (law.log_potential(z + h) - law.log_potential(z - h)) / (2 * h)
    assert slope == pytest.approx(g, rel=1e-7)
    assert law.stieltjes(z.conj()) == pytest.approx(g.conj())
    assert law.stieltjes(1e9) == pytest.approx(1e-9)
    if abs(law.mean()) > 1e-12:
        y = np.array([0.01])
        # S(y) = 1 / R(y S(y))
        s = law.s_transform(y)
        assert 1 / law.r_transform(y * s) == pytest.approx(s, rel=1e-10)


def test_transforms_of_the_flat_law_in_closed_form() -> None:
    """K(g) = (b e^{bg} - a e^{ag})/(e^{bg} - e^{ag}) by mpmath; S by its definition."""
    a, b = -0.8, 1.2
    law = Uniform(a, b)
    with mpmath.workdps(60):

        def r(g: complex) -> Any:
            low, high, c = (mpmath.exp(mpmath.mpf(t) * mpmath.mpc(g)) for t in (a, b, 0.0))
            return (mpmath.mpf(b) * high - mpmath.mpf(a) * low) / (high - low) - c / mpmath.mpc(g)

        sizes = [1e-20, 1e-15, 1e-12, 1e-9, 1e-6, 1e-3, 0.02, 0.3, 2.0, 15.0]
        g = np.array([*sizes, *np.negative(sizes), 1e-9j, 0.5j, 1 + 1j, -2 + 1.4j, 0.1 - 1e-13j])
        exact = np.array([complex(r(x)) for x in g.tolist()])
        assert np.abs(law.r_transform(g) - exact).max() < 2e-14
        y = np.array(
            [1e-20, -1e-15, 1e-12, -1e-9, 1e-3, 0.1, 3.0, -0.005, -0.03, 0.1j, -0.1 + 0.05j]
        )
        s = law.s_transform(y)
        back = [
            complex(v * s_ * r(v * s_) / v) for v, s_ in zip(y.tolist(), s.tolist(), strict=True)
        ]
    assert back == pytest.approx(np.ones(y.size), abs=1e-13)
    with pytest.raises(InputError, match=r"y: -0\.1; no preimage"):
        law.s_transform(-0.1)  # y has a minimum on the way in
    # products of imaginary parts underflow
    for tiny in (1e-170j, 1e-320j, -1e-170j):
        assert law.r_transform(0.1 + tiny) == pytest.approx(complex(r(0.1)), rel=1e-14)


@pytest.mark.parametrize("ratio", [0.5, 1.0, 2.0, 4.0])
def test_s_transform_reaches_the_edge(ratio: float) -> None:
    """S(y) = 1/(1 + ratio y) of Marchenko-Pastur, up to y = 1/sqrt(ratio)."""
    law, limit = MarchenkoPastur(ratio=ratio), 1 / np.sqrt(ratio)
    y = limit * np.array([1e-20, 1e-6, 0.3, 0.75, 0.9, 0.999, 1.0, 0.2 + 0.3j, 0.5j])
    assert law.s_transform(y) == pytest.approx(1 / (1 + ratio * y), rel=1e-11)
    with pytest.raises(InputError, match=r"^y: "):
        law.s_transform(1.001 * limit)
    with pytest.raises(InputError, match=r"^y: inf"):
        law.s_transform(np.inf)


def test_certificates_of_closed_and_solved_forms(law: Any) -> None:
    if isinstance(law, LevyLaw):
        x = np.linspace(law.support()[0], law.support()[1], 301)
        assert law.residual(x).max() < 1e-14


def test_shift_and_scale_move_everything(law: Any) -> None:
    moved = law.scaled(-2.0).shifted(0.5)
    assert moved.support() == pytest.approx(tuple(sorted(0.5 - 2 * x for x in law.support())))
    x = np.linspace(law.support()[0], law.support()[1], 23)[1:-1] + 1e-4
    assert moved.pdf(0.5 - 2 * x) == pytest.approx(law.pdf(x) / 2, rel=1e-9, abs=1e-12)
    assert moved.cdf(0.5 - 2 * x) == pytest.approx(1 - law.cdf(x), abs=1e-12)
    assert moved.mean() == pytest.approx(0.5 - 2 * law.mean())


def test_shapes_go_through(law: Any) -> None:
    assert law.pdf(0.3).shape == ()
    assert law.cdf([[0.1, 0.2, 0.3]]).shape == (1, 3)
    assert law.ppf(np.full((2, 1), 0.5)).shape == (2, 1)
    assert law.stieltjes(1j).shape == ()
    assert law.rvs((3, 2), rng=0).shape == (3, 2)
    assert law.pdf([]).shape == (0,)


def test_draws_follow_the_law_and_seeds_repeat_them(law: Any) -> None:
    draws = law.rvs(4000, rng=3)
    assert (draws == law.rvs(4000, rng=3)).all()
    # the mid-distribution transform of a law with atoms, spread uniformly over each jump
    left = law.cdf(np.nextafter(draws, -np.inf))
    u = left + (law.cdf(draws) - left) * np.random.default_rng(0).random(draws.size)
    assert stats.kstest(u, "uniform").pvalue > 1e-4  # false alarm: 1e-4 for each law, seed fixed
    assert stats.kstest(u**1.1, "uniform").pvalue < 1e-4


def test_matrices_have_the_law(law: Any) -> None:
    eigenvalues = np.linalg.eigvalsh(law.matrix(500, rng=0))
    grid = np.linspace(law.support()[0], law.support()[1], 60)
    clear = np.all([np.abs(grid - x) > 0.05 for x in law.atoms], axis=0)
    empirical = np.searchsorted(eigenvalues, grid, side="right") / 500
    # eigenvalues are rigid: the distance is O(1/n), far below 500^-1/2; no false alarm at 0.02
    assert np.abs(empirical - law.cdf(grid))[clear].max() < 0.02
    assert np.abs(empirical - law.shifted(0.2 * law.std()).cdf(grid))[clear].max() > 0.02


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_bad_parameters_are_refused(bad: Any) -> None:
    with pytest.raises(InputError, match="variance"):
        Semicircle(variance=bad)
    with pytest.raises(InputError, match="ratio"):
        MarchenkoPastur(ratio=bad)
    with pytest.raises(InputError, match="jumps"):
        FreeLevy(rates=(1.0,), jumps=(bad,))


def test_bad_arguments_are_refused() -> None:
    law = Semicircle(variance=1.0)
    calls: list[tuple[Any, Any, str]] = [
        (law.pdf, np.nan, "x"),
        (law.cdf, 1j, "x"),
        (law.ppf, 1.5, "q"),
        (law.moment, -1, "order"),
        (law.scaled, 0, "scale"),
    ]
    for method, argument, name in calls:
        with pytest.raises(InputError, match=name):
            method(argument)
    with pytest.raises(InputError, match="a <= b"):
        law.mass(1, 0)
    with pytest.raises(InputError, match="scale"):
        MarchenkoPastur(ratio=1.0, scale=0)
    with pytest.raises(InputError, match="atom"):
        FreeLevy(drift=1.0)


def test_parameters_go_by_position_or_by_name() -> None:
    assert Semicircle(0.5) == Semicircle(variance=0.5)
    assert MarchenkoPastur(0.5, 2.0) == MarchenkoPastur(scale=2.0, ratio=0.5)
    assert Uniform(0.0, 1.0) == Uniform(high=1.0, low=0.0)
    assert Arcsine(1.5) == Arcsine(radius=1.5)
    assert Empirical([1.0, 2.0], [0.3, 0.7]) == Empirical(
        weights=[0.3, 0.7], eigenvalues=[1.0, 2.0]
    )
    same = FreeLevy(rates=(0.3,), jumps=(2.0,), drift=0.1, variance=0.5)
    assert FreeLevy(0.1, 0.5, (0.3,), (2.0,)) == same

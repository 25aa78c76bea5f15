from typing import Any

import numpy as np
import pytest

from hessium.errors import InputError
from hessium.theory import (
    Arcsine,
    Empirical,
    FreeLevy,
    Law,
    MarchenkoPastur,
    Semicircle,
    Uniform,
    free_sum,
    wishart_wigner,
)
from hessium.theory.convolution.general_sum import GeneralSum
from hessium.theory.convolution.levy_sum import LevySum
from hessium.theory.convolution.subordination import SubordinatedLaw

SIGNS = Empirical([-1, 1])
GENERAL: dict[str, Law] = {
    "atoms + semicircle": free_sum(Empirical([0, 1, 2, 5, 5]), Semicircle(variance=0.05)),
    "atoms + MP, atom left": free_sum(
        Empirical([0, 4.0], weights=[0.9, 0.1]), MarchenkoPastur(ratio=4)
    ),
    "atoms + atoms": free_sum(Empirical([-1, 0, 1]), Empirical([0, 0.1, 5, 20])),
    "atoms + atoms, atom left": free_sum(
        Empirical([0, 1], weights=[0.8, 0.2]), Empirical([0, 2, 3], weights=[0.6, 0.2, 0.2])
    ),
    "two + two, atoms left": free_sum(
        Empirical([-1, 2], weights=[0.3, 0.7]), Empirical([0, 1.5], weights=[0.55, 0.45])
    ),
    "uniform + arcsine": free_sum(Uniform(0, 1), Arcsine(radius=1)),
    "nested": free_sum(Uniform(0, 1), Uniform(-1, 1), Semicircle(variance=0.1)),
}


NAMES = [
    pytest.param(name, marks=pytest.mark.slow) if name == "nested" else name for name in GENERAL
]


def distance(law: Law, eigenvalues: Any) -> float:
    """Kolmogorov distance away from atoms."""
    low, high = law.support()
    x = np.linspace(low, high, 801)
    clear = np.all([np.abs(x - a) > 0.02 for a in law.atoms], axis=0) & np.ones(801, dtype=bool)
    empirical = np.searchsorted(eigenvalues, x, side="right") / eigenvalues.size
    return float(np.abs(empirical - law.cdf(x))[clear].max())


def test_two_signs_make_the_arcsine_law_at_zero_too() -> None:
    law, arcsine = free_sum(SIGNS, SIGNS), Arcsine(radius=2)
    x = np.linspace(-2, 2, 201)[1:-1]
    assert law.pdf(x) == pytest.approx(arcsine.pdf(x), rel=1e-13)
    assert law.cdf(x) == pytest.approx(arcsine.cdf(x), abs=1e-15)
    assert law.pdf(0.0) == pytest.approx(1 / (2 * np.pi), rel=1e-15)
    assert law.support() == (-2, 2)
    assert free_sum(SIGNS, Empirical([-1, 1.1])).pdf(0.0) != pytest.approx(1 / (2 * np.pi))


def test_levy_summands_add_up_exactly() -> None:
    law = free_sum(MarchenkoPastur(ratio=0.25), Semicircle(variance=0.2))
    assert law == wishart_wigner(0.1, 0.25)
    again = free_sum(MarchenkoPastur(ratio=0.5), MarchenkoPastur(ratio=0.5, scale=1.0))
    assert isinstance(again, FreeLevy)
    assert again.rates == (4.0,)


def test_one_atom_shifts_and_one_law_stays() -> None:
    law = free_sum(Empirical([3.0]), Semicircle(variance=1.0))
    assert law.support() == pytest.approx((1, 5))
    assert free_sum(Uniform(0, 1), Empirical([2.0])).support() == (2, 3)
    assert free_sum(Empirical([1.0]), Empirical([2.0])).atoms == {3.0: 1.0}


def test_subordination_equals_the_levy_form() -> None:
    # MP + semicircle through three routes: triple, base + noise, and atoms of a large matrix
    exact = wishart_wigner(0.1, 0.5)
    two_step = free_sum(
        Empirical([0.0, 1e-13]), MarchenkoPastur(ratio=0.5), Semicircle(variance=0.2)
    )
    x = np.linspace(-0.38, 3.07, 101)
    assert two_step.pdf(x) == pytest.approx(exact.pdf(x), abs=1e-11)
    assert two_step.cdf(x) == pytest.approx(exact.cdf(x), abs=1e-11)
    assert two_step.support() == pytest.approx(exact.support(), abs=1e-9)


@pytest.mark.parametrize(
    ("base", "noise"),
    [
        (Empirical([0, 1, 4, 5]), Semicircle(variance=0.1)),
        (Empirical([0, 4.0, 5.0], weights=[0.9, 0.05, 0.05]), MarchenkoPastur(ratio=4)),
        (Uniform(0, 1), FreeLevy(variance=0.02, rates=(0.3, 0.2), jumps=(0.5, -2.0))),
    ],
    ids=["semicircle", "an atom left", "continuous base"],
)
def test_the_fast_route_for_levy_noise_agrees_with_the_general_one(base: Law, noise: Any) -> None:
    # the noise as a generic summand: the general route does not use its R-transform
    fast, slow = free_sum(base, noise), GeneralSum((noise, base))
    assert isinstance(fast, LevySum)
    assert fast.atoms == pytest.approx(slow.atoms, abs=1e-15)
    assert np.ravel(slow.support_intervals()) == pytest.approx(
        np.ravel(fast.support_intervals()), abs=1e-9
    )
    x = np.linspace(fast.support()[0] - 0.1, fast.support()[1] + 0.1, 97)
    assert slow.pdf(x) == pytest.approx(fast.pdf(x), abs=1e-9)
    assert slow.cdf(x) == pytest.approx(fast.cdf(x), abs=1e-13)
    z = x + 0.3j
    assert slow.stieltjes(z) == pytest.approx(fast.stieltjes(z), rel=1e-13)
    assert slow.log_potential(z) == pytest.approx(fast.log_potential(z), abs=1e-13)
    # and would see a wrong noise
    assert slow.cdf(x) != pytest.approx(free_sum(base, noise.scaled(1.01)).cdf(x), abs=1e-5)


@pytest.mark.sampled
@pytest.mark.parametrize("name", NAMES)
def test_general_sums_against_sampled_matrices(name: Any) -> None:
    law = GENERAL[name]
    eigenvalues = np.linalg.eigvalsh(law.matrix(500, rng=1))
    # eigenvalues are rigid: the distance is of order 1/n = 0.002; 0.012 has no false alarms
    assert distance(law, eigenvalues) < 0.012
    assert distance(law.shifted(0.1 * law.std()), eigenvalues) > 0.012


@pytest.mark.parametrize("name", NAMES)
def test_general_sums_are_certified_and_whole(name: Any) -> None:
    law = GENERAL[name]
    low, high = law.support()
    x = np.linspace(low - 0.1, high + 0.1, 401)
    pdf, cdf = law.pdf(x), law.cdf(x)
    assert np.isfinite(pdf).all()
    assert (pdf >= 0).all()
    assert (np.diff(cdf) > -1e-14).all()
    assert cdf[[0, -1]].tolist() == [0, 1]
    if isinstance(law, SubordinatedLaw):
        assert law.residual(x).max() < 1e-13
    q = np.linspace(0.01, 0.99, 25)
    assert (law.cdf(law.ppf(q)) >= q - 1e-12).all()
    z = np.array([low - 0.7, high + 0.3])
    assert law.log_potential(z).imag == pytest.approx([np.pi, 0], abs=1e-12)
    below = law.stieltjes(z + 1e-9j)
    assert law.stieltjes(z) == pytest.approx(below, rel=1e-6)


def test_masses_of_separated_cuts_are_eigenvalue_counts() -> None:
    rng = np.random.default_rng(5)
    eigenvalues = np.concatenate([[-9.0, -8.5], rng.uniform(0, 1, 97), [20.0]])
    law = free_sum(Empirical(eigenvalues), Semicircle(variance=0.01))
    counts = [100 * law.mass(a - 1e-9, b + 1e-9) for a, b in law.support_intervals()]
    assert counts == pytest.approx(np.round(counts), abs=1e-11)
    assert sum(counts) == pytest.approx(100)
    assert len(counts) > 3


def test_two_spectra_of_100_points_against_monte_carlo() -> None:
    rng = np.random.default_rng(0)
    law = GeneralSum(
        (Empirical(rng.standard_normal(100)), Empirical(rng.standard_exponential(100)))
    )
    x = np.linspace(law.support()[0], law.support()[1], 300)
    assert law.residual(x).max() < 1e-12
    eigenvalues = np.linalg.eigvalsh(law.matrix(600, rng=1))
    assert distance(law, eigenvalues) < 0.01


@pytest.mark.slow
def test_two_spectra_of_300_points_against_1500_eigenvalues() -> None:
    rng = np.random.default_rng(0)
    law = GeneralSum(
        (Empirical(rng.standard_normal(300)), Empirical(rng.standard_exponential(300)))
    )
    assert law.residual(law.ppf(np.linspace(0, 1, 1001))).max() < 1e-12
    eigenvalues = np.linalg.eigvalsh(law.matrix(1500, rng=1))
    assert distance(law, eigenvalues) < 0.005
    wrong = free_sum(Empirical(rng.standard_normal(300)), Semicircle(variance=1.0))
    assert distance(wrong.shifted(1.0), eigenvalues) > 0.02


def test_empirical_spectrum() -> None:
    law = Empirical([[2.0, 1.0], [2.0, 5.0]])
    assert law.atoms == {1.0: 0.25, 2.0: 0.5, 5.0: 0.25}
    assert law.cdf([0.9, 1, 2, 6]) == pytest.approx([0, 0.25, 0.75, 1], abs=0)
    assert law.ppf([0, 0.25, 0.26, 1]) == pytest.approx([1, 1, 2, 5], abs=0)
    assert (law.pdf(np.linspace(0, 6, 13)) == 0).all()
    assert law.mean() == pytest.approx(2.5)
    assert law.var() == pytest.approx(np.var([1, 2, 2, 5]))
    assert law.moment(3) == pytest.approx(np.mean(np.array([1, 2, 2, 5]) ** 3))
    for bad in ([], [1.0, np.nan], [1.0, np.inf], [1.0 + 1j]):
        with pytest.raises(InputError, match="eigenvalues"):
            Empirical(bad)
    with pytest.raises(InputError, match="weights"):
        Empirical([1.0, 2.0], weights=[0.5, 0.6])
    with pytest.raises(InputError, match="laws"):
        free_sum()


def test_cost_is_linear_in_the_number_of_atoms() -> None:
    # counted in evaluations, not seconds: iterations do not grow with the number of atoms
    rng = np.random.default_rng(2)
    iterations = []
    for n in (50, 400):
        law = LevySum(Empirical(rng.standard_normal(n)), Semicircle(variance=0.3).triple)
        x = np.linspace(-2, 2, 200).astype(complex)
        iterations.append(law._solve(x).iterations)
    assert iterations[1] <= 2 * iterations[0]


def test_two_two_point_laws_end_where_their_support_ends() -> None:
    law = free_sum(
        Empirical([-1, 0], weights=[2 / 3, 1 / 3]), Empirical([-2, 3], weights=[1 / 3, 2 / 3])
    )
    assert law.cdf([-1e9, -1000, law.support()[0]]).tolist() == [0, 0, 0]
    assert law.cdf([law.support()[1], 1000, 1e9]).tolist() == [1, 1, 1]


def test_two_two_point_laws_agree_with_60_digits() -> None:
    # roots of the quadratic of the subordination points, by mpmath
    law = free_sum(Empirical([0, 1]), Empirical([0, 1.3]))
    assert law.support() == pytest.approx((0, 2.3), abs=1e-15)
    z = [1.15 + 2.3e-9j, 0.0874 + 0j, 2.2 + 0.01j]
    potential = [
        -0.4307829160924542 + 1.5707963267948966j,
        -0.5619650483261998 + 2.745639861082339j,
        -0.540450042165004 + 0.42447422916551897j,
    ]
    transform = [
        6.436075505073368e-16 - 1.3333333333333329e-08j,
        -1.2577784203936403e-44 - 2.2970139200813176j,
        0.10173286035722073 - 2.146322324561433j,
    ]
    assert law.log_potential(z) == pytest.approx(np.array(potential), abs=2e-15)
    assert law.stieltjes(z) == pytest.approx(np.array(transform), rel=1e-14, abs=1e-14)


def test_the_transform_of_two_two_point_laws_next_to_an_atom() -> None:
    law = free_sum(Empirical([0, 1], weights=[0.3, 0.7]), Empirical([0, 2], weights=[0.25, 0.75]))
    assert law.atoms == {2.0: pytest.approx(0.05), 3.0: pytest.approx(0.45)}
    g = law.stieltjes(3 + np.array([1e-9j, 1e-11j]))
    # a pole of residue 0.45; the rest of G is of order one
    assert g == pytest.approx(0.45 / np.array([1e-9j, 1e-11j]), rel=2e-9)
    assert g[0] - 0.45 / 1e-9j == pytest.approx(g[1] - 0.45 / 1e-11j, abs=1e-4)


def test_where_two_equal_two_point_laws_touch() -> None:
    # the self-map is the identity at the centre, where two intervals meet
    one = Empirical([0, 1], weights=[0.3, 0.7])
    law = free_sum(one, one)
    assert len(law.support_intervals()) == 1
    assert law.atoms == {2.0: pytest.approx(0.4)}
    assert law.cdf([1.0, 1.99]) == pytest.approx([0.3, 0.6], abs=1e-15)
    near = law.pdf([1 - 1e-9, 1.0, 1 + 1e-9])
    assert near[1] > 0
    assert near == pytest.approx(np.full(3, near[1]), rel=1e-8)
    assert isinstance(law, GeneralSum)
    assert law.residual(np.linspace(*law.support_intervals()[0], 101)).max() < 1e-15

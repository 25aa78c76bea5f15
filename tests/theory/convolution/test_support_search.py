"""Gaps of free sums: every one found, masses exact, and no point trusted for lying on the axis."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hessium._typing import FloatArray
from hessium.errors import InputError
from hessium.theory import (
    Arcsine,
    Empirical,
    FreeLevy,
    Law,
    MarchenkoPastur,
    Semicircle,
    Uniform,
    free_power,
    free_sum,
)
from hessium.theory._fixed_point import fixed_points
from hessium.theory.convolution._branches import LawBranches
from hessium.theory.convolution._levy_support import LevySupportSearch
from hessium.theory.convolution._support_search import rising_stretches, slope
from hessium.theory.convolution.general_sum import GeneralSum

# sums on which a search on samples lost gaps, and Newton stopped at real fixed points
HARD: dict[str, Law] = {
    "a gap through G = 0": free_sum(Empirical([-3, -2, 0, 1]), Empirical([26, 27.6])),
    "far apart": free_sum(Empirical([-3, -1, 2, 4]), Empirical([40, 60, 124])),
    "narrow": free_sum(Empirical([-3, 0, 1, 2, 4]), Empirical([-0.017, -0.01, 0, 0.003, 0.02])),
    "two points": free_sum(Empirical([-0.7, -0.32, -0.29, -0.2, 0.12, 0.29]), Empirical([3, 4])),
    "power": free_sum(
        free_power(Empirical([-0.1, 0.2, 0.6]), 1.25), Empirical([61.2, 61.3, 61.4, 61.6])
    ),
    "four and three": free_sum(Empirical([-0.9, -0.7, -0.5, 3]), Empirical([4.7, 4.9, 5.4])),
    "arcsine": free_sum(Arcsine(radius=0.03), Empirical([-2, 0, 1, 3])),
    "tiny weights": free_sum(
        Empirical([-1, 0, 2], weights=[1e-6, 0.5, 0.499999]), Empirical([0, 5, 6])
    ),
}


def masses(law: Law, count: int = 600) -> tuple[FloatArray, FloatArray]:
    """Mass of each interval: by quadrature of the density, and from the distribution function."""
    share = (np.arange(count) + 0.5) / count
    bend = np.sin(0.5 * np.pi * share) ** 2
    found = []
    for low, high in law.support_intervals():
        weight = (high - low) * 0.5 * np.pi * np.sin(np.pi * share) / count
        found.append([law.pdf(low + (high - low) * bend) @ weight, law.mass(low, high)])
    by_density, by_cdf = np.array(found).T
    return by_density, by_cdf


@pytest.mark.sampled
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name == "power")) for name in HARD]
)
def test_masses_agree_and_the_distribution_function_rises(name: Any) -> None:
    law = HARD[name]
    by_density, by_cdf = masses(law)
    # a wrong density at one of the 600 points moves its sum by about 1e-3
    assert by_density == pytest.approx(by_cdf, abs=1e-7)
    assert by_cdf.sum() + sum(law.atoms.values()) == pytest.approx(1, abs=1e-12)
    low, high = law.support()
    x = np.linspace(low - 0.1, high + 0.1, 700)
    assert (np.diff(law.cdf(x)) >= -1e-13).all()
    assert masses(law.shifted(0.01), 60)[1] == pytest.approx(by_cdf, abs=1e-12)


spectra = st.lists(st.integers(-40, 40), min_size=2, max_size=5, unique=True)


@settings(max_examples=8, deadline=None)
@given(spectra, spectra)
@pytest.mark.slow
def test_the_search_equals_a_dense_scan(one: list[int], two: list[int]) -> None:
    first, second = Empirical(np.array(one) / 8), Empirical(np.array(two) / 3)
    unit = float(np.hypot(first.std(), second.std()))
    ours, theirs = LawBranches(first), LawBranches(second)
    found = rising_stretches(ours, theirs, unit)
    f = unit * np.concatenate([-np.geomspace(50, 1e-3, 80), np.geomspace(1e-3, 50, 80)])
    for i in range(first.nodes.size):
        for j in range(second.nodes.size):
            rising = slope(ours.at(np.full(f.size, i), f)[2:], theirs.at(np.full(f.size, j), f)[2:])
            inside = np.zeros(f.size, dtype=bool)
            for s in found:
                if (s.first, s.second) == (i, j):
                    inside |= (s.start < f) & (f < s.end)
            assert ((rising > 1e-9) <= inside).all()
            assert ((rising < -1e-9) <= ~inside).all()


def test_branches_invert_f_at_atoms_at_poles_and_far_out() -> None:
    law = Empirical([-2.0, 0.5, 3.0])
    branches = LawBranches(law)
    k = np.arange(3)
    w, shift, rate, lack = branches.at(k, np.zeros(3))
    assert w == pytest.approx([-2, 0.5, 3], abs=1e-15)
    assert rate == pytest.approx(np.full(3, 1 / 3), rel=1e-9)  # the weight of the atom
    far = np.full(3, 1e9)
    w, shift, rate, lack = branches.at(k, far)
    # outside, w - F = mean + var/F + ... and 1 - r = var/F^2 without cancellation
    assert shift[2] == pytest.approx(law.mean() + law.var() / 1e9, rel=1e-15)
    assert lack[2] == pytest.approx(law.var() * 1e-18, rel=1e-8)
    # at a pole p of F, r = c/F^2 with c = 1/|G'(p)|
    inverse = -1 / law.cauchy_above(w[:2].astype(complex))[1].real
    assert rate[:2] == pytest.approx(inverse * 1e-18, rel=1e-12)


def test_a_real_fixed_point_is_no_certificate() -> None:
    law = HARD["two points"]
    assert isinstance(law, GeneralSum)
    low, high = law.support_intervals()[-1]
    x = low + (high - low) * (np.arange(2000) + 0.5) / 2000
    density = law.pdf(x)
    # Newton's method alone ends on the real axis at some of these: density 1e-14 for 0.65
    middle = density[20:-20]
    assert np.abs(np.diff(middle)).max() < 0.02 * middle.max()
    assert law.residual(x).max() < 1e-13
    # the real solution passes as a point of small residual, and is not accepted
    real = fixed_points(law, np.array([high + 0.2 + 0j]), np.array([[1.0 + 1e-9j]]))
    assert real.residuals[0] < 1e-12
    assert not real.certified[0]


def test_the_middle_of_a_symmetric_gap_is_where_g_vanishes() -> None:
    law = free_sum(Empirical([-5.0, 5.0]), Uniform(-1, 1))
    assert isinstance(law, GeneralSum)
    assert len(law.support_intervals()) == 2
    assert law.cdf(0.0) == 0.5
    assert abs(complex(law.stieltjes(0.0))) < 1e-15
    # close to it on both sides, where one subordination point is nearly infinite
    near = law.stieltjes([-1e-9, 1e-9])
    assert near.real == pytest.approx([-near[1].real, near[1].real], rel=1e-6)
    assert near[1].real / 1e-9 == pytest.approx(complex(law.stieltjes(1e-4)).real / 1e-4, rel=1e-4)
    assert law.log_potential(0.0).imag == pytest.approx(np.pi / 2)


@pytest.mark.parametrize("lack", [1e-5, 1e-6, 1e-9, 1e-12])
def test_a_gap_that_nearly_closes(lack: float) -> None:
    # two points and a semicircle of variance v < 1: edges at +-(1 - v)^(3/2) to leading order
    law = free_sum(Empirical([-1, 1]), Semicircle(variance=1 - lack))
    (low, first), (second, high) = law.support_intervals()
    assert low < first <= second < high
    width = 2 * (2 / 3**1.5) * lack**1.5
    assert second - first == pytest.approx(width, rel=1e-3, abs=1e-15)


def test_noise_below_rounding_is_refused() -> None:
    spectrum = Empirical([1, 2, 5])
    assert len(free_sum(spectrum, Semicircle(variance=1e-28)).support_intervals()) == 3
    with pytest.raises(InputError, match="below the rounding"):
        free_sum(spectrum, Semicircle(variance=1e-34))


@pytest.mark.slow
def test_nested_sums_in_any_order() -> None:
    parts: list[Law] = [Uniform(0, 1), Empirical([0, 3, 9]), Semicircle(variance=0.05)]
    one, two = free_sum(*parts), free_sum(parts[1], parts[2], parts[0])
    assert np.ravel(two.support_intervals()) == pytest.approx(
        np.ravel(one.support_intervals()), abs=1e-9
    )
    x = np.linspace(-0.5, 10, 41)
    assert two.cdf(x) == pytest.approx(one.cdf(x), abs=1e-11)


def test_a_spectrum_and_noise_by_the_search_in_f_and_in_u() -> None:
    # Levy sums are searched in u; the search on branches of both parts, in f, is a second opinion
    points = np.random.default_rng(0).standard_normal(24)
    for noise in (Semicircle(variance=0.004), MarchenkoPastur(ratio=0.02, scale=0.3)):
        law = free_sum(Empirical(points), noise)
        other = GeneralSum((Empirical(points), noise))
        assert len(law.support_intervals()) > 5
        assert np.ravel(law.support_intervals()) == pytest.approx(
            np.ravel(other.support_intervals()), abs=1e-12
        )
        x = np.linspace(*law.support(), 50)
        assert law.cdf(x) == pytest.approx(other.cdf(x), abs=1e-12)
        off = np.array([law.support()[0] - 1, law.support()[1] + 0.01])
        assert law.stieltjes(off) == pytest.approx(other.stieltjes(off), rel=1e-10)
        assert law.log_potential(off) == pytest.approx(other.log_potential(off), rel=1e-12)


def test_bounds_of_the_search_in_u_hold() -> None:
    base = Empirical([-3.0, 0.0, 1.0, 1.2, 7.0])
    for triple in (
        FreeLevy(variance=0.02, rates=(0.3, 0.2), jumps=(0.5, -2.0)).triple,
        FreeLevy(rates=(0.05, 0.1), jumps=(0.5, -2.0)).triple,
    ):
        search = LevySupportSearch(base, triple, 3.0)
        low, high, _ = search._cells()
        most, least, _ = search._bounds(low, high, search.slopes(low), search.slopes(high))
        for part in np.linspace(0.01, 0.99, 25):
            rising = search.slopes(low + part * (high - low))[-1]
            assert (rising < 1e-9)[~most].all()
            assert (rising > -1e-9)[least].all()
        assert least.any()
        assert (~most).any()


def test_the_search_asks_in_proportion_to_the_points() -> None:
    calls = []

    class Counted(Empirical):
        def cauchy_above(self, z: Any) -> Any:
            calls.append(z.size)
            return super().cauchy_above(z)

    for n in (50, 200):
        calls.append(0)
        law = free_sum(
            Counted(np.random.default_rng(1).standard_normal(n)), Semicircle(variance=0.01)
        )
        total = -sum(calls)
        assert law.cdf(law.support()[1]) == 1
        total += sum(calls)
        assert total < 1000 * n

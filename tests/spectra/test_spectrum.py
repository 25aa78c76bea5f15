"""One type for exact and estimated spectra: the same questions, answers that agree."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import hessium as hs
from hessium.errors import InputError
from hessium.spectra import GaussRule
from support.chosen_spectra import with_eigenvalues
from support.risk_cases import draw

VALUES = np.concatenate([np.linspace(-1.0, -0.5, 30), np.zeros(40), np.linspace(0.2, 3.0, 130)])


@pytest.fixture(scope="module")
def pair() -> tuple[hs.Spectrum, hs.Spectrum]:
    matrix = with_eigenvalues(VALUES)
    return hs.spectrum(matrix), hs.spectral_measure(matrix, 6, 60, deflate=5)


def test_both_answer_every_question(pair: tuple[hs.Spectrum, hs.Spectrum]) -> None:
    """The exact answer lies in every bracket of the estimate.

    Of 36 brackets at confidence 0.9999 one misses in 0.4 % of the draws at most; the seed is fixed.
    """
    exact, estimate = pair
    assert (exact.exact, estimate.exact) == (True, False)
    assert exact.dim == estimate.dim == 200
    sure = {"confidence": 0.9999}
    for a, b in [(-2, -0.25), (-0.25, 0.1), (0.1, 1), (1, 9)]:
        truth = int(((a < VALUES) & (b >= VALUES)).sum())
        found = estimate.count(a, b, **sure)
        assert exact.count(a, b) == truth
        assert found.lower <= truth <= found.upper
        assert found.reasons[-1] == "probes"
    for tol in (0.02, 0.05):
        one, other = exact.inertia(tol), estimate.inertia(tol, **sure)
        for part in ("negative", "zero", "positive", "rank"):
            bracket = getattr(other, part)
            assert bracket.lower <= int(getattr(one, part)) <= bracket.upper
        assert exact.rank(tol) == 160
    profiles = exact.rank_profile([0.05, 0.02]), estimate.rank_profile([0.05, 0.02], **sure)
    assert profiles[0].rank.tolist() == profiles[0].lower.tolist() == [160, 160]
    assert (profiles[1].lower <= 160).all()
    assert (profiles[1].upper >= 160).all()
    x = np.linspace(-1.5, 3.5, 9)
    band = estimate.cdf_band(x, **sure)
    truth_cdf = exact.cdf(x)
    np.testing.assert_allclose(exact.cdf_band(x).value, truth_cdf, atol=1e-14)
    assert ((band.lower <= truth_cdf + 1e-12) & (truth_cdf <= band.upper + 1e-12)).all()
    mean, wanted = estimate.integral(np.square, **sure), float((VALUES**2).mean())
    assert mean.lower <= wanted <= mean.upper
    assert float(exact.integral(np.square)) == pytest.approx(wanted, rel=1e-12)
    assert exact.integral(np.square).stderr == 0
    for spectrum in pair:
        assert spectrum.support()[0] == pytest.approx(-1, abs=1e-2)
        assert spectrum.quantile(0.5) == pytest.approx(np.median(VALUES), abs=0.3)
        assert spectrum.moment(1) == pytest.approx(VALUES.mean(), abs=0.2)
        density = spectrum.density(x)
        assert (density.lower <= density.value).all()
        assert (density.value <= density.upper).all()


@pytest.mark.slow
def test_a_band_from_too_few_probes_is_not_claimed_to_be_exact(
    pair: tuple[hs.Spectrum, hs.Spectrum],
) -> None:
    """Control: brackets of little confidence miss, so those above can fail."""
    matrix = with_eigenvalues(VALUES)
    missed = 0
    for seed in range(20):
        found = hs.spectral_measure(matrix, 1, 200, rng=seed).count(0.1, 1.0, confidence=0.01)
        missed += not found.lower <= 37 <= found.upper
    assert missed > 10


def test_brackets_name_what_opens_them() -> None:
    values = np.array([1.0, 1e-7, 0.0])
    single = hs.Spectrum.of(values.astype(np.float32))
    found = single.inertia(1e-7)
    assert found.positive.reasons == ("rounding",)
    assert found.positive.confidence is None
    assert hs.Spectrum.of(values).inertia(1e-8).positive.reasons == ()
    few_steps = hs.spectral_measure(with_eigenvalues(VALUES), 3, 4).count(0.0, 1.0)
    assert few_steps.reasons == ("steps", "probes")


@given(
    values=st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=30),
    tol=st.sampled_from([0.0, 1e-9, 1e-3, 0.5]),
)
def test_an_exact_spectrum_counts(values: list[float], tol: float) -> None:
    spectrum = hs.Spectrum.of(values)
    array, n = np.array(values), len(values)
    t = tol * np.abs(array).max()
    found = spectrum.inertia(tol)
    assert int(found.negative) == (array < -t).sum()
    assert int(found.positive) == (array > t).sum()
    assert int(found.negative) + int(found.zero) + int(found.positive) == n
    assert spectrum.count(-np.inf, np.inf) == n
    profile = spectrum.rank_profile([tol])
    assert profile.lower[0] <= int(found.rank) <= profile.upper[0]


def test_what_is_certain_about_an_operator_bounds_its_counts() -> None:
    """Twelve samples of one output: no negative eigenvalue, at most twelve positive ones."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(10, 30), nn.Tanh(), nn.Linear(30, 19), nn.Linear(19, 1))
    data = (draw(12, 10).float(), draw(12, 1, seed=2).float())
    operator = hs.GaussNewton(hs.EmpiricalRisk(model, nn.MSELoss(), data))
    assert operator.shape[0] == 939
    for tol in (0.0, 1e-12, 1e-6, 1e-2):
        found = hs.inertia(operator, tol)
        assert found.negative == 0
        assert found.positive.upper <= 12
        again = hs.spectrum(operator).inertia(tol)
        assert (again.negative, again.positive) == (found.negative, found.positive)
    estimate = hs.spectral_measure(operator, 2, 20)
    assert estimate.count(-np.inf, -1e-30).upper == 0
    assert estimate.rank(1e-9).upper <= 12
    assert hs.effective_dimension(operator, 1e-3).method == "exact"
    assert hs.log_determinant(operator, shift=1e-3).method == "exact"


def test_two_spectra_of_either_kind_are_compared(pair: tuple[hs.Spectrum, hs.Spectrum]) -> None:
    exact, estimate = pair
    for one, other in ((exact, exact), (exact, estimate), (estimate, exact), (estimate, estimate)):
        found = hs.compare.distance(one, other)
        assert found.sizes == (200, 200)
        assert found.kolmogorov_bracket.lower <= 1e-9
    law = hs.theory.Semicircle(variance=1.0)
    distances = [hs.compare.distance(one, law).kolmogorov_bracket for one in pair]
    assert distances[1].lower <= distances[0].lower <= distances[1].upper


def test_descriptions_say_which_kind_it_is(pair: tuple[hs.Spectrum, hs.Spectrum]) -> None:
    exact, estimate = pair
    assert "200 eigenvalues" in repr(exact)
    assert "exact" in repr(exact)
    assert "estimated" in repr(estimate)
    assert "6 probes" in repr(estimate)


@pytest.mark.parametrize(
    "wrong", [[], [np.nan], [1j], [[1.0]], "ab"], ids=["empty", "NaN", "complex", "2d", "text"]
)
def test_only_lists_of_real_numbers_are_spectra(wrong: object) -> None:
    with pytest.raises(InputError):
        hs.Spectrum.of(wrong)  # type: ignore[arg-type]


@given(
    values=st.lists(st.floats(-2, 2), min_size=1, max_size=12),
    bound=st.integers(0, 12),
    tol=st.sampled_from([0.0, 1e-12, 1e-3, 0.3]),
)
def test_counts_add_up_whatever_is_certain(values: list[float], bound: int, tol: float) -> None:
    """The three values are those of one matrix, and the rank keeps to its bound."""
    spectrum = hs.Spectrum.of(values, rank_bound=bound)
    found = spectrum.inertia(tol)
    n = len(values)
    assert int(found.negative) + int(found.zero) + int(found.positive) == n == found.dim
    assert found.rank.lower <= int(found.rank) <= found.rank.upper <= min(bound, n)
    assert int(found.rank) == n - int(found.zero)


def test_counts_of_an_estimate_add_up_too() -> None:
    rng = np.random.default_rng(0)
    for seed in range(30):
        n = int(rng.integers(10, 60))
        values = np.where(rng.random(n) < 0.5, 0.0, rng.standard_normal(n))
        estimate = hs.spectral_measure(with_eigenvalues(values), 2, 5, rng=seed)
        for bound in (None, int((values != 0).sum())):
            one = dataclasses.replace(estimate, rank_bound=bound)
            found = one.inertia(0.05, confidence=0.999)
            assert int(found.negative) + int(found.zero) + int(found.positive) == n
            rank = int((np.abs(values) > 0.05 * found.scale).sum())
            assert found.rank.lower <= rank <= found.rank.upper


def test_integrals_respect_what_is_nonnegative() -> None:
    """Ritz values of a semidefinite matrix may be negative by rounding."""
    rules = (GaussRule(diagonal=np.array([-1e-16, 2.0]), offdiagonal=np.array([0.0, 0.0])),)
    estimate = hs.Spectrum.from_rules(
        rules, np.zeros(0), dim=9, resolution=1e-12, num_matvecs=2, nonnegative=True
    )
    found = estimate.integral(np.sqrt)
    assert np.isfinite([found.value, found.stderr, found.lower, found.upper]).all()
    with np.errstate(invalid="ignore"):
        unknown = dataclasses.replace(estimate, nonnegative=False).integral(np.sqrt)
    assert np.isnan(unknown.value)
    assert np.isnan(unknown.stderr)


@pytest.mark.parametrize("f", [np.sum, lambda x: 1j * x, lambda x: x[:1]], ids=["sum", "i", "one"])
def test_integrands_are_real_and_of_the_shape_of_their_points(f: Any) -> None:
    matrix = with_eigenvalues(VALUES)
    for spectrum in (hs.Spectrum.of([1.0, 2.0, 3.0]), hs.spectral_measure(matrix, 2, 4)):
        with pytest.raises(InputError, match="f:"):
            spectrum.integral(f)


def test_bands_of_a_distribution_function_know_the_certain_zeros() -> None:
    certain = {"rank_bound": 1, "nonnegative": True, "resolution": 1e-12}
    exact = hs.Spectrum.of([0.0, 0.0, 1.0], **certain)  # type: ignore[arg-type]
    band = exact.cdf_band([-1e-15, 0.0])
    assert band.lower.tolist() == [0.0, pytest.approx(2 / 3)]
    assert band.upper[0] == 0
    shifted = hs.Spectrum.of([-1e-17, 1.0], nonnegative=True).cdf_band([-1e-18])
    assert shifted.value[0] == shifted.upper[0] == 0


def test_the_band_of_a_density_holds_every_spectrum_within_the_resolution() -> None:
    rng = np.random.default_rng(1)
    for resolution, linear, width in ((1e-3, 1e-5, 0.15), (0.05, None, 0.01), (1e-9, None, 0.1)):
        values = np.array([0.0, 1.0, 1.3])
        x = np.linspace(-0.1, 1.5, 41)
        band = hs.Spectrum.of(values, resolution=resolution).density(x, width, linear=linear)
        for _ in range(50):
            moved = values + resolution * rng.uniform(-1, 1, 3)
            other = hs.Spectrum.of(moved, resolution=0.0).density(x, width, linear=linear).value
            assert (band.lower <= other + 1e-12).all()
            assert (other <= band.upper + 1e-12).all()


def test_uncertain_ends_open_what_is_otherwise_certain() -> None:
    assert hs.Spectrum.of([0.5], nonnegative=True).count(-1, -0.1) == 0
    assert hs.Spectrum.of([0.5], nonnegative=True).count(-1, -0.1, margin=1).upper == 1
    assert hs.Spectrum.of([0.0, 0.0, 1.0], rank_bound=1).count(-1, 0) == 2
    assert hs.Spectrum.of([0.0, 0.0, 1.0], rank_bound=1).count(-1, 0, margin=0.5).lower == 0


@pytest.mark.parametrize(
    "wrong",
    [{"dim": 1}, {"known": np.array([9.0])}, {"resolution": np.nan}, {"resolution": -1.0}],
    ids=str,
)
def test_inconsistent_spectra_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        dataclasses.replace(hs.Spectrum.of([1.0, 2.0]), **wrong)


def test_spectra_that_differ_by_rounding_have_no_distance() -> None:
    values = np.concatenate([np.zeros(50), [1.0, 2.0]])
    noise = 1e-16 * np.random.default_rng(0).standard_normal(52)
    found = hs.compare.distance(hs.Spectrum.of(values), hs.Spectrum.of(values + noise))
    assert found.kolmogorov == 0
    other = hs.compare.distance(hs.Spectrum.of(values), hs.Spectrum.of(values + 1e-3))
    assert other.kolmogorov > 0.9

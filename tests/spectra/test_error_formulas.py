"""Brackets and errors of small spectra, against formulas worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch

from hessium.errors import InputError
from hessium.linalg import as_operator
from hessium.linalg.lanczos import lanczos_rules
from hessium.spectra import Count, DiscreteMeasure, GaussRule, Spectrum
from hessium.spectra.inertia import inertia_from_counts
from hessium.spectra.smoothing import smoothed
from hessium.spectra.subspaces import dimensions

# an invariant space: one node and no residual
COMPLETE = {
    value: GaussRule(diagonal=np.array([value]), offdiagonal=np.zeros(1))
    for value in (1.0, 2.0, 4.0)
}
OPEN = GaussRule(
    diagonal=np.array([0.0, 1.0, 0.5]), offdiagonal=np.array([1.0, 0.5, 0.25]), mass=3.0
)


def estimated(*rules: GaussRule, known: Any = (), dim: int = 10, **facts: Any) -> Spectrum:
    settings: dict[str, Any] = {"resolution": 0.0, "num_matvecs": 0} | facts
    return Spectrum.from_rules(rules, np.array(known, dtype=np.float64), dim=dim, **settings)


def bracket(count: Count) -> tuple[int, int, int]:
    return count.lower, count.value, count.upper


def test_an_eigenvalue_has_the_error_of_the_resolution() -> None:
    """Eigenvalue 1 with error 1/4 in (a, b]: all numbers are exact in binary."""
    spectrum = Spectrum.of([1.0], resolution=0.25)
    for (a, b), expected in {
        (0.0, 2.0): (1, 1, 1),
        (0.75, 2.0): (0, 1, 1),  # 3/4 itself would not lie inside
        (0.5, 1.25): (1, 1, 1),
        (0.5, 1.0): (0, 1, 1),
        (1.0, 2.0): (0, 0, 1),
        (1.25, 2.0): (0, 0, 0),
        (0.0, 0.75): (0, 0, 1),
        (0.0, 0.5): (0, 0, 0),
    }.items():
        count = spectrum.count(a, b)
        assert bracket(count) == expected, (a, b)
        assert count.reasons == (() if count.exact else ("rounding",))
        assert (count.method, count.confidence) == ("eigenvalues", None)
    wider = spectrum.count(0.5, 2.0, margin=0.25)
    assert bracket(wider) == (0, 1, 1)
    assert bracket(spectrum.count(0.25, 2.0, margin=0.25)) == (1, 1, 1)


def test_zeros_that_the_rank_bound_makes_certain() -> None:
    """Rank two of five: three zeros, which rounding has moved."""
    noisy = Spectrum.of([-1e-3, 0.0, 1e-3, 1.0, 2.0], resolution=1e-2, rank_bound=2)
    assert noisy.count(-0.5, 0.0).lower == 3  # (a, b] holds its right end
    assert noisy.count(-0.5, 0.5).lower == 3
    assert noisy.count(0.0, 3.0).upper == 2
    assert noisy.count(-3.0, -1e-4).upper == 2
    # with uncertain ends zero may or may not lie inside
    assert noisy.count(-3.0, -1e-4, margin=0.05).upper == 3
    assert noisy.count(1e-4, 3.0, margin=0.05).upper == 5
    band = noisy.cdf_band([-1e-9, 0.0, 1e-9, 5.0])
    np.testing.assert_allclose(band.lower, [0, 0.6, 0.6, 1])
    np.testing.assert_allclose(band.upper, [0.4, 0.6, 0.6, 1])


def test_no_eigenvalue_of_a_semidefinite_matrix_is_negative() -> None:
    moved = Spectrum.of([-1e-3, 1.0], resolution=1e-2, nonnegative=True)
    assert bracket(moved.count(-2.0, -1e-4)) == (0, 0, 0)
    assert bracket(moved.count(-1e-4, 0.5)) == (1, 1, 1)
    assert bracket(moved.count(-5.0, 0.5)) == (1, 1, 1)
    singular = Spectrum.of([0.0, 0.0, 1.0], nonnegative=True)
    assert bracket(singular.count(-1.0, 0.0)) == (0, 2, 2)  # zeros, or rounding above
    assert bracket(singular.count(-1.0, -1e-3, margin=1e-3)) == (0, 0, 2)
    band = moved.cdf_band([-1e-4, 0.5])
    assert band.upper.tolist() == [0, 0.5]
    mean = moved.integral(np.sqrt)
    assert (mean.lower, mean.value) == pytest.approx((math.sqrt(0.99) / 2, 0.5))
    assert mean.upper == pytest.approx((math.sqrt(1.01) + math.sqrt(0.009)) / 2)


def test_the_distribution_function_of_an_exact_spectrum() -> None:
    band = Spectrum.of([1.0, 3.0], resolution=0.25).cdf_band([0.5, 0.8, 1.1, 1.25, 4.0])
    assert band.lower.tolist() == [0, 0, 0, 0.5, 1]
    assert band.value.tolist() == [0, 0, 0.5, 0.5, 1]
    assert band.upper.tolist() == [0, 0.5, 0.5, 0.5, 1]
    assert (band.confidence, band.reasons) == (None, ("rounding",))
    assert not band.algorithmic.any()


def test_an_estimated_distribution_function_is_the_middle_of_its_bounds() -> None:
    other = GaussRule(diagonal=np.array([0.4, 0.6]), offdiagonal=np.array([0.8, 0.3]))
    spectrum = estimated(OPEN, other, known=[-5.0, 5.0], resolution=1e-3)
    x = np.array([-0.5, 0.2, 0.9, 6.0])
    low = (3 * OPEN.cdf_brackets(x - 1e-3)[0] + other.cdf_brackets(x - 1e-3)[0]) / 4
    high = (3 * OPEN.cdf_brackets(x + 1e-3)[1] + other.cdf_brackets(x + 1e-3)[1]) / 4
    band = spectrum.cdf_band(x)
    np.testing.assert_allclose(band.algorithmic, 0.8 * (high - low) / 2, rtol=1e-9)
    middle = 0.1 + 0.8 * (low + high) / 2 + np.array([0, 0, 0, 0.1])
    np.testing.assert_allclose(band.value, np.clip(middle, band.lower, band.upper), rtol=1e-9)
    assert (band.lower[:3] < middle[:3]).all()
    assert (middle[:3] < band.upper[:3]).all()


def test_brackets_left_and_right_of_a_point_mirror_each_other() -> None:
    spectrum = estimated(OPEN, OPEN, OPEN, known=[-5.0], dim=200)
    for x in (-0.4, 0.1, 0.7, 1.3):
        below, above = spectrum.count(-math.inf, x), spectrum.count(x, math.inf)
        assert (below.lower, below.upper) == (200 - above.upper, 200 - above.lower)
        assert below.lower < below.value < below.upper
        low, high = OPEN.cdf_brackets(np.array([x]))
        assert below.value == 1 + round(199 * float(low[0] + high[0]) / 2)
        assert below.reasons == ("steps", "probes")
        assert below.method == "quadrature"
        assert below.confidence == 0.95


def test_a_fraction_of_gaussian_vectors_has_a_beta_law() -> None:
    """Complete rules: the bracket of a dimension is Clopper and Pearson's for the Beta law."""
    two = GaussRule(diagonal=np.array([0.0, 0.0]), offdiagonal=np.array([1.0, 0.0]))  # nodes -1, 1
    dim, probes, confidence = 300, 4, 0.9
    count = estimated(*[two] * probes, dim=dim).count(-2.0, 0.0, confidence=confidence)
    sizes = np.arange(1, dim)
    law = scipy.stats.beta(sizes * probes / 2, (dim - sizes) * probes / 2)
    alpha = 1 - confidence
    inside = sizes[(law.cdf(0.5) >= alpha / 2) & (law.sf(0.5) >= alpha / 2)]
    assert bracket(count) == (inside.min(), 150, inside.max())
    assert count.reasons == ("probes",)


@pytest.mark.parametrize(("low", "high"), [(1e-3, 2e-3), (0.2, 0.3), (0.9, 1.0)])
def test_ends_of_dimensions_solve_the_equations_of_the_law(low: float, high: float) -> None:
    least, most = dimensions(low, high, 300, 1, 0.1)
    assert 0 < least < 300 * low
    assert scipy.stats.beta(least / 2, (300 - least) / 2).sf(low) == pytest.approx(0.05, rel=1e-3)
    if high < 1:
        law = scipy.stats.beta(most / 2, (300 - most) / 2)
        assert law.cdf(high) == pytest.approx(0.05, rel=1e-3)
    else:
        assert most == 300
    assert dimensions(0.0, 0.0, 0, 1, 0.1) == (0.0, 0.0)


def test_three_counts_share_the_confidence_of_an_inertia() -> None:
    spectrum = estimated(OPEN, OPEN, known=[-2.0, 2.0], dim=400)
    found = spectrum.inertia(0.125, confidence=0.7)
    assert found.scale == 2.0
    assert found.threshold == 0.25
    each = 1 - 0.3 / 3
    negative = spectrum.count(-math.inf, np.nextafter(-0.25, -1), confidence=each)
    positive = spectrum.count(0.25, math.inf, confidence=each)
    assert (found.negative.lower, found.negative.upper) == (negative.lower, negative.upper)
    assert (found.positive.lower, found.positive.upper) == (positive.lower, positive.upper)
    assert found.negative.confidence == found.zero.confidence == 0.7
    assert found.negative.value + found.zero.value + found.positive.value == 400


@pytest.mark.parametrize("tol", [0.25, 0.0])
def test_eigenvalues_at_the_threshold_are_zeros(tol: float) -> None:
    t = 4 * tol
    spectrum = estimated(COMPLETE[4.0], known=[-t, t, -4.0], dim=5)
    found = spectrum.inertia(tol)
    assert (found.negative.value, found.zero.value, found.positive.value) == (1, 2, 2)


def test_the_zeros_are_what_the_signs_leave() -> None:
    def count(lower: int, value: int, upper: int) -> Count:
        return Count(value=value, lower=lower, upper=upper, confidence=0.9)

    found = inertia_from_counts(
        count(2, 3, 4), count(0, 1, 9), count(1, 2, 3),
        dim=10, tol=0.1, scale=2.0, resolution=0.0, confidence=0.7,
    )  # fmt: skip
    assert bracket(found.zero) == (3, 5, 7)
    assert bracket(found.negative) == (2, 3, 4)
    assert bracket(found.positive) == (1, 2, 3)
    tight = inertia_from_counts(
        count(2, 2, 4), count(2, 2, 4), count(1, 1, 6),
        dim=10, tol=0.1, scale=2.0, resolution=0.0, confidence=0.7,
    )  # fmt: skip
    # zero takes 4 of the 7 that are left, the negative ones 2 of the 3, the positive ones the last
    assert [c.value for c in (tight.negative, tight.zero, tight.positive)] == [4, 4, 2]
    assert bracket(tight.rank)[::2] == (6, 8)


def test_the_standard_error_of_an_integral() -> None:
    """Dirichlet weights: variance 2 (int f^2 - (int f)^2) / (d P + 2) of the mean over d."""
    nodes, weights = OPEN.gauss()
    found = estimated(OPEN, OPEN, known=[2.0, 3.0], dim=8).integral(np.exp, confidence=0.8)
    mean, square = weights @ np.exp(nodes), weights @ np.exp(2 * nodes)
    stderr = 6 / 8 * math.sqrt(2 * (square - mean**2) / (6 * 2 + 2))
    assert found.value == pytest.approx((math.exp(2) + math.exp(3) + 6 * mean) / 8)
    assert found.stderr == pytest.approx(stderr)
    assert found.upper - found.value == pytest.approx(stderr * scipy.stats.norm.ppf(0.9))
    assert found.value - found.lower == pytest.approx(stderr * scipy.stats.norm.ppf(0.9))
    assert (found.confidence, found.reasons) == (0.8, ("probes",))


def test_rules_of_two_nodes_know_their_variance() -> None:
    two = GaussRule(diagonal=np.array([0.0, 1.0]), offdiagonal=np.array([1.0, 0.5]))
    nodes, weights = two.gauss()
    variance = weights @ nodes**2 - (weights @ nodes) ** 2
    found = estimated(two, dim=6).integral(lambda x: x)
    assert found.stderr == pytest.approx(math.sqrt(2 * variance / 8))


def test_rules_of_one_node_leave_the_scatter_of_the_probes() -> None:
    rules = [GaussRule(diagonal=np.array([x]), offdiagonal=np.ones(1)) for x in (1.0, 2.0, 6.0)]
    found = estimated(*rules, dim=7).integral(lambda x: x)
    assert found.value == pytest.approx(3)
    assert found.stderr == pytest.approx(np.std([1, 2, 6], ddof=1) / math.sqrt(3))
    assert estimated(rules[0], dim=7).integral(lambda x: x).stderr == math.inf


def test_the_density_of_one_eigenvalue() -> None:
    band = Spectrum.of([1.0], resolution=0.2).density([1.1, 1.5, 0.5], width=0.4)

    def kernel(distance: float) -> float:
        return float(scipy.stats.norm.pdf(distance, scale=0.4))

    np.testing.assert_allclose(band.value, [kernel(0.1), kernel(0.5), kernel(0.5)])
    np.testing.assert_allclose(band.lower, [kernel(0.3), kernel(0.7), kernel(0.7)])
    np.testing.assert_allclose(band.upper, [kernel(0.0), kernel(0.3), kernel(0.3)])
    assert band.confidence is None
    alone = Spectrum.of([1.0]).density([1.0])  # no range that a width could be a part of
    assert alone.value == pytest.approx(scipy.stats.norm.pdf(0.0))
    ends = Spectrum.of([0.0, 10.0]).density([0.0])  # width 0.02 of the range
    assert ends.value == pytest.approx(scipy.stats.norm.pdf(0.0, scale=0.2) / 2)


def test_the_density_of_any_measure_behind_a_rule_lies_in_its_band() -> None:
    """Seven atoms of which three Lanczos steps know six moments; a kernel that resolves them."""
    rng, unseen = np.random.default_rng(5), 0
    for _ in range(20):
        atoms, weights = np.sort(rng.uniform(0, 10, 7)), rng.dirichlet(np.ones(7))
        start = torch.as_tensor(np.sqrt(weights))
        (rule,) = lanczos_rules(as_operator(torch.diag(torch.as_tensor(atoms))), start[:, None], 3)
        nodes, _ = rule.gauss()
        points = np.linspace(nodes[0], nodes[-1], 101)
        truth = weights @ scipy.stats.norm.pdf(points, atoms[:, None], 0.2)
        band = smoothed(rule, points, lambda x: x, 0.2)
        far = np.abs(points[:, None] - nodes).min(axis=1) > 0.6  # between two nodes, and unseen
        assert (band.lower[far] <= truth[far]).all()
        assert (truth[far] <= band.upper[far]).all()
        unseen += int(far.sum())
    assert unseen > 400


@pytest.mark.parametrize("values", [(1.0, 2.0), (1.0, 2.0, 4.0)])
def test_the_density_of_probes_has_students_interval(values: tuple[float, ...]) -> None:
    x, width, count = np.array([1.0, 1.6, 3.0]), 1.5, len(values)
    spectrum = estimated(*(COMPLETE[value] for value in values), known=[3.0, 3.0], dim=8)
    curves = np.array([scipy.stats.norm.pdf(x, value, width) for value in values])
    known = 2 / 8 * scipy.stats.norm.pdf(x, 3.0, width)
    half = scipy.stats.t.ppf(0.9, count - 1) * curves.std(axis=0, ddof=1) / math.sqrt(count)
    band = spectrum.density(x, width, confidence=0.8)
    np.testing.assert_allclose(band.value, known + 6 / 8 * curves.mean(axis=0))
    np.testing.assert_allclose(band.upper, band.value + 6 / 8 * half)
    np.testing.assert_allclose(band.lower, np.maximum(band.value - 6 / 8 * half, 0.0))
    assert band.lower.max() > 0
    assert not band.algorithmic.any()
    assert estimated(COMPLETE[1.0], dim=8).density(x, width).upper.tolist() == [math.inf] * 3


@pytest.mark.parametrize(("unit", "shift"), [(1e-150, 0.0), (1e150, 0.0), (1.0, 7.0), (1.0, -7.0)])
def test_bounds_do_not_depend_on_unit_and_origin(unit: float, shift: float) -> None:
    x = np.array([-2.0, -0.7, 0.0, 0.3, 0.9, 1.6, 3.0])
    moved = GaussRule(diagonal=unit * (OPEN.diagonal + shift), offdiagonal=unit * OPEN.offdiagonal)
    for one, other in zip(
        OPEN.cdf_brackets(x), moved.cdf_brackets(unit * (x + shift)), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)


def test_what_contradicts_itself_is_refused() -> None:
    with pytest.raises(InputError, match="no rules for the others"):
        Spectrum(nodes=np.ones(1), weights=np.ones(1), resolution=0.0, dim=2, known=np.ones(1))
    with pytest.raises(InputError, match="dim"):
        Spectrum(nodes=np.ones(1), weights=np.ones(1), resolution=0.0, dim=1, known=np.ones(2))
    with pytest.raises(InputError, match="resolution"):
        Spectrum(nodes=np.ones(1), weights=np.ones(1), resolution=-1.0, dim=1, known=np.ones(1))
    with pytest.raises(InputError, match="empty"):
        Spectrum.of([1.0]).count(2.0, 2.0)


def test_a_mixture_is_as_coarse_as_its_coarsest_part() -> None:
    parts = [Spectrum.of([1.0, 2.0], resolution=0.1), Spectrum.of([4.0], resolution=0.3)]
    mixture = DiscreteMeasure.mixture(parts)
    assert mixture.resolution == 0.3
    assert mixture.weights.tolist() == [0.25, 0.25, 0.5]


def test_sums_of_counts_name_all_their_sources() -> None:
    one = Count(value=2, lower=1, upper=4, confidence=0.99, reasons=("rounding", "probes"))
    other = Count(value=5, lower=3, upper=6, confidence=0.98, reasons=("probes", "steps"))
    total, difference = one + other, one - other
    assert bracket(total) == (4, 7, 10)
    assert bracket(difference) == (-5, -3, 1)
    assert total.reasons == ("rounding", "probes", "steps")
    assert total.confidence == pytest.approx(0.97)

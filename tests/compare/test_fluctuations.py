"""The covariance of sums over eigenvalues, against sampled matrices and closed forms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hessium.compare.fluctuations import Contour, LinearStatistics, Polynomials, degree_for
from hessium.theory import (
    Empirical,
    Law,
    MarchenkoPastur,
    Semicircle,
    outliers,
    spiked,
    wishart_wigner,
)

LAWS = {
    "wigner": Semicircle(variance=0.7),
    "wishart": MarchenkoPastur(ratio=0.4, scale=2.0),
    "zeros": MarchenkoPastur(ratio=2.5),
    "sum": wishart_wigner(0.1, 0.5),
}


def statistics(law: Law, count: int = 4, beta: int = 1) -> LinearStatistics:
    low, high = law.support()
    return LinearStatistics(
        functions=Polynomials(low=low, high=high, count=count),
        contour=Contour.around(low, high, degree=count),
        beta=beta,
    )


def test_semicircle_has_the_textbook_covariance() -> None:
    # Chebyshev statistics of a Gaussian ensemble are independent with variance k / (2 beta)
    for beta in (1, 2):
        found = statistics(Semicircle(variance=3.0), 5, beta).covariance(Semicircle(variance=3.0))
        np.testing.assert_allclose(found, np.diag(np.arange(1, 6) / (2 * beta)), atol=1e-10)


def test_mean_has_the_textbook_correction() -> None:
    # E tr H^2 = n + 1 for GOE of variance one: T2 of x/2 is x^2/2 - 1
    law = Semicircle(variance=1.0)
    n = 50
    np.testing.assert_allclose(statistics(law, 2).mean(law, n), [0, (n + 1) / 2 - n], atol=1e-10)
    np.testing.assert_allclose(statistics(law, 2, 2).mean(law, n), [0, n / 2 - n], atol=1e-10)


@pytest.mark.parametrize("name", LAWS)
def test_against_sampled_matrices(name: str) -> None:
    # each of 8 numbers beyond 4.5 standard errors with probability 7e-6: false alarms 6e-5
    law, n, draws = LAWS[name], 120, 400
    found = statistics(law)
    rng = np.random.default_rng(3)
    sums = np.array(
        [found.functions.at(np.linalg.eigvalsh(law.matrix(n, rng))).sum(1) for _ in range(draws)]
    )
    covariance = found.covariance(law)
    errors = np.sqrt(np.diag(covariance) / draws)
    # the next order of the mean is 1/n
    assert (np.abs(sums.mean(0) - found.mean(law, n)) < 4.5 * errors + 2 / n).all()
    spread = sums.var(0, ddof=1) / np.diag(covariance)
    assert (np.abs(spread - 1) < 4.5 * np.sqrt(2 / draws) + 12 / n).all()


def test_independent_draws_would_be_wrong_by_far() -> None:
    # the control: n independent eigenvalues scatter sqrt(n) times as much
    law, n = LAWS["sum"], 200
    found = statistics(law)
    rng = np.random.default_rng(0)
    sums = np.array([found.functions.at(law.rvs(n, rng)).sum(1) for _ in range(60)])
    assert (sums.var(0) > 8 * np.diag(found.covariance(law))).all()


def test_a_spike_moves_the_bulk() -> None:
    law, n, draws = LAWS["sum"], 150, 300
    spikes = [3.0, 4.5]
    places = [one.location for one in outliers(spikes, law)]
    low, high = law.support()
    found = LinearStatistics(
        functions=Polynomials(low=low, high=high, count=4),
        contour=Contour.around(low, high, places),
        spikes=tuple(places),
    )
    rng = np.random.default_rng(1)
    sums = []
    for _ in range(draws):
        values = np.linalg.eigvalsh(spiked(law.matrix(n, rng), spikes, rng)[0])
        sums.append(found.functions.at(values[:-2]).sum(1))
    mean, errors = np.mean(sums, axis=0), np.sqrt(np.diag(found.covariance(law)) / draws)
    assert (np.abs(mean - found.mean(law, n)) < 4.5 * errors + 3 / n).all()
    # without the correction the bulk is off by order one
    assert np.abs(mean - replace(found, spikes=()).mean(law, n) * (n - 2) / n).max() > 0.5


def test_degrees_grow_slowly() -> None:
    assert [degree_for(n) for n in (10, 100, 1000, 10000)] == [3, 4, 8, 17]
    assert degree_for(100, 5) == 5


def test_the_explicit_path_is_the_solved_one() -> None:
    law, other = wishart_wigner(0.1, 0.5), wishart_wigner(0.102, 0.49, 1.01)
    low, high = law.support()
    solved = LinearStatistics(
        functions=Polynomials(low=low, high=high, count=5),
        contour=Contour.around(low, high, [4.0]),
        spikes=(4.0,),
    )
    explicit = replace(solved, near=law)
    for one in (law, other):
        np.testing.assert_allclose(explicit.mean(one, 100), solved.mean(one, 100), atol=1e-6)
        np.testing.assert_allclose(explicit.covariance(one), solved.covariance(one), atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.sampled_from([1, 2]))
def test_variances_of_any_symmetric_law_in_closed_form(half: list[float], beta: int) -> None:
    # of the formal series: Var tr x = (2/beta) m2 and Var tr x^2 = (8/beta) (m4 - 3/2 m2^2)
    x = np.array([-1.0, 1.0, *half, *(-np.array(half))])
    second, fourth = (x**2).mean(), (x**4).mean()
    exact = np.array([second, 16 * (fourth - 1.5 * second**2)]) * 2 / beta
    found = statistics(Empirical(x), 2, beta).covariance(Empirical(x))
    assert found[0, 0] == pytest.approx(exact[0], abs=1e-6)
    if exact[1] < -1e-5:  # no ensemble: not zero, not negative, not known
        assert np.isnan(found[1]).all()
    elif exact[1] > 1e-5:
        np.testing.assert_allclose(found, np.diag(exact), atol=2e-6)


def test_a_contour_across_a_branch_cut_gives_no_number() -> None:
    law = Empirical([-1.0, 1.0])
    wide = statistics(law, 1)
    assert wide.covariance(law)[0, 0] == pytest.approx(2.0, abs=1e-6)
    for stretch in (1.2, 1.6, 2.3):  # the logarithm of minus its own inverse lies beyond these
        narrow = replace(wide, contour=replace(wide.contour, stretch=stretch))
        assert np.isnan(narrow.covariance(law)).all()
    # the control: laws of Wishart and Gaussian matrices have no cut outside the support
    for other in LAWS.values():
        near = statistics(other)
        thin = replace(near, contour=replace(near.contour, stretch=1.1))
        np.testing.assert_allclose(near.covariance(other), thin.covariance(other), atol=1e-6)

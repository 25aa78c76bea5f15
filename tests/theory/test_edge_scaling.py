"""Tracy-Widom, soft edges, outliers and spacing ratios."""

from time import perf_counter
from typing import Any

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.linalg import eigvalsh_tridiagonal
from scipy.optimize import brentq
from scipy.special import exp1
from scipy.stats import kstest

from hessium.errors import InputError
from hessium.theory import (
    Arcsine,
    Empirical,
    FreeLevy,
    MarchenkoPastur,
    Semicircle,
    SpacingRatio,
    TracyWidom,
    Uniform,
    free_sum,
    goe,
    outliers,
    relu_hessian,
    soft_edge,
    spiked,
    wishart_wigner,
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
    from hessium.theory import tracy_widom

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


def test_soft_edges_in_closed_form() -> None:
    edge = soft_edge(Semicircle(variance=1.0), 1000)
    assert edge.location == 2
    assert edge.scale == pytest.approx(1000 ** (-2 / 3), rel=1e-12)
    # Johnstone: Wishart p x n; scale in the limit (1 + sqrt(ratio)) (1/sqrt n + 1/sqrt p)^{1/3}
    p, n = 300, 600
    wishart = soft_edge(MarchenkoPastur(ratio=p / n), p)
    a, b = np.sqrt(n), np.sqrt(p)
    assert wishart.scale == pytest.approx((a + b) * (1 / a + 1 / b) ** (1 / 3) / n, rel=1e-12)
    low = soft_edge(MarchenkoPastur(ratio=p / n), p, side="left")
    assert low.scale == pytest.approx((a - b) * (1 / b - 1 / a) ** (1 / 3) / n, rel=1e-12)
    assert low.cdf(low.ppf(0.3)) == pytest.approx(0.3)
    assert low.mean() > low.location


def test_measured_edge_agrees_with_the_exact_one() -> None:
    from hessium.theory.levy_sum import LevySum

    exact = wishart_wigner(0.1, 0.5)
    same = LevySum(Empirical([0.0, 1e-14]), exact.triple)
    for side in ("left", "right"):
        assert soft_edge(same, 50, side).scale == pytest.approx(
            soft_edge(exact, 50, side).scale, rel=1e-6
        )


@pytest.mark.parametrize("v", [1e-1, 1e-4, 1e-6])
def test_soft_edge_next_to_a_step_in_closed_form(v: float) -> None:
    """A flat law plus little noise: x(u) = u + v G(u), a root of a range v before a step."""
    u = 0.5 * (1 + np.sqrt(1 + 4 * v))  # x'(u) = 1 - v/(u (u - 1)) = 0
    beyond = v / u  # u - 1
    bend = v * (u + beyond) / (u * beyond) ** 2
    coefficient = np.sqrt(2 / bend) / (u * beyond)
    law = free_sum(Uniform(0, 1), Semicircle(variance=v))
    edge = soft_edge(law, 100)
    assert edge.location == pytest.approx(u + v * np.log(u / beyond), rel=1e-14)
    assert edge.scale == pytest.approx((100 * coefficient) ** (-2 / 3), rel=2e-8)
    mirrored = soft_edge(law.scaled(-3.0), 100, side="left")
    assert mirrored.scale == pytest.approx(3 * edge.scale, rel=2e-8)


def test_soft_edges_of_all_symmetry_classes() -> None:
    """The tridiagonal model of the beta-Hermite ensemble (Dumitriu and Edelman 2002)."""
    n, draws, degrees = 200, 800, np.arange(199, 0, -1)
    for beta in (1, 2, 4):
        rng, edge = np.random.default_rng(beta), soft_edge(Semicircle(variance=1.0), n, beta=beta)
        top = np.empty(draws)
        for k in range(draws):
            diagonal = rng.standard_normal(n) * np.sqrt(2 / (beta * n))
            beside = np.sqrt(rng.chisquare(beta * degrees) / (beta * n))
            last = eigvalsh_tridiagonal(diagonal, beside, select="i", select_range=(n - 1, n - 1))
            top[k] = last[0]
        # the standardised mean: 4 standard errors (6e-5 false alarms) plus O(n^{-1/3}) bias
        standard, law = (top - edge.location) / edge.scale, TracyWidom(beta)
        error = np.sqrt(law.var() / draws)
        assert standard.mean() == pytest.approx(law.mean(), abs=4 * error + 0.1)
        assert edge.mean() == pytest.approx(edge.location + edge.scale * law.mean())
        if beta == 4:  # without the factor between the two normalisations
            wrong = standard * 2 ** (-1 / 6)
            assert abs(wrong.mean() - law.mean()) > 4 * error + 0.1


def test_largest_eigenvalues_follow_tracy_widom() -> None:
    n, draws = 60, 300
    law = relu_hessian(0.3, 0.5)
    edge = soft_edge(law, n)
    seeds = np.random.default_rng(0).spawn(draws)
    top = np.array([np.linalg.eigvalsh(law.matrix(n, rng))[-1] for rng in seeds])
    standard = (top - edge.location) / edge.scale
    # mean of 300 draws: 4 standard errors (6e-5 false alarms) plus O(n^{-1/3}) bias
    assert standard.mean() == pytest.approx(TracyWidom(1).mean(), abs=4 * 1.27 / 300**0.5 + 0.3)
    assert standard.std() == pytest.approx(np.sqrt(TracyWidom(1).var()), rel=0.2)
    wrong = (top - edge.location) / soft_edge(law, 4 * n).scale  # a wrong size is seen
    assert abs(wrong.std() / np.sqrt(TracyWidom(1).var()) - 1) > 0.2


def test_hard_edges_and_bad_arguments_are_refused() -> None:
    with pytest.raises(InputError, match="soft"):
        soft_edge(MarchenkoPastur(ratio=1.0), 10, side="left")
    with pytest.raises(InputError, match="soft"):
        soft_edge(Arcsine(radius=1.0), 10)
    with pytest.raises(InputError, match="law"):
        soft_edge(Empirical([1.0]), 10)
    with pytest.raises(InputError, match="interval"):
        soft_edge(Semicircle(variance=1.0), 10, interval=3)
    with pytest.raises(InputError, match="side"):
        soft_edge(Semicircle(variance=1.0), 10, side="top")
    with pytest.raises(InputError, match="soft"):
        soft_edge(Uniform(0, 1), 10, side="left")
    with pytest.raises(InputError, match="beta"):
        TracyWidom(3)
    with pytest.raises(InputError, match="beta"):
        soft_edge(Semicircle(variance=1.0), 10, beta=3)


def test_spiked_wigner_in_closed_form() -> None:
    v = 0.25
    found = outliers([-2.0, 0.4, 0.6, 3.0], Semicircle(variance=v))
    assert [o.spike for o in found] == [-2.0, 0.6, 3.0]
    for o in found:
        assert o.location == pytest.approx(o.spike + v / o.spike, rel=1e-14)
        assert o.overlap == pytest.approx(1 - v / o.spike**2, rel=1e-12)


def test_outliers_of_general_noise_equal_those_of_the_levy_form() -> None:
    noise = MarchenkoPastur(ratio=0.5)
    # the same law, told as a sum of atoms and a small rest, goes the general way
    general = free_sum(Empirical([0.0, 1e-12]), noise)
    exact, same = outliers([-1.0, 4.0], noise), outliers([-1.0, 4.0], general)
    for a, b in zip(exact, same, strict=True):
        assert b.location == pytest.approx(a.location, rel=1e-9)
        assert b.overlap == pytest.approx(a.overlap, rel=1e-6)


@pytest.mark.parametrize("noise", [Semicircle(variance=0.1), Uniform(-0.1, 0.5)])
def test_outliers_where_the_transform_of_the_base_is_zero(noise: Any) -> None:
    base = Empirical([-1.0, 1.0])
    (middle,) = outliers([0.0], noise, base)
    # x = theta + mean + variance g + ..., g = theta/(theta^2 - 1), and its derivative
    assert middle.location == pytest.approx(noise.mean(), abs=1e-15)
    assert middle.overlap == pytest.approx(1 - noise.var(), rel=1e-14)
    near = outliers([-1e-3, -1e-8, 1e-17, 1e-8, 1e-3], noise, base)
    for o in near:
        assert o.location == pytest.approx(noise.mean() + o.spike * (1 - noise.var()), abs=2e-7)
        assert o.overlap == pytest.approx(1 - noise.var(), abs=1e-3)
    n = 500
    matrix = np.diag(np.repeat([-1.0, 0.0, 1.0], [n // 2, 1, n // 2]))
    values, vectors = np.linalg.eigh(matrix + noise.matrix(n + 1, 0))
    k = int(np.abs(values - noise.mean()).argmin())
    assert values[k] == pytest.approx(middle.location, abs=0.1)  # fluctuates as n^{-1/2} = 0.04
    assert vectors[n // 2, k] ** 2 == pytest.approx(middle.overlap, abs=0.05)
    assert abs(vectors[n // 2, k - 1]) ** 2 < 0.05  # no eigenvector of the bulk is near


@pytest.mark.parametrize(
    "noise", [Semicircle(variance=0.3), Uniform(-1, 1), relu_hessian(0.2, 0.5)]
)
def test_outliers_against_a_sampled_matrix(noise: Any) -> None:
    n = 500
    base = Empirical([-1.0, 1.0])
    (outlier,) = (o for o in outliers([4.0], noise, base) if o.location > 3)
    one, two, three = np.random.default_rng(3).spawn(3)
    matrix = base.matrix(n, one) + noise.matrix(n, two)
    del three
    bulk_values, bulk = np.linalg.eigh(base.matrix(n, np.random.default_rng(3).spawn(3)[0]))
    # replace one eigenvalue of the base by the spike
    direction = bulk[:, -1]
    matrix = matrix + (4.0 - bulk_values[-1]) * np.outer(direction, direction)
    values, vectors = np.linalg.eigh(matrix)
    assert values[-1] == pytest.approx(outlier.location, abs=0.15)  # fluctuates as n^{-1/2} = 0.04
    assert (vectors[:, -1] @ direction) ** 2 == pytest.approx(outlier.overlap, abs=0.05)
    assert values[-1] != pytest.approx(4.0 + noise.mean(), abs=0.02)  # the naive guess fails


def test_a_spike_at_a_pole_of_r_makes_no_outlier() -> None:
    noise = FreeLevy(rates=(0.3,), jumps=(1.0,))
    assert outliers([1.0], noise) == ()
    (o,) = outliers([3.0], noise)
    assert o.location == pytest.approx(3 + 0.3 / (1 - 1 / 3))


def test_spikes_inside_the_bulk_are_refused() -> None:
    with pytest.raises(InputError, match="spikes"):
        outliers([0.5], Semicircle(variance=1.0), Uniform(0, 1))


def test_spiked_matrices() -> None:
    matrix, directions = spiked(goe(300, 0.25, rng=0), [3.0, -2.0], rng=1)
    assert directions.T @ directions == pytest.approx(np.eye(2), abs=1e-12)
    values = np.linalg.eigvalsh(matrix)
    assert values[[0, -1]] == pytest.approx([-2.125, 3 + 0.25 / 3], abs=0.1)


@pytest.mark.parametrize(
    ("name", "mean"),
    [
        ("poisson", 2 * np.log(2) - 1),
        ("goe", 4 - 2 * np.sqrt(3)),
        ("gue", 2 * np.sqrt(3) / np.pi - 0.5),
        ("gse", 32 * np.sqrt(3) / (15 * np.pi) - 0.5),
    ],
)
def test_spacing_ratio_laws(name: Any, mean: Any) -> None:
    law = SpacingRatio(name)
    assert law.cdf([0, 1, 2]) == pytest.approx([0, 1, 1], abs=1e-12)
    assert law.mean() == pytest.approx(mean, abs=1e-12)
    assert abs(law.large_matrix_mean - mean) < 0.007
    assert law.pdf([-0.1, 1.1]).tolist() == [0, 0]
    with pytest.raises(InputError, match="ensemble"):
        SpacingRatio("goo")


def test_spacing_ratio_of_sampled_spectra() -> None:
    ratios = []
    for rng in np.random.default_rng(0).spawn(4):
        s = np.diff(np.linalg.eigvalsh(goe(400, rng=rng)))
        ratios.append(np.minimum(s[1:], s[:-1]) / np.maximum(s[1:], s[:-1]))
    mean = np.concatenate(ratios).mean()
    # 1592 ratios of standard deviation 0.27: 4 standard errors, 6e-5 false alarms
    assert mean == pytest.approx(SpacingRatio("goe").large_matrix_mean, abs=0.027)
    assert mean != pytest.approx(SpacingRatio("poisson").large_matrix_mean, abs=0.027)


def test_edges_of_a_law_with_two_cuts() -> None:
    law = FreeLevy(variance=0.02, rates=(0.5,), jumps=(2.0,))
    inner = soft_edge(law, 100, side="left", interval=1)
    assert inner.location == law.support_intervals()[1][0]


def test_spread_of_the_mean_ratio_of_independent_levels() -> None:
    # the integral over the spacing b that two neighbouring ratios share
    def inner(b: float) -> float:
        return (1 - np.exp(-b) * (1 + b)) / b + b * exp1(b)

    law = SpacingRatio("poisson")
    shared = quad(lambda b: inner(b) ** 2 * np.exp(-b), 0, np.inf)[0] - law.mean() ** 2
    variance = 3 - 4 * np.log(2) - law.mean() ** 2
    assert law.mean_spread([1]) == pytest.approx(variance**0.5, rel=1e-5)
    exact = np.sqrt(7 * variance + 2 * 5 * shared) / 7
    assert law.mean_spread([3, 4]) == pytest.approx(exact, rel=1e-5)
    for runs in ([], [0], [2, -1]):
        with pytest.raises(InputError, match="runs"):
            law.mean_spread(runs)


@pytest.mark.parametrize(("name", "beta"), [("goe", 1), ("gue", 2), ("gse", 4)])
def test_spread_of_the_mean_ratio_of_repelling_levels(name: str, beta: int) -> None:
    # 1500 means: their deviation within 8.5 % of what is stated but with probability 4e-6
    rng, n = np.random.default_rng(beta), 40
    means = []
    for _ in range(1500):
        beside = np.sqrt(rng.chisquare(beta * np.arange(n - 1, 0, -1)))
        s = np.diff(eigvalsh_tridiagonal(np.sqrt(2) * rng.standard_normal(n), beside))
        means.append((np.minimum(s[1:], s[:-1]) / np.maximum(s[1:], s[:-1])).mean())
    stated = SpacingRatio(name).mean_spread([n - 2])
    assert np.std(means) == pytest.approx(stated, rel=0.085)
    # the control: ratios as if independent scatter less, by a tenth and more
    assert np.std(means) > 1.1 * SpacingRatio(name).mean_spread([1] * (n - 2))

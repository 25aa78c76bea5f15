"""Soft edges: location and scale of extreme eigenvalues."""

import numpy as np
import pytest
from scipy.linalg import eigvalsh_tridiagonal

from hessium.errors import InputError
from hessium.theory import (
    Arcsine,
    Empirical,
    FreeLevy,
    MarchenkoPastur,
    Semicircle,
    TracyWidom,
    Uniform,
    free_sum,
    relu_hessian,
    soft_edge,
    wishart_wigner,
)


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
    from hessium.theory.convolution.levy_sum import LevySum

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


def test_edges_of_a_law_with_two_cuts() -> None:
    law = FreeLevy(variance=0.02, rates=(0.5,), jumps=(2.0,))
    inner = soft_edge(law, 100, side="left", interval=1)
    assert inner.location == law.support_intervals()[1][0]

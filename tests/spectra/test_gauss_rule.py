"""Gauss rules against the measures they come from: exact moments, brackets without exception."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hessium._typing import FloatArray
from hessium.linalg import as_operator
from hessium.linalg.lanczos import lanczos_steps
from hessium.spectra.gauss_rule import GaussRule

EPS = np.finfo(np.float64).eps


def rule_of(atoms: FloatArray, masses: FloatArray, steps: int) -> GaussRule:
    """Lanczos on diag(atoms): the measure is known to the last bit."""
    operator = as_operator(torch.diag(torch.as_tensor(atoms)))
    start = torch.as_tensor(np.sqrt(masses))
    *_, process = lanczos_steps(operator, start, steps, passes=2)
    return process.rule()


def measure(rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Atoms and masses of many kinds: spread, clustered, graded, repeated, heavy-tailed."""
    n = int(rng.integers(2, 50))
    kind = rng.integers(6)
    makers: list[Callable[[], FloatArray]] = [
        lambda: rng.standard_normal(n),
        lambda: (
            rng.choice([1.0, 2.0, -3.0], n) + 10.0 ** rng.uniform(-9, -2) * rng.standard_normal(n)
        ),
        lambda: rng.choice([-1.0, 1.0], n) * 10.0 ** rng.uniform(-10, 0, n),
        lambda: rng.integers(-4, 5, n).astype(float),
        lambda: rng.standard_cauchy(n),
        lambda: np.linspace(-1.0, 1.0, n),
    ]
    atoms = makers[kind]()
    masses = 10.0 ** rng.uniform(-float(rng.choice([0.0, 3.0, 10.0])), 0, n)
    return np.sort(atoms), masses / masses.sum()


def points_for(rng: np.random.Generator, atoms: FloatArray, nodes: FloatArray) -> FloatArray:
    """Where brackets might fail: atoms, nodes, beside nodes, in gaps, far outside."""
    size = float(np.abs(atoms).max())
    return np.concatenate(
        [
            rng.choice(atoms, 3),
            rng.choice(nodes, 3),
            rng.choice(nodes, 4) + rng.choice([-1, 1], 4) * size * 10.0 ** rng.uniform(-16, -2, 4),
            rng.uniform(atoms[0] - 0.1 * size, atoms[-1] + 0.1 * size, 4),
            [atoms[0] - 1e6 * size, atoms[0] - 1e-6 * size, atoms[-1] + 1e-6 * size, 1e6 * size],
        ]
    )


def excess(rule: GaussRule, atoms: FloatArray, masses: FloatArray, x: FloatArray) -> FloatArray:
    r"""How far the truth is outside of the brackets, beyond what rounding can do.

    Rounding moves atoms by some eps * size: hence the shift of x. It also turns eigenvectors, by
    some eps * size / gap (Davis & Kahan), gap being the one in the spectrum at x.
    """
    size = float(np.abs(rule.diagonal).max() + 2 * rule.offdiagonal.max())
    shift = 20 * EPS * size
    lower, _ = rule.cdf_brackets(x - shift)
    _, upper = rule.cdf_brackets(x + shift)
    out = np.empty(x.size)
    for i, point in enumerate(x):
        truth = masses[atoms <= point].sum()
        allowed = 1e-12
        for end in (point - shift, point, point + shift):
            below, above = atoms[atoms <= end], atoms[atoms > end]
            if below.size and above.size:
                allowed = max(allowed, 20 * EPS * size / (above[0] - below[-1]))
        out[i] = max(lower[i] - truth, truth - upper[i]) - allowed
    return out


def trials(count: int, seed: int) -> Iterator[tuple[GaussRule, FloatArray, FloatArray, FloatArray]]:
    rng = np.random.default_rng(seed)
    for _ in range(count):
        atoms, masses = measure(rng)
        rule = rule_of(atoms, masses, int(rng.integers(1, atoms.size + 1)))
        yield rule, atoms, masses, points_for(rng, atoms, rule.gauss()[0])


def test_brackets_contain_the_truth_without_exception() -> None:
    asked, wide = 0, 0
    for rule, atoms, masses, x in trials(250, seed=0):
        assert excess(rule, atoms, masses, x).max() <= 0
        lower, upper = rule.cdf_brackets(x)
        asked, wide = asked + x.size, wide + int((upper - lower > 0.5).sum())
    assert asked == 250 * 18
    assert wide < asked / 2  # brackets say something


@pytest.mark.slow
def test_brackets_contain_the_truth_in_fifty_thousand_cases() -> None:
    assert all(excess(*trial).max() <= 0 for trial in trials(2_800, seed=1))


def test_neither_the_gauss_rule_nor_a_lost_step_would_pass() -> None:
    """Controls: the cdf of the rule itself, and brackets of a rule whose last beta is wrong."""
    wrong_cdf = wrong_beta = 0
    for rule, atoms, masses, x in trials(100, seed=2):
        if rule.complete:
            continue
        nodes, weights = rule.gauss()
        truth = np.array([masses[atoms <= point].sum() for point in x])
        gauss = np.array([weights[nodes <= point].sum() for point in x])
        wrong_cdf += int((np.abs(gauss - truth) > 1e-6).sum())
        betas = np.append(rule.offdiagonal[:-1], rule.offdiagonal[-1] / 3)
        narrow = GaussRule(diagonal=rule.diagonal, offdiagonal=betas)
        wrong_beta += int((excess(narrow, atoms, masses, x) > 0).sum())
    assert wrong_cdf > 100
    assert wrong_beta > 20


@given(seed=st.integers(0, 10_000), steps=st.integers(1, 12))
def test_exact_for_polynomials_of_degree_below_twice_the_steps(seed: int, steps: int) -> None:
    rng = np.random.default_rng(seed)
    atoms = np.sort(rng.uniform(-1, 1, 40))
    masses = rng.dirichlet(np.ones(40))
    nodes, weights = rule_of(atoms, masses, steps).gauss()
    assert weights.sum() == pytest.approx(1.0)
    for degree in range(2 * steps):
        polynomial = np.polynomial.Chebyshev.basis(degree)
        assert weights @ polynomial(nodes) == pytest.approx(masses @ polynomial(atoms), abs=1e-12)
    # and no more: the error at the next degree is the squared norm of the next polynomial
    monic = np.polynomial.Polynomial.fromroots(nodes)
    missed = masses @ monic(atoms) ** 2 - weights @ monic(nodes) ** 2
    assert missed == pytest.approx(float(np.prod(rule_of(atoms, masses, steps).offdiagonal) ** 2))


@given(seed=st.integers(0, 10_000))
def test_brackets_are_sharp(seed: int) -> None:
    """The measure that attains them has the same moments: it gives the same rule."""
    rng = np.random.default_rng(seed)
    atoms = np.sort(rng.standard_normal(30))
    rule = rule_of(atoms, np.full(30, 1 / 30), int(rng.integers(2, 8)))
    x = float(rng.uniform(atoms[0], atoms[-1]))
    lower, upper = rule.cdf_brackets(x)
    # the Gauss-Radau rule, by definition: m + 1 nodes, one of them x, the moments of the rule
    T = (
        np.diag(rule.diagonal)
        + np.diag(rule.offdiagonal[:-1], 1)
        + np.diag(rule.offdiagonal[:-1], -1)
    )
    unit = np.zeros(rule.diagonal.size)
    unit[-1] = rule.offdiagonal[-1] ** 2
    last = x + np.linalg.solve(T - x * np.eye(unit.size), unit)[-1]
    radau = GaussRule(
        diagonal=np.append(rule.diagonal, last), offdiagonal=np.append(rule.offdiagonal, 0.0)
    )
    nodes, weights = radau.gauss()
    at = int(np.abs(nodes - x).argmin())
    assert nodes[at] == pytest.approx(x, abs=1e-9 * max(1.0, float(np.abs(nodes).max())))
    assert float(upper) == pytest.approx(weights[: at + 1].sum(), abs=1e-9)
    assert float(lower) == pytest.approx(weights[:at].sum(), abs=1e-9)
    again = rule_of(nodes, weights, rule.diagonal.size)
    np.testing.assert_allclose(again.diagonal, rule.diagonal, atol=1e-7)
    np.testing.assert_allclose(again.offdiagonal, rule.offdiagonal, atol=1e-7)


def test_brackets_narrow_with_the_steps_and_are_monotone() -> None:
    rng = np.random.default_rng(4)
    atoms = np.sort(rng.standard_normal(60))
    x = np.linspace(-3, 3, 41)
    before = np.full(x.size, np.inf)
    for steps in (1, 3, 8, 20, 45):
        lower, upper = rule_of(atoms, np.full(60, 1 / 60), steps).cdf_brackets(x)
        assert (upper - lower <= before + 1e-12).all()
        assert (np.diff(lower) >= -1e-9).all()
        assert (np.diff(upper) >= -1e-9).all()
        before = upper - lower


def test_a_complete_rule_is_the_measure() -> None:
    atoms, masses = np.array([-1.0, 0.5, 2.0]), np.array([0.2, 0.3, 0.5])
    rule = rule_of(atoms, masses, 10)
    assert rule.complete
    lower, upper = rule.cdf_brackets([[-2.0, 0.0], [1.0, 2.0 + 1e-12]])
    np.testing.assert_allclose(lower, [[0, 0.2], [0.5, 1.0]], atol=1e-14)
    np.testing.assert_array_equal(lower, upper)


def test_many_points_of_a_long_rule_take_bounded_memory() -> None:
    atoms = np.linspace(-1, 1, 400)
    rule = rule_of(atoms, np.full(400, 1 / 400), 150)
    x = ((atoms[:-1] + atoms[1:]) / 2)[::-1][:300]  # at an atom rounding decides
    lower, upper = rule.cdf_brackets(x)
    truth = np.searchsorted(atoms, x) / 400
    assert (lower <= truth + 1e-9).all()
    assert (truth <= upper + 1e-9).all()


def test_the_open_mass_is_the_mean_half_width_over_all_nodes() -> None:
    rule = rule_of(np.linspace(-1.0, 3.0, 50) ** 3, np.full(50, 0.02), 6)
    nodes = rule.gauss()[0]
    lower, upper = rule.cdf_brackets(np.linspace(nodes.min(), nodes.max(), 65))
    assert rule.open_mass() == pytest.approx(float((upper - lower).mean() / 2), rel=1e-12)
    assert rule.open_mass() > 0.01

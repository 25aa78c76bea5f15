"""Intervals from random probes hold the truth as often as they say, and notice biased probes.

A share of 200 intervals at 95 percent lies in [0.92, 0.98] with probability 0.967 if each holds the
truth with probability 0.95. Seeds are fixed, so this false-alarm rate belongs to the writing of a
test, not to its running.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import hessium as hs
from hessium._typing import FloatArray
from hessium.errors import InputError, NonFiniteError
from hessium.estimate import probes
from support.chosen_spectra import MATRICES, Counted, with_eigenvalues
from support.risk_cases import draw, mlp

PRODUCTS = 60
DRAWS, LEAST, MOST = 200, 0.92, 0.98


def coverage(truth: float, found: Sequence[hs.Estimate | hs.NormEstimate]) -> float:
    intervals = [estimate.interval(0.95) for estimate in found]
    return sum(lower <= truth <= upper for lower, upper in intervals) / len(found)


def draws_of_trace(spectrum: str, method: str, draws: int = DRAWS) -> list[hs.Estimate]:
    A = MATRICES[spectrum]
    return [hs.trace(A, PRODUCTS, method=method, rng=seed) for seed in range(draws)]


# several tests ask the same ones
traces = functools.cache(draws_of_trace)


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("spectrum", "method"),
    [
        ("flat", "hutchinson"),
        ("outliers", "hutchinson"),
        ("slow", "hutch++"),
        ("fast", "xtrace"),
        ("outliers", "xtrace"),
        ("flat", "auto"),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in [
                ("slow", "hutchinson"),
                ("flat", "hutch++"),
                ("fast", "hutch++"),
                ("flat", "xtrace"),
                ("slow", "xtrace"),
            ]
        ),
    ],
)
def test_trace_intervals(spectrum: str, method: str) -> None:
    truth = float(MATRICES[spectrum].trace())
    assert LEAST <= coverage(truth, traces(spectrum, method)) <= MOST


@pytest.mark.slow
@pytest.mark.parametrize(
    ("outliers", "level", "spread"),
    [
        (3, 1e-3, 1e-6),
        (1, 1e-3, 1e-6),
        (8, -1e-3, 1e-4),
        (3, 1e-1, 1e-9),
        (2, 1e-2, 1e-2),
    ],
)
def test_trace_intervals_of_outliers_above_a_nearly_flat_bulk(
    outliers: int, level: float, spread: float
) -> None:
    """Of 400 intervals at 95 percent fewer than 91 percent hold with probability below 0.001.

    As a control, the errors are those of the bulk: what the sketch alone would leave of the
    outliers is larger by far, skewed, and held in 88 percent.
    """
    values = level * (1 + spread * np.random.default_rng(5).standard_normal(150))
    values[:outliers] = 1.0
    A = torch.diag(torch.as_tensor(values))
    found = [hs.trace(A, 40, method="xtrace", rng=seed) for seed in range(400)]
    assert coverage(float(values.sum()), found) >= 0.91
    assert np.median([f.stderr for f in found]) < 30 * abs(level) * spread


@pytest.mark.parametrize(
    "spectrum", ["flat", "outliers", pytest.param("slow", marks=pytest.mark.slow)]
)
def test_norm_intervals(spectrum: str) -> None:
    A = MATRICES[spectrum]
    truth = float(A.norm())
    share = coverage(truth, [hs.frobenius_norm(A, PRODUCTS, rng=seed) for seed in range(DRAWS)])
    assert LEAST <= share <= MOST


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("spectrum", "method"),
    [("flat", "hutchinson"), ("flat", "xdiag"), ("slow", "xdiag"), ("outliers", "xdiag")],
)
def test_diagonal_intervals(spectrum: str, method: str) -> None:
    """150 entries of 60 seeds; those of one seed depend on each other."""
    A = MATRICES[spectrum]
    truth = A.diagonal()
    shares = []
    for seed in range(60):
        lower, upper = hs.diagonal(A, PRODUCTS, method=method, rng=seed).interval(0.95)
        shares.append(float(((lower <= truth) & (truth <= upper)).double().mean()))
    assert 0.93 <= np.mean(shares) <= 0.97


@pytest.mark.parametrize("method", ["hutchinson", "hutch++", "xtrace"])
def test_biased_matvecsfail_the_same_test(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: entries whose variance is 0.9, a bias of up to a tenth of the trace."""
    module = importlib.import_module("hessium.estimate.trace")
    for name in ("signs", "sphere"):
        fair = getattr(probes, name)

        def short(generator: np.random.Generator, n: int, fair: probes.Draw = fair) -> FloatArray:
            return 0.9**0.5 * fair(generator, n)

        monkeypatch.setattr(module, name, short)
    share = coverage(float(MATRICES["slow"].trace()), draws_of_trace("slow", method))
    assert not LEAST <= share <= MOST


@pytest.mark.parametrize("spectrum", ["slow", "fast"])
def test_the_error_of_the_literature_fails_the_same_test(spectrum: str) -> None:
    """Negative control: leave-one-out estimates are not independent, and it matters."""
    A = MATRICES[spectrum]
    truth, held = float(A.trace()), 0
    for found in traces(spectrum, "xtrace", 400):
        m = found.samples.size
        naive = found.samples.std(ddof=1) / m**0.5
        held += abs(found.value - truth) <= naive / found.stderr * (
            found.interval()[1] - found.value
        )
    assert held / 400 < 0.90


def spread(A: Tensor, method: str) -> float:
    values = [hs.trace(A, PRODUCTS, method=method, rng=seed).value for seed in range(100)]
    return float(np.std(values))


@pytest.mark.sampled
@pytest.mark.parametrize(("spectrum", "gain"), [("fast", 50.0), ("slow", 3.0), ("outliers", 4.0)])
def test_sketches_gain_on_spectra_that_decay(spectrum: str, gain: float) -> None:
    """A standard deviation of 100 values is known to 7 percent: the gains here are far beyond."""
    A = MATRICES[spectrum]
    plain, plus, best = (spread(A, method) for method in ("hutchinson", "hutch++", "xtrace"))
    assert plain > gain * best
    assert plus > 1.2 * best
    assert hs.trace(A, PRODUCTS).method == "xtrace"


def test_sketches_gain_nothing_on_flat_spectra_and_the_choice_knows_it() -> None:
    A = MATRICES["flat"]
    plain, plus, best, chosen = (
        spread(A, method) for method in ("hutchinson", "hutch++", "xtrace", "auto")
    )
    assert min(plus, best) > 0.9 * plain
    assert chosen == pytest.approx(plain, rel=0.2)
    for estimate in (hs.trace, hs.diagonal):
        methods = [estimate(A, PRODUCTS, rng=seed).method for seed in range(20)]
        assert methods.count("hutchinson") > 10


def test_standard_errors_are_those_of_the_values() -> None:
    """XTrace on a spectrum where the sample variance alone is half of the variance."""
    found = traces("slow", "xtrace", 400)
    actual = np.var([f.value for f in found])
    claimed = np.mean([f.stderr**2 for f in found])
    naive = np.mean([f.samples.var(ddof=1) / f.samples.size for f in found])
    assert claimed == pytest.approx(actual, rel=0.2)
    assert naive < 0.7 * actual


METHODS: list[tuple[Callable[..., Any], str]] = [
    (hs.trace, "hutchinson"), (hs.trace, "hutch++"), (hs.trace, "xtrace"), (hs.trace, "auto"),
    (hs.frobenius_norm, "hutchinson"), (hs.frobenius_norm, "exchangeable"),
    (hs.diagonal, "hutchinson"), (hs.diagonal, "xdiag"), (hs.diagonal, "auto"),
]  # fmt: skip


@pytest.mark.parametrize(("estimate", "method"), METHODS)
def test_matvecs_are_the_products_spent(estimate: Callable[..., Any], method: str) -> None:
    operator = Counted(MATRICES["slow"])
    done: list[int] = []
    found = estimate(operator, 42, method=method, progress=lambda k, n, what: done.append(k))
    assert operator.products == found.num_matvecs == done[-1] == 42
    assert "42 products" in repr(found)


@pytest.mark.parametrize(("estimate", "method"), METHODS)
def test_blocks_and_precision_change_nothing_but_rounding(
    estimate: Callable[..., Any], method: str
) -> None:
    A = MATRICES["outliers"]
    found = estimate(A, 30, method=method)
    narrow = 5 * 15 * 150 * 8  # a sketch fits, a block of all columns does not
    again = estimate(Counted(A), 30, method=method, max_bytes=narrow)
    single = estimate(A.float(), 30, method=method)
    scale = float(A.norm())
    for other in (again, single):
        close = 1e-10 if other is again else 1e-5
        for one, two in ((found.value, other.value), (found.stderr, other.stderr)):
            np.testing.assert_allclose(np.asarray(two), np.asarray(one), rtol=0, atol=close * scale)
        assert other.method == found.method


@pytest.mark.parametrize(("estimate", "method"), METHODS)
@pytest.mark.parametrize("rank", [0, 1, 4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_matrices_of_low_rank_are_found_exactly(
    estimate: Callable[..., Any], method: str, rank: int, dtype: torch.dtype
) -> None:
    values = np.zeros(60)
    values[:rank] = np.arange(1, rank + 1)
    A = with_eigenvalues(values).to(dtype)
    found = estimate(A, 30, method=method)
    if estimate is hs.diagonal:
        assert bool(torch.isfinite(found.value).all())
        assert bool(torch.isfinite(found.stderr).all())
    if method in ("hutch++", "xtrace", "exchangeable", "xdiag") or rank == 0:
        truth: Any = {
            hs.trace: A.trace(), hs.frobenius_norm: A.norm(), hs.diagonal: A.diagonal()
        }[estimate]  # fmt: skip
        close = 300 * torch.finfo(dtype).eps * max(rank, 1)
        np.testing.assert_allclose(np.asarray(found.value), truth.numpy(), rtol=0, atol=close)


def test_as_many_products_as_columns_are_exact() -> None:
    A = with_eigenvalues(np.linspace(-1, 2, 20))
    for matvecs in (20, 100):
        assert hs.trace(A, matvecs).value == pytest.approx(10.0, rel=1e-12)
        assert hs.trace(A, matvecs).interval() == pytest.approx((10.0, 10.0))
        assert hs.frobenius_norm(A, matvecs).value == pytest.approx(float(A.norm()), rel=1e-12)
        found = hs.diagonal(A, matvecs)
        assert torch.equal(found.value, A.diagonal())
        assert found.method == "exact"
        assert found.num_matvecs == 20
    assert hs.trace(A, 5, method="exact").stderr == 0


def test_curvature_of_a_network() -> None:
    risk = hs.EmpiricalRisk(mlp(4, 12, 3), nn.MSELoss(), (draw(30, 4), draw(30, 3, seed=3)))
    for operator in (hs.Hessian(risk), hs.GaussNewton(risk)):
        matrix = operator.dense()
        found = hs.trace(operator, 60)
        assert abs(found.value - float(matrix.trace())) < 5 * found.stderr
        norm = hs.frobenius_norm(operator, 60)
        assert abs(norm.value - float(matrix.norm())) < 5 * norm.stderr
        entries = hs.diagonal(operator, 60)
        errors = (entries.value - matrix.diagonal()).abs() / entries.stderr
        assert float(errors.max()) < 10
        assert float(errors.mean()) < 1.5


def test_seeds() -> None:
    A = MATRICES["slow"]
    assert hs.trace(A, 30, rng=1).value == hs.trace(A, 30, rng=np.random.default_rng(1)).value
    assert hs.trace(A, 30, rng=1).value != hs.trace(A, 30, rng=2).value
    assert hs.trace(A, 30, rng=None).value != hs.trace(A, 30, rng=None).value


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"matvecs": 0}, "matvecs: 0; an integer >= 1"),
        ({"matvecs": True}, "matvecs: True; an integer"),
        ({"method": "best"}, "method: 'best'; one of 'auto'"),
        ({"rng": -1}, "rng: -1 is negative"),
        ({"matvecs": 200, "method": "xtrace"}, "with 150 or more the answer is exact"),
        ({"matvecs": 4, "method": "hutch\\+\\+"}, "at least 6 products"),
        ({"method": "xtrace", "max_bytes": 1000}, "max_bytes: .* GiB of vectors"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    arguments = {k: v.replace("\\", "") if isinstance(v, str) else v for k, v in arguments.items()}
    with pytest.raises(InputError, match=message):
        hs.trace(MATRICES["slow"], **arguments)


def test_levels_are_probabilities() -> None:
    found = hs.trace(MATRICES["slow"], 30)
    with pytest.raises(InputError, match="confidence: 95"):
        found.interval(95)
    lower, upper = found.interval(0.99)
    assert lower < found.interval(0.5)[0] < float(found) < upper


def test_too_little_memory_for_a_sketch_falls_back() -> None:
    found = hs.trace(MATRICES["slow"], 30, max_bytes=1000)
    assert found.method == "hutchinson"


def test_products_that_are_not_finite_leave_what_was_found() -> None:
    operator = Counted(MATRICES["slow"], nan_at=65)
    with pytest.raises(NonFiniteError, match="product 65 of 100 or soon after") as caught:
        hs.trace(operator, 100, method="hutchinson")
    assert isinstance(caught.value.partial, np.ndarray)
    assert caught.value.partial.shape == (64,)


def standardised_bias(N: int, seeds: int = 600) -> float:
    """How many standard errors the mean of `auto` is off, where eigenvalues decay."""
    decaying = with_eigenvalues(np.exp(-np.arange(120) / 3))
    found = np.array([hs.trace(decaying, N, rng=seed).value for seed in range(seeds)])
    return float((found.mean() - decaying.trace()) / (found.std() / seeds**0.5))


@pytest.mark.slow
def test_automatic_traces_from_few_products_are_not_biased(monkeypatch: pytest.MonkeyPatch) -> None:
    # |z| > 4 has probability 6e-5 without bias
    assert abs(standardised_bias(8)) < 4
    # the control: a look at half of eight probes, which are then used, favours small estimates
    monkeypatch.setattr(importlib.import_module("hessium.estimate.trace"), "LOOK_FROM", 0)
    assert standardised_bias(8) < -4


@pytest.mark.parametrize("unit", [1e-30, 1e30])
def test_squares_of_small_and_large_entries(unit: float) -> None:
    A = MATRICES["slow"].float() * unit
    truth = float((A.double()).norm())
    for method in ("hutchinson", "exchangeable"):
        found = hs.frobenius_norm(A, PRODUCTS, method=method)
        assert found.interval(0.999)[0] < truth < found.interval(0.999)[1], method
    entries = hs.diagonal(A, PRODUCTS, method="hutchinson")
    assert bool((entries.stderr > 0).all())

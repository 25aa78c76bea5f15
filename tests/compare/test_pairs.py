"""Freeness of pairs, level spacings, normality: each with what must pass and what must fail."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hessium._typing import AnyArray
from hessium.compare import freeness, levels, mixed_moments, normality
from hessium.compare.freeness import _Basis
from hessium.compare.mixed_moments import free_moments
from hessium.errors import InputError
from hessium.spectra import Spectrum
from hessium.theory import goe, gue, haar, wishart


def pair(n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    return torch.tensor(wishart(n, 2 * n, rng=rng)), torch.tensor(goe(n, 0.3, rng))


def commuting(n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The same two spectra in one basis, in random order."""
    rng, (a, b) = np.random.default_rng(seed), pair(n, seed)
    x, y = (torch.linalg.eigvalsh(m) for m in (a, b))
    return torch.diag(x[rng.permutation(n)]), torch.diag(y)


def test_moments_of_rotated_pairs_are_those_stated() -> None:
    # 7 means beyond 4.5 and 7 deviations beyond 4.5 standard errors: false alarms 1e-4
    rng, n, draws = np.random.default_rng(0), 60, 1500
    x, y = np.sort(rng.standard_normal(n)) ** 3, np.sort(rng.random(n))
    basis = _Basis(x, y)
    found = np.array([basis.moments(haar(n, rng)) for _ in range(draws)])
    mean, spread = free_moments(n, 6)
    assert (np.abs(found.mean(0) - mean) < 4.5 * spread / np.sqrt(draws)).all()
    assert (np.abs(found.std(0)[:6] / spread[:6] - 1) < 4.5 / np.sqrt(2 * draws)).all()
    assert found.std(0)[6] == pytest.approx(spread[6], rel=0.2)  # a limit, not exact


def test_a_free_pair_passes_at_the_stated_rate() -> None:
    # alpha 1/5 exactly, 60 pairs: expected 12, more than 24 with probability 2e-4
    alarms = np.zeros(2)
    for seed in range(60):
        found = freeness(*pair(24, seed), rotations=9, rng=seed)
        alarms += [found.p_value <= 0.2, found.distance_p_value <= 0.2]
    assert (alarms <= 24).all()
    assert (alarms >= 2).all()


def test_a_commuting_pair_fails() -> None:
    for seed in range(3):
        found = freeness(*commuting(60, seed), rotations=99, rng=seed)
        assert found.p_value == pytest.approx(0.01)
        assert found.distance_p_value == pytest.approx(0.01)
        assert found.moments[-1].value > 0.5


def test_spectrum_of_a_free_pair_is_the_free_sum() -> None:
    found = freeness(*pair(80, 1), rotations=9, rng=0)
    assert found.law_distance() < 0.03
    assert freeness(*commuting(80, 1), rotations=2, rng=0).law_distance() > 0.05


def test_few_distinct_eigenvalues() -> None:
    projection = torch.diag(torch.tensor([1.0] * 10 + [0.0] * 20, dtype=torch.float64))
    found = freeness(projection, pair(30, 0)[1], rotations=9, rng=0)
    assert [one.name for one in found.moments] == [
        "p1(A) q1(B)", "p1(A) q2(B)", "p1(A) q3(B)", "p1(A) q1(B) p1(A) q1(B)"
    ]  # fmt: skip
    with pytest.raises(InputError, match="second"):
        freeness(projection, torch.eye(30, dtype=torch.float64))


def test_matrix_free_moments_agree_with_the_exact_ones() -> None:
    # 14 scores beyond 4.5 with probability 1e-4 (jackknife of 40: Student's tails)
    for make in (pair, commuting):
        a, b = make(150, 2)
        exact = freeness(a, b, rotations=1, rng=0).moments
        found = mixed_moments(a, b, probes=40, rng=1)
        for one, truth in zip(found, exact, strict=True):
            assert one.name == truth.name
            assert abs(one.value - truth.value) < 4.5 * one.stderr
    assert found[-1].z > 10


def test_matrix_free_moments_do_not_depend_on_origin_and_unit() -> None:
    a, b = pair(100, 3)
    one = torch.eye(100, dtype=torch.float64)
    plain = mixed_moments(a, b, probes=8, rng=0)
    for moved, other, digits in (
        (a + 100 * one, b - 1e4 * one, 1e-8),
        (1e6 * a.float(), 1e6 * b.float(), 1e-5),
        ((a + 100 * one).float(), 1e-6 * b.float(), 1e-3),
    ):
        found = mixed_moments(moved, other, probes=8, rng=0)
        for here, there in zip(plain, found, strict=True):
            assert there.value == pytest.approx(here.value, abs=digits)
            assert there.stderr == pytest.approx(here.stderr, rel=10 * digits)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_matrix_free_moments_of_few_distinct_eigenvalues(dtype: torch.dtype) -> None:
    projection = torch.diag(torch.tensor([1.0] * 40 + [0.0] * 80, dtype=torch.float64))
    other = pair(120, 0)[1]
    exact = freeness(projection, other, rotations=1, rng=0).moments
    found = mixed_moments(projection.to(dtype), other.to(dtype), probes=40, rng=1)
    assert [one.name for one in found] == [one.name for one in exact]
    # 4 scores beyond 4.5 with probability 1e-4 (jackknife of 40: Student's tails)
    for one, truth in zip(found, exact, strict=True):
        assert abs(one.value - truth.value) < 4.5 * one.stderr
    # the control: a projection and a function of it
    same = 2 * projection + torch.eye(120, dtype=torch.float64)
    assert mixed_moments(projection, same, rng=1)[0].value == pytest.approx(1)
    for name, matrices in (("second", (other, 3 * torch.eye(120))), ("first", (0 * other, other))):
        with pytest.raises(InputError, match=f"{name}: a multiple of the identity"):
            mixed_moments(*(one.to(dtype) for one in matrices))


def test_level_ratios_of_the_ensembles() -> None:
    # means over many matrices, 4.5 standard errors
    rng = np.random.default_rng(0)
    orthogonal = levels(*(Spectrum.of(np.linalg.eigvalsh(goe(200, rng=rng)))
                          for _ in range(20)))  # fmt: skip
    unitary = levels(*(Spectrum.of(np.linalg.eigvalsh(gue(200, rng=rng)))
                       for _ in range(20)))  # fmt: skip
    poisson = levels(*(Spectrum.of(rng.random(200)) for _ in range(20)))
    for found, name, value in (
        (orthogonal, "goe", 0.5307), (unitary, "gue", 0.5996), (poisson, "poisson", 0.3863)
    ):  # fmt: skip
        assert found.nearest == name
        assert abs(found.mean - value) < 4.5 * found.stderr
        assert found.stderr < 0.007
        assert found.p_value("goe") > 1e-5 or name != "goe"
    assert poisson.p_value("goe") < 1e-10


def test_an_unremoved_symmetry_lowers_the_ratio() -> None:
    rng = np.random.default_rng(1)
    n = 150
    matrix = np.zeros((2 * n, 2 * n))
    matrix[:n, :n], matrix[n:, n:] = goe(n, rng=rng), goe(n, rng=rng)
    turn = haar(2 * n, rng)
    hidden = torch.tensor(turn @ matrix @ turn.T)
    seen = levels(torch.tensor(matrix))
    assert seen.sectors == (n, n)
    assert abs(seen.z["goe"]) < 4.5
    mixed = levels(hidden)
    assert mixed.z["goe"] < -4
    told = levels(hidden, sectors=[turn[:, :n], turn[:, n:]])
    assert told.mean == pytest.approx(seen.mean, abs=1e-6)
    with pytest.raises(InputError, match="sectors"):
        levels(hidden, sectors=[np.eye(2 * n)[:, :n], np.eye(2 * n)[:, n:]])


def test_null_space_and_mirrored_levels_are_removed() -> None:
    rng = np.random.default_rng(2)
    block = rng.standard_normal((40, 40))
    zero = np.zeros((40, 40))
    mirrored = np.block([[zero, block], [block.T, zero]])
    found = levels(torch.tensor(mirrored))
    assert found.sectors == (40,)
    padded = np.zeros((90, 90))
    padded[:80, :80] = mirrored
    assert levels(torch.tensor(padded)).zeros == 10
    twice = levels(Spectrum.of(np.repeat(np.arange(1.0, 30.0) ** 1.1, 2)))
    assert twice.degenerate == 29
    with pytest.raises(InputError, match="sources"):
        levels(Spectrum.of([0.0, 1.0]))


def test_error_of_the_mean_ratio() -> None:
    # 150 scores: their deviation within 26 % of one but with probability 1e-5
    rng = np.random.default_rng(3)
    for draw in (lambda: np.linalg.eigvalsh(goe(100, rng=rng)), lambda: rng.random(100)):
        law = "goe" if draw().max() > 1.5 else "poisson"
        scores = [levels(Spectrum.of(draw())).z[law] for _ in range(150)]
        assert np.std(scores) == pytest.approx(1, abs=0.26)


@pytest.mark.parametrize("n", [5, 10, 30])
def test_few_levels_are_judged_at_their_nominal_rate(n: int) -> None:
    # alpha .05, 600 spectra, 3.6 to 5 % expected: outside [8, 52] with probability 4e-4 at most
    rng = np.random.default_rng(4)
    repelling = [np.linalg.eigvalsh(goe(n, rng=rng)) for _ in range(600)]
    independent = [1 + rng.random(n) for _ in range(600)]

    def rejected(spectra: list[AnyArray], ensemble: str) -> int:
        each = [levels(Spectrum.of(one)) for one in spectra]
        return sum(one.p_value(ensemble) < 0.05 for one in each)

    assert 8 <= rejected(repelling, "goe") <= 52
    assert 8 <= rejected(independent, "poisson") <= 52
    # the control: thirty levels without repulsion are mostly told from GOE, five hardly ever
    assert rejected(independent, "goe") > (60 if n < 30 else 300)


def test_ladders_and_doublets_have_scores_that_mean_something() -> None:
    rng = np.random.default_rng(5)
    ladder = levels(Spectrum.of(np.arange(1.0, 20.0)))
    assert ladder.mean == pytest.approx(1.0)
    assert 4 < min(ladder.z.values()) < max(ladder.z.values()) < 10
    pairs = np.repeat(10 + np.linalg.eigvalsh(goe(30, rng=rng)), 2)
    for split, degenerate in ((0.0, 30), (1e-7, 0)):
        found = levels(Spectrum.of(pairs + split * rng.random(60)))
        assert found.degenerate == degenerate
        assert -20 < min(found.z.values()) < max(found.z.values()) < -7
        assert ("a symmetry, or too fine" in repr(found)) == bool(degenerate)
    # the control: one level of each pair is GOE
    assert abs(levels(Spectrum.of(pairs[::2])).z["goe"]) < 4


def test_levels_of_single_precision() -> None:
    # a null space of float32 is no cluster of levels
    matrix = wishart(60, 30, rng=0)
    single = levels(torch.tensor(matrix, dtype=torch.float32))
    assert single.zeros == 30
    assert single.mean == pytest.approx(levels(torch.tensor(matrix)).mean, abs=1e-3)


def test_normality() -> None:
    rng = np.random.default_rng(4)
    # alpha .05, 300 samples: expected 15, outside [3, 32] with probability 1e-4
    alarms = sum(normality(3 + 2 * rng.standard_normal(60)).p_value < 0.05 for _ in range(300))
    assert 3 <= alarms <= 32
    assert normality(rng.random(300)).p_value < 1e-3
    assert normality(rng.standard_t(3, 500)).kurtosis > 0.5
    with pytest.raises(InputError, match="values"):
        normality([1.0] * 20)


def test_rounding_of_equal_eigenvalues_is_no_difference() -> None:
    # a projection and a Haar rotation of another: free at any size, with n - 2 equal zeros
    one = torch.zeros(30, 30, dtype=torch.float64)
    one[0, 0] = 1.0
    found = []
    for seed in range(30):
        q = np.random.default_rng(seed).standard_normal(30)
        other = torch.as_tensor(np.outer(q, q) / (q @ q))
        found.append(freeness(one, other, rotations=19, rng=seed).distance_p_value)
    # the rate is 0.05 for a pair in generic position: 6 of 30 or more with probability 0.003
    assert np.mean(np.array(found) <= 0.05) < 0.2


def test_levels_are_equal_to_rounding_or_not_at_all() -> None:
    rng = np.random.default_rng(11)
    # spacings of 1e-11 of the largest level, far above the rounding of float64
    fine = np.append(np.linalg.eigvalsh(goe(60, rng=rng)) * 1e-9 + 1.0, 2.0)
    found = levels(Spectrum.of(fine))
    assert found.degenerate == 0
    assert found.p_value("goe") > 1e-4
    # the same levels in float32 are noise, and no symmetry
    with pytest.raises(InputError, match="rounding"):
        levels(Spectrum.of(fine.astype(np.float32)))
    twice = levels(Spectrum.of(np.repeat(fine, 2)))
    assert twice.degenerate == 61
    assert "too fine for this dtype" in repr(twice)

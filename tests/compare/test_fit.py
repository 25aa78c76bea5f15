"""Fits of scale, ratio and energy, their coverage, and outliers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hessium.compare import Family, fit, nonzero, outliers
from hessium.errors import InputError
from hessium.estimate import spectrum
from hessium.theory import (
    MarchenkoPastur,
    Semicircle,
    Uniform,
    goe,
    relu_residual,
    spiked,
    wishart,
)
from hessium.theory import outliers as predicted
from support.spiked_matrices import LAW, RATIO, matrix, spiky


@pytest.mark.slow
@pytest.mark.parametrize("freedom", [1, 2])
def test_heavy_tails_are_rejected_in_words(freedom: int) -> None:
    # measured: 12 of 12 of either kind; of normal entries 1 in 100 is rejected
    for seed in range(3):
        factor = np.random.default_rng(seed).standard_t(freedom, (100, 200))
        try:
            found = fit(np.linalg.eigvalsh(factor @ factor.T / 200), "marchenko-pastur")
        except InputError:
            continue
        assert found.p_value < 0.01
        assert "rejected: no marchenko-pastur law" in repr(found)
    normal = fit(np.linalg.eigvalsh(wishart(100, 200, rng=5)), "marchenko-pastur")
    assert normal.verdict == "not rejected"
    assert normal.whole_p_value > 0.01


def test_outliers_are_said_to_be_no_part_of_the_law() -> None:
    values, _ = spiky("marchenko-pastur", 0.5, 3, "signal", np.random.default_rng(3))
    found = fit(values, "marchenko-pastur")
    assert found.p_value > 0.01
    assert found.whole_p_value < 1e-6
    assert "without the 3 outliers" in found.verdict
    assert "heavy-tailed" in repr(found)
    assert "99.9%" in repr(fit(values, "marchenko-pastur", confidence=0.999))


def test_equivariant_under_rescaling() -> None:
    values = np.linalg.eigvalsh(matrix(150, np.random.default_rng(0)))
    here = fit(values)
    for unit in (1e-6, 1e6):
        there = fit(unit * values)
        for name, power in (("scale", 1), ("ratio", 0), ("energy", 2)):
            mine, other = here.parameters[name], there.parameters[name]
            for end in ("value", "low", "high"):
                expected = getattr(mine, end) * unit**power
                assert getattr(other, end) == pytest.approx(expected, rel=1e-6)


def test_known_parameters_help() -> None:
    values = np.linalg.eigvalsh(matrix(200, np.random.default_rng(1)))
    free, known = fit(values), fit(values, fixed={"ratio": RATIO})
    widths = [f.parameters["energy"].high - f.parameters["energy"].low for f in (free, known)]
    assert widths[1] < widths[0]
    assert known.parameters["ratio"].low == known.parameters["ratio"].high == RATIO
    assert known.freedom == free.freedom + 1


def test_other_families() -> None:
    rng = np.random.default_rng(2)
    wigner = fit(np.linalg.eigvalsh(goe(200, 0.3, rng)), "semicircle")
    assert wigner.parameters["variance"].covers(0.3)
    for ratio in (0.3, 2.0):
        mp = fit(np.linalg.eigvalsh(wishart(200, round(200 / ratio), 2.0, rng)), "marchenko-pastur")
        assert mp.p_value > 1e-3
        # the 99.9 % interval is about 1.7 times as wide
        scale = mp.parameters["scale"]
        assert abs(scale.value - 2.0) < 1.7 * (scale.high - scale.low) / 2
    own = Family(
        name="shifted",
        parameters={"shift": 1, "variance": 2},
        make=lambda shift, variance: Semicircle(variance=variance).shifted(shift),
        start=lambda mean, variance, third: {"shift": mean, "variance": variance},
    )
    found = fit(2 + np.linalg.eigvalsh(goe(150, 0.5, rng)), own)
    assert found.parameters["shift"].value == pytest.approx(2.0, abs=0.05)


@pytest.mark.slow
def test_a_ratio_that_the_data_do_not_tell_has_a_wide_interval() -> None:
    # at energy 3 the skewness that tells the ratio drowns: the interval must still cover
    rng, covered = np.random.default_rng(3), 0
    for _ in range(3):
        values = np.linalg.eigvalsh(wishart(100, 1000, rng=rng) + goe(100, 6.0, rng))
        ratio = fit(values).parameters["ratio"]
        covered += ratio.covers(0.1)
        assert ratio.high > 0.15
    assert covered >= 1  # none of 3 at 95 % with probability 1e-4


def test_what_is_no_such_matrix_is_rejected() -> None:
    values = Uniform(0, 1).ppf((np.arange(100) + 0.5) / 100)
    for family in ("semicircle", "wishart-wigner"):
        assert fit(values, family).p_value < 1e-6


def test_outliers_and_their_false_alarms() -> None:
    # alpha .05 on each side, 200 spectra: expected 20, more than 40 with probability 1e-5
    rng, alarms = np.random.default_rng(4), 0
    for _ in range(200):
        found = outliers(
            np.linalg.eigvalsh(goe(150, rng=rng)), Semicircle(variance=1.0), alpha=0.05
        )
        alarms += bool(found.values)
    assert 4 <= alarms <= 40


def test_outliers_name_their_spike() -> None:
    strengths, n = [2.5, 3.5], 400
    drawn, directions = spiked(LAW.matrix(n, 0), strengths, 1)
    values, vectors = np.linalg.eigh(drawn)
    found = outliers(values, LAW)
    assert len(found.above) == 2
    assert not found.below
    assert found.bulk.size == n - 2
    theory = predicted(strengths, LAW)[::-1]
    for k, (one, law) in enumerate(zip(found.above, theory, strict=True)):
        assert one.value == pytest.approx(law.location, rel=0.03)
        assert one.spike == pytest.approx(law.spike, rel=0.05)
        overlap = float((vectors[:, -1 - k] @ directions[:, 1 - k]) ** 2)
        assert overlap == pytest.approx(one.overlap, abs=0.1)
    # the control: a spike below the threshold makes none
    weak = np.linalg.eigvalsh(spiked(LAW.matrix(n, 0), [0.8], 1)[0])
    assert not outliers(weak, LAW).values


def test_hard_edges_hide_no_outliers() -> None:
    values = np.concatenate([[-0.5], MarchenkoPastur(ratio=1.0).ppf(np.linspace(0.01, 0.99, 99))])
    assert len(outliers(values, MarchenkoPastur(ratio=1.0)).below) == 1


def test_refusals() -> None:
    values = np.linspace(0, 1, 30)
    for arguments, words in (
        ({"family": "cauchy"}, "family"),
        ({"fixed": {"rank": 2.0}}, "fixed"),
        ({"family": "semicircle", "fixed": {"variance": 1.0}}, "fixed"),
        ({"confidence": 1.0}, "confidence"),
    ):
        with pytest.raises(InputError, match=words):
            fit(values, **arguments)
    with pytest.raises(InputError, match="spectrum"):
        fit(np.ones(50))
    with pytest.raises(InputError, match="alpha"):
        outliers(values, Semicircle(variance=1.0), alpha=0.0)


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_profiles_find_their_ends(seed: int) -> None:
    # the minimisation behind a profile may end elsewhere the second time it is asked
    rng = np.random.default_rng(seed)
    found = fit(np.linalg.eigvalsh(wishart(20, 40, rng=rng) + goe(20, 0.5, rng)))
    for estimate in found.parameters.values():
        assert estimate.low < estimate.value < estimate.high


@pytest.mark.parametrize("dtype", [pytest.param(np.float32, marks=pytest.mark.slow), np.float64])
def test_the_number_of_zeros_is_the_ratio(dtype: type) -> None:
    # 8 draws at 95 %: 4 or fewer covered with probability 4e-4
    rng, covered = np.random.default_rng(6), 0
    for _ in range(8):
        values = np.linalg.eigvalsh(wishart(100, 40, 2.0, rng).astype(dtype))
        found = fit(values, "marchenko-pastur")
        ratio = found.parameters["ratio"]
        assert ratio.low == ratio.value == ratio.high == 100 / 40
        assert not any(abs(one) < 1e-3 for one in found.outliers)  # rounded zeros are no outliers
        covered += found.parameters["scale"].covers(2.0)
    assert covered > 4
    # the control: a bulk without zeros leaves the ratio to be fitted
    bulk = fit(nonzero(values), "marchenko-pastur").parameters["ratio"]
    assert bulk.low < 0.4 < bulk.high
    with pytest.raises(InputError, match="60 of 100 eigenvalues are zero"):
        fit(values, "marchenko-pastur", fixed={"ratio": 2.0})


@pytest.mark.parametrize(
    "columns",
    [95, pytest.param(10, marks=pytest.mark.slow), pytest.param(5, marks=pytest.mark.slow)],
)
def test_an_atom_hides_no_bulk(columns: int) -> None:
    # 8 draws at 95 %: 4 or fewer covered with probability 4e-4
    rng, covered = np.random.default_rng(10), 0
    for _ in range(8):
        found = fit(np.linalg.eigvalsh(wishart(100, columns, rng=rng)), "marchenko-pastur")
        covered += found.parameters["scale"].covers(1.0)
        assert len(found.outliers) < 3
    assert covered > 4
    residual = relu_residual(ratio=12.5, energy=1.0)
    inside = fit(np.linalg.eigvalsh(residual.matrix(100, rng)), "relu-residual")
    assert inside.p_value > 1e-3
    assert inside.parameters["energy"].value == pytest.approx(1.0, rel=0.5)


@pytest.mark.slow
def test_a_detached_part_of_the_law_is_no_row_of_spikes() -> None:
    # 4 draws at 95 %: 1 or none covered with probability 5e-4; from a trimmed start none was
    rng, covered, rivals = np.random.default_rng(11), np.zeros(3), 0
    for _ in range(4):
        found = fit(np.linalg.eigvalsh(wishart(100, 5, rng=rng) + goe(100, 0.4, rng)))
        for k, truth in enumerate((1.0, 20.0, 0.2)):
            covered[k] += found.parameters[("scale", "ratio", "energy")[k]].covers(truth)
        rivals += "with 5 outliers" in found.rival and found.rival in repr(found)
        assert not found.outliers
    assert (covered > 1).all()
    assert rivals > 1  # five spikes on a semicircle: the data cannot tell
    # the control: spikes beside a Wishart bulk are no detached part
    alone = fit(np.linalg.eigvalsh(spiked(matrix(200, rng), [3.0, 3.6, 4.2, 4.8], rng)[0]))
    assert len(alone.outliers) >= 4
    assert not alone.rival


def test_a_law_of_a_minority_is_refused() -> None:
    bulk = np.linspace(1.0, 2.0, 40)
    with pytest.raises(InputError, match="would be outliers"):
        fit(bulk + 8, "semicircle")  # centred elsewhere
    with pytest.raises(InputError, match="40 of 60 eigenvalues are negative"):
        fit(np.append(np.zeros(20), -bulk), "marchenko-pastur")


def test_rounding_decides_what_is_zero() -> None:
    rng, law = np.random.default_rng(8), MarchenkoPastur(ratio=2.0)
    matrix = wishart(200, 100, rng=rng)
    single = matrix.astype(np.float32)
    for values in (
        np.linalg.eigvalsh(single),
        torch.linalg.eigvalsh(torch.tensor(single)),
        spectrum(torch.tensor(single)),  # solved in float64, rounded in float32 before
    ):
        assert not outliers(values, law).values
        assert nonzero(values).nodes.size == 100
    # the control: the same numbers in float64 are no zeros of a float64 matrix
    double = np.linalg.eigvalsh(single).astype(np.float64)
    assert len(outliers(double, law).below) > 10
    assert not outliers(np.linalg.eigvalsh(matrix), law).values

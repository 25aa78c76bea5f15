"""Distances, cumulants and their errors."""

from __future__ import annotations

import numpy as np
import pytest

from hessium.compare import cumulants, distance, nonzero
from hessium.compare._spectrum import snapped
from hessium.compare.distance import kolmogorov, wasserstein
from hessium.errors import InputError
from hessium.spectra import DiscreteMeasure, Spectrum
from hessium.theory import (
    Empirical,
    MarchenkoPastur,
    Semicircle,
    Uniform,
    free_sum,
    goe,
    wishart,
    wishart_wigner,
)


def of(*values: float) -> Spectrum:
    return Spectrum.of(list(values))


def test_closed_forms() -> None:
    law = Uniform(0, 1)
    assert wasserstein(of(0.5), law) == pytest.approx(0.25, abs=1e-7)
    # 0.2 holds [0, 1/2], 0.9 holds [1/2, 1]: the areas are those of triangles
    exact = (0.2**2 + 0.3**2) / 2 + (0.4**2 + 0.1**2) / 2
    assert wasserstein(of(0.2, 0.9), law) == pytest.approx(exact, abs=1e-7)
    assert wasserstein(of(2.0), law) == pytest.approx(1.5, abs=1e-7)
    assert kolmogorov(of(0.5), law)[0] == pytest.approx(0.5)
    assert kolmogorov(of(0.25, 0.75), law)[0] == pytest.approx(0.25)


def test_atoms_are_met_up_to_rounding() -> None:
    law = MarchenkoPastur(ratio=2.0)
    values = law.ppf((np.arange(400) + 0.5) / 400)
    moved = values + np.where(values == 0, 1e-13, 0.0)
    assert kolmogorov(snapped(of(*moved), law), law)[0] == pytest.approx(1 / 800, rel=0.02)
    # the control: zeros that are no zeros
    assert kolmogorov(snapped(of(*(moved + 1e-3)), law), law)[0] > 0.4
    assert kolmogorov(of(0.0, 0.0, 1.0), Empirical([0.0, 0.0, 1.0]))[0] < 1e-15


def test_p_values_are_uniform_and_turn() -> None:
    # 60 draws at alpha .05: expected 3, more than 11 with probability 5e-5
    law, rng = wishart_wigner(0.1, 0.5), np.random.default_rng(0)
    other = wishart_wigner(0.12, 0.5)
    spectra = [np.linalg.eigvalsh(law.matrix(150, rng)) for _ in range(60)]
    assert sum(distance(x, law).p_value < 0.05 for x in spectra) <= 11
    # a law with 6 percent more variance is told from one matrix of side 150
    assert np.mean([distance(x, other).p_value < 0.05 for x in spectra[:10]]) > 0.5


def test_p_values_beside_an_atom() -> None:
    # 100 draws of 20 eigenvalues and 180 zeros, measured rate .07: more than 18 with probability
    # 5e-5; as many degrees as 20 eigenvalues have, and a law of 10 % more scale is told
    law, rng = MarchenkoPastur(ratio=10.0), np.random.default_rng(4)
    spectra = [np.linalg.eigvalsh(wishart(200, 20, rng=rng)) for _ in range(100)]
    found = [distance(x, law) for x in spectra]
    assert found[0].freedom == distance(np.arange(20), Semicircle(variance=1.0)).freedom
    assert sum(one.p_value < 0.05 for one in found) <= 18
    other = MarchenkoPastur(ratio=10.0, scale=1.1)
    assert np.mean([distance(x, other).p_value < 0.05 for x in spectra[:20]]) > 0.5
    # and so is one of another number of zeros
    assert distance(spectra[0], MarchenkoPastur(ratio=8.0)).p_value < 1e-6


def test_kolmogorov_distance_of_draws() -> None:
    law = Semicircle(variance=1.0)
    found = distance(np.linalg.eigvalsh(goe(100, rng=0)), law, draws=19, rng=1)
    assert found.null.shape == (19,)
    assert found.kolmogorov_p_value is not None
    assert found.kolmogorov_p_value > 0.05
    # textbook tables are for independent values, an order of magnitude farther out
    assert found.null.max() < 0.5 * 1.36 / 10
    assert distance(law.rvs(100, 3), law).kolmogorov_p_value is None
    independent = distance(law.rvs(100, 3), law, draws=19, rng=1)
    assert independent.kolmogorov_p_value == pytest.approx(0.05)
    assert independent.p_value < 1e-4


def test_cumulants_of_one_spectrum_know_their_errors() -> None:
    # sample deviation of 100 scores is within 32 % of one but with probability 1e-5
    law, rng, scores = wishart_wigner(0.1, 0.5, 3.0), np.random.default_rng(1), []
    for _ in range(100):
        found = cumulants(np.linalg.eigvalsh(law.matrix(150, rng)))
        scores.append((found.free - law.free_cumulants(4)) / found.free_errors)
    table = np.array(scores)
    assert (np.abs(table.std(axis=0) - 1) < 0.32).all()
    assert (np.abs(table.mean(axis=0)) < 0.8).all()  # of order 1/n, as documented


def test_cumulants_of_draws() -> None:
    rng = np.random.default_rng(2)
    draws = [Spectrum.of(np.linalg.eigvalsh(goe(60, 2.0, rng))) for _ in range(30)]
    found = cumulants(*draws, count=4)
    assert "30 draws" in found.basis
    assert found.free[1] == pytest.approx(2 * 61 / 60, abs=5 * found.free_errors[1])
    assert found.moments[1] == pytest.approx(np.mean([d.moment(2) for d in draws]))


def test_errors_that_nothing_can_have_are_not_zero() -> None:
    rng = np.random.default_rng(3)
    clusters = cumulants(np.concatenate([rng.random(50), 100 + rng.random(50)]))
    assert np.isfinite(clusters.free_errors[0])
    assert np.isnan(clusters.free_errors[1:]).all()
    assert np.isnan(clusters.moment_errors[1:]).all()
    assert "unknown from order 2 on" in repr(clusters)
    # the control: a Gaussian-type matrix has them all, and draws of any matrix tell them
    assert (cumulants(np.linalg.eigvalsh(goe(100, rng=rng))).free_errors > 0).all()
    drawn = cumulants(*(np.concatenate([rng.random(9), 100 + rng.random(9)]) for _ in range(5)))
    assert (drawn.free_errors > 0).all()


@pytest.mark.parametrize("sign", [1, pytest.param(-1, marks=pytest.mark.slow)])
def test_few_eigenvalues_have_errors_that_cover(sign: int) -> None:
    # 100 draws, 1.96 errors, order by order: measured .86 to .97; below .75 with probability 1e-3
    law, rng = MarchenkoPastur(ratio=0.5), np.random.default_rng(7)
    truth = law.free_cumulants(4) * float(sign) ** np.arange(1, 5)
    covered = np.zeros(4)
    for _ in range(100):
        found = cumulants(sign * np.linalg.eigvalsh(wishart(10, 20, rng=rng)))
        assert "variance and third cumulant" in found.basis
        covered += np.abs(found.free - truth) < 1.96 * found.free_errors
    assert (covered >= 75).all()
    large = cumulants(np.linalg.eigvalsh(wishart(300, 600, rng=rng)))
    assert "with this spectrum" in large.basis


def test_errors_of_spikes_and_of_equal_eigenvalues_are_unknown() -> None:
    bulk = np.linalg.eigvalsh(goe(100, rng=0))
    for spikes in ([30.0], [30.0, 25.0], [-30.0]):
        assert np.isnan(cumulants(np.append(bulk, spikes)).free_errors[2:]).all()
    for equal in ([1.0], [3.0] * 9):
        found = cumulants(equal)
        assert np.isnan(found.free_errors).all()
        assert np.isnan(found.moment_errors).all()
        assert "all eigenvalues are equal" in repr(found)
    # the control: a law that is given knows its errors
    assert (cumulants([3.0] * 9, law=Semicircle(variance=1.0)).free_errors > 0).all()


def test_cumulants_far_from_the_origin() -> None:
    values = np.linalg.eigvalsh(goe(80, rng=0))
    here, there = cumulants(values), cumulants(1e6 + 1e-3 * values)
    np.testing.assert_allclose(there.free[1:], here.free[1:] * 1e-3 ** np.arange(2, 5), rtol=1e-4)
    np.testing.assert_allclose(there.free_errors[0], 1e-3 * here.free_errors[0], rtol=1e-2)


def test_refusals() -> None:
    uneven = DiscreteMeasure(nodes=np.array([0.0, 1.0]), weights=np.array([0.3, 0.7]))
    with pytest.raises(InputError, match="size"):
        distance(uneven, Semicircle(variance=1.0))
    assert distance(uneven, Semicircle(variance=1.0), size=40).freedom == 3
    # no Gaussian-type matrix has two clusters: distances, but no p-value that means anything
    clusters = free_sum(Empirical([-1.0, 1.0]), Semicircle(variance=1e-3))
    assert np.isnan(distance([-1.0, 1.0], clusters).p_value)
    with pytest.raises(InputError, match="draws"):
        distance([0.0, 1.0], Semicircle(variance=1.0), draws=-1)
    with pytest.raises(InputError, match="law"):
        distance([0.0, 1.0], Empirical([0.0]))
    with pytest.raises(InputError, match=r"spectrum: .*at least 2 eigenvalues"):
        distance([1.0], Semicircle(variance=1.0))
    for wrong in (np.eye(3), np.array([1.0, 1j])):
        with pytest.raises(InputError, match="list of real numbers"):
            cumulants(wrong)
    with pytest.raises(InputError, match="count"):
        cumulants([0.0, 1.0], count=0)
    with pytest.raises(InputError, match="spectra"):
        cumulants()
    assert nonzero([0.0, 1e-14, 2.0]).nodes.tolist() == [2.0]
    with pytest.raises(InputError, match="no non-zero"):
        nonzero([0.0, 0.0])

"""Two measured spectra beside each other, and spectra that are known by quadrature."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import hessium as hs
from hessium.compare import SpectraDistance, cumulants, distance
from hessium.errors import InputError
from hessium.spectra import DiscreteMeasure, Spectrum
from hessium.theory import MarchenkoPastur, Semicircle, goe, wishart


def spectrum_of(matrix: Any) -> Any:
    return np.linalg.eigvalsh(matrix)


def estimate_of(matrix: Any, seed: int) -> Any:
    return hs.spectral_measure(torch.tensor(matrix), probes=4, steps=25, rng=seed)


def test_closed_forms() -> None:
    found = distance([0.0, 1.0], [0.0, 3.0])
    assert isinstance(found, SpectraDistance)
    assert (found.kolmogorov, found.kolmogorov_at) == (0.5, 1.0)
    assert found.wasserstein == pytest.approx(1.0)
    assert found.sizes == (2, 2)
    same = distance([0.0, 1.0, 5.0], [5.0, 0.0, 1.0])
    assert same.kolmogorov == same.wasserstein == 0.0
    # of equally many points the area is that between the quantile functions
    rng = np.random.default_rng(0)
    one, other = np.sort(rng.normal(size=50)), np.sort(rng.normal(size=50))
    assert distance(one, other).wasserstein == pytest.approx(np.abs(one - other).mean())


@pytest.mark.parametrize("sizes", [(60, 60), (40, 100)])
def test_p_values_of_two_draws(sizes: tuple[int, int]) -> None:
    # 60 pairs at alpha .05, measured .01 to .06: more than 11 with probability 5e-5
    rng = np.random.default_rng(1)

    def pair(scale: float) -> Any:
        return [
            spectrum_of(wishart(n, 2 * n, s, rng)) for n, s in zip(sizes, (1, scale), strict=True)
        ]

    assert sum(distance(*pair(1.0)).p_value < 0.05 for _ in range(60)) <= 11
    # the control: 20 % more scale is told from one pair of matrices
    assert sum(distance(*pair(1.2)).p_value < 0.05 for _ in range(10)) > 5


def test_every_combination_of_kinds() -> None:
    rng = np.random.default_rng(2)
    matrix, other = goe(200, rng=rng), goe(200, rng=rng)
    exact, second = hs.spectrum(torch.tensor(matrix)), spectrum_of(other)
    truth = distance(exact, second)
    assert truth.kolmogorov_bracket.lower == truth.kolmogorov_bracket.upper == truth.kolmogorov
    for a, b in (
        (estimate_of(matrix, 0), estimate_of(other, 1)),
        (estimate_of(matrix, 0), second),
        (exact, estimate_of(other, 1)),
    ):
        found = distance(a, b)
        assert found.kolmogorov_bracket.lower <= truth.kolmogorov <= found.kolmogorov_bracket.upper
        assert found.kolmogorov_bracket.upper > found.kolmogorov_bracket.lower
        assert found.sizes == (200, 200)
        assert found.p_value > 1e-3
        assert "at 95%" in repr(found)
    rule = DiscreteMeasure(nodes=np.array([-1.0, 1.0]), weights=np.array([0.4, 0.6]))
    blind = distance(rule, exact)
    assert np.isnan(blind.p_value)
    assert np.isnan(blind.kolmogorov_bracket.upper)
    assert "not tested" in repr(blind)
    # the control: estimates of different laws are told apart
    far = distance(estimate_of(matrix, 0), estimate_of(2 * other, 1))
    assert far.p_value < 1e-4
    assert far.kolmogorov > 0.1


@pytest.mark.slow
def test_an_estimate_brings_its_size_and_its_own_error() -> None:
    # 15 estimates at alpha .05, measured .02: more than 5 with probability 5e-5
    rng, rejected, brackets = np.random.default_rng(3), 0, 0
    law = Semicircle(variance=1.0)
    for seed in range(15):
        matrix = goe(200, rng=rng)
        found, exact = (distance(x, law) for x in (estimate_of(matrix, seed), spectrum_of(matrix)))
        rejected += found.p_value < 0.05
        bracket = found.kolmogorov_bracket
        brackets += bracket.lower <= exact.kolmogorov <= bracket.upper
    assert rejected <= 5
    assert brackets >= 10  # of 15 at 95 %: fewer with probability 5e-5
    # the controls: another law is told; without the error of the probes a true one is rejected
    assert distance(estimate_of(matrix, 0), Semicircle(variance=2.0)).p_value < 1e-4
    quadrature = DiscreteMeasure(
        nodes=estimate_of(matrix, 0).nodes, weights=estimate_of(matrix, 0).weights
    )
    assert distance(quadrature, law, size=200).p_value < 1e-4
    wide, narrow = cumulants(estimate_of(matrix, 0)), cumulants(spectrum_of(matrix))
    assert (wide.free_errors > 2 * narrow.free_errors).all()
    assert (np.abs(wide.free - narrow.free) < 5 * wide.free_errors).all()
    assert "and of its probes" in wide.basis


def test_an_estimate_that_knows_all_is_a_spectrum() -> None:
    values = spectrum_of(goe(20, rng=4))
    whole = Spectrum.from_rules((), values, dim=20, resolution=1e-14, num_matvecs=0)
    law = Semicircle(variance=1.0)
    assert distance(whole, law).p_value == distance(values, law).p_value
    assert not hs.compare.outliers(whole, law).values


def test_zeros_on_an_atom() -> None:
    rng, law = np.random.default_rng(5), MarchenkoPastur(ratio=2.0)
    pair = [spectrum_of(wishart(100, 50, rng=rng)) for _ in range(2)]
    assert distance(*pair).p_value > 1e-3
    assert distance(pair[0], law).p_value > 1e-3


def test_refusals() -> None:
    with pytest.raises(InputError, match="draws"):
        distance([0.0, 1.0], [0.0, 2.0], draws=3)
    with pytest.raises(InputError, match="size"):
        distance(estimate_of(goe(30, rng=0), 0), Semicircle(variance=1.0), size=31)

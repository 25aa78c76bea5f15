"""The examples; and measurements chosen on the beam beside random and uniform ones."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import hessium as hs
from hessium._typing import FloatArray

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))
beam = pytest.importorskip("beam")

CANDIDATES = torch.linspace(0.05, 1.0, 20, dtype=torch.float64)[:, None]


def test_samples_near_the_support_leave_the_end_to_the_prior() -> None:
    post = hs.GaussNewtonPosterior(beam.make(), noise=beam.NOISE, prior_precision=beam.PRIOR)
    std = post.parameter_std()
    assert (std[:2] < 0.4).all()
    np.testing.assert_allclose(std[-3:], beam.PRIOR**-0.5, rtol=1e-6)
    assert post.distance_from_minimum < 1e-6
    free = post.with_prior(0.0)
    assert np.isinf(free.parameter_std()[-3:]).all()
    best = post.by_parameter(1, "best")  # one tensor: its entries have names
    direction = np.linalg.svd(hs.Jacobian(post.risk).dense().numpy())[2][0]
    assert best.names == tuple(f"log_rigidity[{i}]" for i in range(9))
    np.testing.assert_allclose(best.shares[:, 0], direction**2, atol=1e-9)
    spread = post.prediction_std(CANDIDATES)[:, 0]
    assert spread[-1] == spread.max()
    # the chosen place is beyond the samples
    assert CANDIDATES[post.next_measurements(CANDIDATES, 1)[0], 0] > 0.5


def fits_after(chosen: list[int], draws: int) -> list[tuple[Tensor, Tensor]]:
    """True and fitted log rigidity after measuring there, for draws of the truth."""
    x, _ = beam.data()
    post = hs.GaussNewtonPosterior(beam.make(), noise=beam.NOISE, prior_precision=beam.PRIOR)
    places = torch.cat([x, CANDIDATES[chosen]])
    found = []
    for number, theta in enumerate(post.sample(draws, rng=3)):
        truth = beam.Beam()
        with torch.no_grad():
            truth.log_rigidity.copy_(theta)
            clean = truth(places)
        noise = np.random.default_rng(number).standard_normal(clean.shape)
        y = clean + beam.NOISE * torch.from_numpy(noise)
        fit = beam.fitted(beam.Beam(), places, y)
        found.append((theta, fit.log_rigidity.detach()))
    return found


def deflection_errors(fits: list[tuple[Tensor, Tensor]]) -> FloatArray:
    """Root mean square error of all deflections for each truth: what A-optimality lowers."""
    found = []
    for pair in fits:
        curves = []
        for theta in pair:
            one = beam.Beam()
            with torch.no_grad():
                one.log_rigidity.copy_(theta)
                curves.append(one(CANDIDATES))
        found.append(float((curves[0] - curves[1]).square().mean().sqrt()))
    return np.array(found)


def log_volume(fits: list[tuple[Tensor, Tensor]]) -> float:
    """Half the log-determinant of the second moments of errors: what D-optimality lowers."""
    errors = torch.stack([true - fitted for true, fitted in fits])
    return 0.5 * float(torch.linalg.slogdet(errors.mT @ errors / len(errors)).logabsdet)


OTHERS = [
    [6, 13],
    *([*np.random.default_rng(seed).choice(20, 2, replace=False)] for seed in range(3)),
]


@pytest.mark.slow
def test_chosen_measurements_are_better_than_random_and_uniform_ones() -> None:
    post = hs.GaussNewtonPosterior(beam.make(), noise=beam.NOISE, prior_precision=beam.PRIOR)
    best = post.next_measurements(CANDIDATES, 2, criterion="A").tolist()
    draws = 100
    chosen, uniform, *several = (
        deflection_errors(fits_after([int(i) for i in places], draws)) for places in (best, *OTHERS)
    )
    for other in (uniform, np.mean(several, axis=0)):
        # paired over the same truths: better by more than two standard errors
        gain = other - chosen
        assert gain.mean() > 2 * gain.std() / draws**0.5


@pytest.mark.slow
def test_a_choice_for_the_volume_of_the_errors_lowers_it_more_than_others() -> None:
    post = hs.GaussNewtonPosterior(beam.make(), noise=beam.NOISE, prior_precision=beam.PRIOR)
    best = post.next_measurements(CANDIDATES, 2, criterion="D").tolist()
    chosen, uniform, *several = (
        log_volume(fits_after([int(i) for i in places], 100)) for places in (best, *OTHERS)
    )
    assert chosen < uniform
    assert chosen < np.mean(several)
    # the volumes that the posterior predicts have the same order
    C = post.prediction_covariance(CANDIDATES) / beam.NOISE**2

    def gain(places: list[int]) -> float:
        return 0.5 * float(np.linalg.slogdet(np.eye(2) + C[np.ix_(places, places)])[1])

    assert gain(best) > max(gain([int(i) for i in places]) for places in OTHERS)

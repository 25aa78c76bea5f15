"""The examples; and measurements chosen on the beam beside random and uniform ones."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import hessium as hs

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
    spread = post.prediction_std(CANDIDATES)[:, 0]
    assert spread[-1] == spread.max()
    # the chosen place is beyond the samples
    assert CANDIDATES[post.next_measurements(CANDIDATES, 1)[0], 0] > 0.5


def errors_after(chosen: list[int], draws: int) -> list[float]:
    """Root mean square error of all deflections after measuring there, for draws of the truth."""
    x, _ = beam.data()
    risk = beam.make()
    post = hs.GaussNewtonPosterior(risk, noise=beam.NOISE, prior_precision=beam.PRIOR)
    places = torch.cat([x, CANDIDATES[chosen]])
    found = []
    for number, theta in enumerate(post.sample(draws, rng=3)):
        truth = beam.Beam()
        with torch.no_grad():
            truth.log_rigidity.copy_(theta)
            clean, everywhere = truth(places), truth(CANDIDATES)
        noise = np.random.default_rng(number).standard_normal(clean.shape)
        y = clean + beam.NOISE * torch.from_numpy(noise)
        fit = beam.fitted(beam.Beam(), places, y)
        with torch.no_grad():
            found.append(float((fit(CANDIDATES) - everywhere).square().mean().sqrt()))
    return found


@pytest.mark.slow
def test_chosen_measurements_are_better_than_random_and_uniform_ones() -> None:
    post = hs.GaussNewtonPosterior(beam.make(), noise=beam.NOISE, prior_precision=beam.PRIOR)
    best = post.next_measurements(CANDIDATES, 2, criterion="A").tolist()
    rng = np.random.default_rng(0)
    draws = 100
    chosen = np.array(errors_after(best, draws))
    uniform = np.array(errors_after([6, 13], draws))
    random = np.mean(
        [errors_after(rng.choice(20, 2, replace=False).tolist(), draws) for _ in range(3)], axis=0
    )
    for other in (uniform, random):
        # paired over the same truths: better by more than two standard errors
        gain = other - chosen
        assert gain.mean() > 2 * gain.std() / draws**0.5

"""Measured rounding errors beside errors of known size that a surface adds to its derivatives."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch
from torch import Tensor

from hessium.landscape.noise_floor import (
    PROBES,
    LocalModel,
    hessian_rounding,
    local_model,
    stopping_at,
)
from support.risk_cases import draw
from support.separable_surface import CUBIC, Separable

SIGMA = 1e-11


class Noisy(Separable):
    """Derivatives with an error that is a function of all bits of the parameters."""

    def _source(self, theta: Tensor) -> np.random.Generator:
        digest = hashlib.sha256(theta.numpy().tobytes()).digest()
        return np.random.default_rng(list(digest[:16]))

    def _gradient(self, theta: Tensor) -> Tensor:
        error = SIGMA * self._source(theta).standard_normal(2)
        return super()._gradient(theta) + torch.from_numpy(error)

    def _hessian(self, theta: Tensor) -> Tensor:
        error = SIGMA * self._source(theta).standard_normal((2, 2))
        return super()._hessian(theta) + torch.from_numpy(error + error.T)


@pytest.mark.parametrize("seed", range(5))
def test_floors_cover_the_error_and_little_more(seed: int) -> None:
    """At least 6 standard deviations, which no error reaches, and at most 200."""
    surface, draws = Noisy(CUBIC), draw(PROBES, 2, seed=seed)
    theta = torch.tensor([1.3, 1.0], dtype=torch.float64)
    lengths = torch.ones(2, dtype=torch.float64)
    relative = hessian_rounding(surface, theta, lengths, draws[0])
    local = local_model(surface, theta, lengths, relative, draws)
    assert float(local.floors.min()) > 6 * SIGMA
    assert float(local.floors.max()) < 200 * SIGMA
    exact = torch.tensor([2.6, 3.0], dtype=torch.float64)
    off = float((local.values - exact).abs().max())
    assert off <= local.cut <= 200 * SIGMA


def test_a_quadratic_function_has_little_rounding() -> None:
    """A few units in the last local of |H| |theta|, although probes are at some distance."""
    surface, draws = Separable(CUBIC, curvature=1e6), draw(PROBES, 2)
    theta = torch.tensor([1.0, 1.0], dtype=torch.float64)
    local = local_model(surface, theta, theta, 0.0, draws)
    assert float(local.floors.max()) < 1e3 * 1e6 * np.finfo(float).eps


def test_a_search_stops_at_rounding() -> None:
    theta = torch.tensor([1.3, 1.0], dtype=torch.float64)
    found = stopping_at(Noisy(CUBIC), theta, 10, draw(PROBES, 2)).gradient
    assert SIGMA < found < 50 * SIGMA


def test_a_search_without_rounding_stops_at_a_fraction_of_its_first_gradient() -> None:
    theta = torch.tensor([1.5, 1.0], dtype=torch.float64)
    found = stopping_at(Separable(CUBIC), theta, 10, draw(PROBES, 2)).gradient
    assert found == pytest.approx(1.25e-13, abs=0)


@pytest.mark.parametrize(("share", "moves"), [(0.2, False), (0.3, True)])
def test_a_newton_step_leaves_out_rounding(share: float, moves: bool) -> None:
    """Of a soft mode: rounding over a small eigenvalue would be a long step, along a symmetry."""
    local = LocalModel(
        theta=torch.zeros(2).double(),
        gradient=torch.tensor([share * 1e-10, 1.0], dtype=torch.float64),
        values=torch.tensor([1e-10, 2.0], dtype=torch.float64),
        vectors=torch.eye(2).double(),
        floors=torch.full((2,), 1e-10).double(),
        cut=1e-12,
    )
    step = local.newton_step()
    assert float(step[0]) == pytest.approx(-share if moves else 0.0)
    assert float(step[1]) == -0.5

"""The example targets: what `hessium spectrum FILE.py:FUNCTION` gets, and twice the same."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch

import hessium as hs
from hessium.cli.target import Target
from hessium.errors import RouteWarning

EXAMPLES = Path(__file__).parent.parent / "examples"
LARGE = ("digits_cnn.py", "small_gpt.py", "physics_informed.py")
DENSE = ("digits.py", *LARGE, "poisson_terms.py")


def risk_of(file: str, function: str) -> hs.EmpiricalRisk:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RouteWarning)
        return Target.parse(f"{EXAMPLES / file}:{function}").risk()


@pytest.mark.parametrize("file", DENSE)
def test_small_enough_for_all_eigenvalues_and_the_same_every_time(file: str) -> None:
    state = torch.get_rng_state()
    risk, again = risk_of(file, "make"), risk_of(file, "make")
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(risk.theta, again.theta)
    assert 300 <= risk.dim <= 3000
    # trained: the loss is well below that of a network which has seen nothing
    start = risk.at(0.01 * risk.theta)
    assert risk.value() < 0.7 * start.value()


@pytest.mark.slow
@pytest.mark.parametrize("file", LARGE)
def test_too_large_for_a_matrix(file: str) -> None:
    risk = risk_of(file, "large")
    assert risk.dim >= 100_000
    pairs = hs.eigenpairs(hs.GaussNewton(risk), 2, which="LA")
    assert pairs.converged.all()
    assert pairs.values[0] > 0

"""The example targets: what `hessium spectrum hessium.examples.NAME:make` gets, twice the same."""

from __future__ import annotations

import pkgutil
import warnings

import pytest
import torch

import hessium as hs
from hessium.cli.target import Target
from hessium.errors import RouteWarning
from hessium.examples import __path__ as folder
from hessium.examples.catalogue import EXAMPLES

LARGE = ("digits_cnn", "small_gpt", "physics_informed")
DENSE = ("digits", *LARGE, "poisson_terms")


def risk_of(name: str, function: str) -> hs.EmpiricalRisk:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RouteWarning)
        return Target.parse(f"hessium.examples.{name}:{function}").risk()


@pytest.mark.sampled
@pytest.mark.parametrize("name", DENSE)
def test_small_enough_for_all_eigenvalues_and_the_same_every_time(name: str) -> None:
    state = torch.get_rng_state()
    risk, again = risk_of(name, "make"), risk_of(name, "make")
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(risk.theta, again.theta)
    assert 300 <= risk.dim <= 3000
    # trained: the loss is well below that of a network which has seen nothing
    start = risk.at(0.01 * risk.theta)
    assert risk.value() < 0.7 * start.value()


@pytest.mark.slow
@pytest.mark.parametrize("name", LARGE)
def test_too_large_for_a_matrix(name: str) -> None:
    risk = risk_of(name, "large")
    assert risk.dim >= 100_000
    pairs = hs.eigenpairs(hs.GaussNewton(risk), 2, which="LA")
    assert pairs.converged.all()
    assert pairs.values[0] > 0


def test_the_catalogue_names_every_example() -> None:
    modules = {module.name for module in pkgutil.iter_modules(folder)}
    assert set(EXAMPLES) == modules - {"catalogue"}
    for name, one in EXAMPLES.items():
        assert f"hessium.examples.{name}:" in one.command


def test_arguments_change_the_example() -> None:
    settings = {"width": 4, "steps": 3, "images": 30}
    risk = Target.parse("hessium.examples.digits:make", settings).risk()
    assert risk.dim == 64 * 4 + 4 + 4 * 10 + 10
    assert risk.num_samples == 30

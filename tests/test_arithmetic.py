"""What a caller has switched on around the call changes no number."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import hessium as hs
from hessium._arithmetic import full_precision
from hessium.errors import InputError
from support.risk_cases import classes, draw, mlp, seeded

AROUND: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "inference mode": torch.inference_mode,
    "no grad": torch.no_grad,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
}


def risk() -> hs.EmpiricalRisk:
    model = seeded(mlp(6, 8, 4)).float()
    return hs.EmpiricalRisk(
        model, nn.CrossEntropyLoss(), (draw(20, 6).float(), classes(20, high=4))
    )


QUESTIONS: dict[str, Callable[[hs.EmpiricalRisk, Tensor], Any]] = {
    "product": lambda r, v: hs.Hessian(r) @ v,
    "streaming": lambda r, v: hs.Hessian(r, route="streaming") @ v,
    "dense": lambda r, v: hs.GaussNewton(r).dense(),
    "gram": lambda r, v: hs.Gram(r).dense(),
    "gradient": lambda r, v: r.gradient(),
    "linear model": lambda r, v: hs.Linearization(r).outputs(r.theta + v)[0],
    "eigenpairs": lambda r, v: torch.tensor(hs.eigenpairs(hs.Hessian(r), 3).values),
    "measure": lambda r, v: torch.tensor(hs.spectral_measure(hs.Hessian(r), 2, 9).nodes),
    "trace": lambda r, v: torch.tensor(hs.trace(hs.Hessian(r), 20, method="xtrace").value),
    "determinant": lambda r, v: torch.tensor(
        hs.log_determinant(hs.GaussNewton(r), shift=0.1, probes=3, steps=9).value
    ),
    "inertia": lambda r, v: torch.tensor(int(hs.inertia(hs.Hessian(r)).negative)),
}


@pytest.mark.sampled
@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize("question", QUESTIONS)
def test_the_world_around_changes_nothing(question: str, around: str) -> None:
    ask, problem = QUESTIONS[question], risk()
    vector = draw(problem.dim, seed=3).float()
    expected = ask(problem, vector)
    with AROUND[around]():
        found = ask(problem, vector.clone())
        again = ask(risk_around(problem), vector)
    # routes are the same, so the bits are
    assert torch.equal(found, expected)
    assert torch.equal(again, expected)
    assert bool(expected.abs().sum() > 0)


def risk_around(made: hs.EmpiricalRisk) -> hs.EmpiricalRisk:
    """The same one, with data made where the call stands."""
    inputs, targets = next(iter(made.batches()))
    return hs.EmpiricalRisk(made.model, nn.CrossEntropyLoss(), (inputs.clone(), targets.clone()))


def test_a_model_made_in_inference_mode_is_named() -> None:
    with torch.inference_mode():
        model = mlp(6, 8, 4)
    with pytest.raises(InputError, match="inference_mode"):
        hs.EmpiricalRisk(model, nn.CrossEntropyLoss(), (draw(20, 6).float(), classes(20, high=4)))


def test_float32_products_have_all_their_digits_inside() -> None:
    backends: Any = torch.backends
    before = backends.cudnn.conv.fp32_precision
    torch.set_float32_matmul_precision("medium")
    try:
        with full_precision():
            assert backends.cuda.matmul.fp32_precision == "ieee"
            assert backends.cudnn.conv.fp32_precision == "ieee"
            assert backends.mkldnn.matmul.fp32_precision == "ieee"
        assert torch.get_float32_matmul_precision() == "medium"
        assert backends.cudnn.conv.fp32_precision == before
    finally:
        torch.set_float32_matmul_precision("highest")


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # of torch itself
def test_compiled_models_run_as_they_were_written() -> None:
    plain = risk()
    model: Any = torch.compile(plain.model)
    data = next(iter(plain.batches()))
    compiled = hs.EmpiricalRisk(model, nn.CrossEntropyLoss(), data)
    vector = draw(plain.dim, seed=3).float()
    assert torch.equal(hs.Hessian(compiled) @ vector, hs.Hessian(plain) @ vector)

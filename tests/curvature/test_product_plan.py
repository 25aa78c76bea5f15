"""All routes give one product; what a route cannot do it says."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import hessium as hs
from hessium.curvature.base import RiskOperator
from hessium.curvature.product_plan import Graphs, fastest
from hessium.errors import InputError, SelfCheckError
from support.risk_cases import Case, build

KINDS = [hs.Hessian, hs.GaussNewton]


@pytest.mark.sampled
@pytest.mark.parametrize("kind", KINDS)
def test_recorded_products_are_those_of_the_graphs(
    kind: type[RiskOperator], every_third_case: Case
) -> None:
    risk = build(every_third_case)
    walked, recorded = kind(risk, route="retained"), kind(risk, route="traced")
    assert "recorded" in recorded.route
    vectors = torch.randn(risk.dim, 3, dtype=risk.dtype, generator=torch.Generator().manual_seed(0))
    for vector in vectors.unbind(1):
        assert torch.equal(walked @ vector, recorded @ vector)
        assert torch.equal(walked @ vector, recorded @ vector)  # nothing stored has changed
    assert torch.allclose(walked @ vectors, recorded @ vectors, rtol=1e-10, atol=1e-12)


def problem(*layers: nn.Module, batches: int = 3) -> hs.EmpiricalRisk:
    torch.manual_seed(0)
    model = nn.Sequential(*layers).double()
    data = [(torch.randn(8, 6).double(), torch.randn(8, 2).double()) for _ in range(batches)]
    return hs.EmpiricalRisk(model, nn.MSELoss(), data)


def smooth() -> hs.EmpiricalRisk:
    return problem(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 2))


def test_a_budget_keeps_as_many_batches_as_fit() -> None:
    risk = smooth()
    whole = hs.Hessian(risk)
    vector = torch.ones(risk.dim, dtype=risk.dtype)
    expected = whole @ vector
    assert "3 batches cached" in whole.route
    one = whole._products.graphs.nbytes // 3
    part = hs.Hessian(risk, graph_bytes=2 * one + one // 2)
    assert torch.allclose(part @ vector, expected, rtol=1e-14)
    assert part.route.startswith("graphs of 2 batches cached")
    assert "others rebuilt" in part.route
    assert part._products.graphs.nbytes <= 2 * one + one // 2


@pytest.mark.slow
@pytest.mark.parametrize("kind", [hs.Hessian, hs.GaussNewton])
def test_compiled_products(kind: type[RiskOperator]) -> None:
    risk = smooth()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's compiler
        compiled = kind(risk, route="compiled")
    vector = torch.ones(risk.dim, dtype=risk.dtype)
    assert "compiled" in compiled.route
    assert torch.allclose(compiled @ vector, kind(risk) @ vector, rtol=1e-12)


def test_finite_differences_of_a_smooth_network() -> None:
    risk = smooth()
    operator = hs.Hessian(risk, route="finite-difference")
    exact = hs.Hessian(risk).dense()
    error = torch.linalg.matrix_norm(operator.dense() - exact, 2)
    assert error < 1e-8 * torch.linalg.matrix_norm(exact, 2)
    assert "relative error about" in operator.route


def test_finite_differences_refuse_jumping_gradients() -> None:
    risk = problem(nn.Linear(6, 400), nn.ReLU(), nn.Linear(400, 2), batches=1)
    single = hs.EmpiricalRisk(
        risk.model.float(), nn.MSELoss(), (torch.randn(64, 6), torch.randn(64, 2))
    )
    with pytest.raises(SelfCheckError, match="finite differences"):
        hs.Hessian(single, route="finite-difference")


def test_unknown_and_impossible_routes() -> None:
    with pytest.raises((InputError, TypeError), match="route"):
        hs.Hessian(smooth(), route="fast")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="finite differences give the Hessian"):
        hs.GaussNewton(smooth(), route="finite-difference")


def run(choose: Callable[[bool, bool], float], block: int) -> tuple[bool, bool]:
    """What `fastest` takes if a product takes so long: (recorded, at once)."""
    risk = smooth()
    operator = hs.Hessian(risk)
    graphs: Graphs = operator._products.graphs

    def multiply(vectors: Tensor, batched: bool) -> Tensor:
        clock["now"] += choose(graphs.recorded, batched) * vectors.shape[1]
        return operator._products.apply(vectors, graphs.over(operator._make), batched=batched)

    clock = {"now": 0.0}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hessium.curvature.product_plan.time.process_time", lambda: clock["now"])
        patch.setattr("hessium.curvature.product_plan.time.perf_counter", lambda: clock["now"])
        vectors = torch.randn(risk.dim, block, dtype=risk.dtype)
        agree = lambda a, b: torch.allclose(a, b, rtol=1e-10, atol=1e-12)  # noqa: E731
        batched = fastest(graphs, multiply, vectors, 1000, agree, batched=False)
    return graphs.recorded, batched


@pytest.mark.parametrize("recorded", [False, True])
@pytest.mark.parametrize("batched", [False, True])
def test_the_fastest_route_is_taken(recorded: bool, batched: bool) -> None:
    found = run(lambda r, b: 0.5 if (r, b) == (recorded, batched) else 1.0, 8)
    assert found == (recorded, batched)


def test_blocks_must_win_by_more_than_other_routes() -> None:
    """Several bases beside the graph cost what a few products in turn do not show."""
    assert run(lambda _, b: 0.85 if b else 1.0, 8) == (False, False)
    assert run(lambda _, b: 0.75 if b else 1.0, 8) == (False, True)
    assert run(lambda r, _: 0.9 if r else 1.0, 8) == (True, False)


def test_single_vectors_choose_no_blocks_and_short_work_records_nothing() -> None:
    assert run(lambda r, _: 0.5 if r else 1.0, 1) == (True, False)
    assert run(lambda r, _: 1e-4 if r else 2e-4, 1) == (False, False)


def test_a_choice_is_taken_up_again() -> None:
    risk = smooth()
    first: Any = hs.Hessian(risk)
    first._products.graphs.trace()
    first._products.batched = False
    second = hs.Hessian(risk).prepare(1, choice=first.choice)
    assert second.choice == first.choice
    assert "recorded" in second.route


def test_no_cycle_keeps_graphs_alive() -> None:
    import gc
    import weakref

    gc.collect()
    gc.disable()
    try:
        operator = hs.Hessian(smooth())
        operator @ torch.ones(operator.shape[0], dtype=operator.dtype)
        graph = weakref.ref(operator._products.graphs.kept[0])
        del operator
        assert graph() is None
    finally:
        gc.enable()

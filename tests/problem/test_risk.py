"""The risk itself: purity, normalisation, randomness, restriction."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import hessium as hs
from hessium.errors import InputError, RouteWarning
from support.risk_cases import Case, classes, draw, mlp, quiet, seeded, split


def snapshot(model: nn.Module) -> list[object]:
    tensors = [*model.parameters(), *model.buffers()]
    return [
        [t.clone() for t in tensors],
        [t.grad for t in tensors],
        [m.training for m in model.modules()],
        [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()],
    ]


def same(one: list[object], other: list[object]) -> bool:
    tensors = all(torch.equal(a, b) for a, b in zip(one[0], other[0], strict=True))  # type: ignore[call-overload]
    return tensors and one[1:] == other[1:]


@pytest.mark.sampled
def test_nothing_about_the_model_changes(case: Case) -> None:
    problem = case.make()
    before = snapshot(problem.model)
    risk = quiet(problem)
    operators: list[hs.Hessian | hs.GaussNewton] = [hs.Hessian(risk)]
    if risk.has_outputs:
        operators.append(hs.GaussNewton(risk))
    for operator in operators:
        operator.dense()
    risk.gradient()
    assert same(before, snapshot(problem.model))


def test_fused_attention_is_replaced_and_said() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.q = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            q = self.q(x)[:, None]
            return nn.functional.scaled_dot_product_attention(q, q, q)[:, 0]

    model = seeded(Model())
    with pytest.warns(RouteWarning, match="scaled_dot_product_attention runs on its MATH kernel"):
        risk = hs.EmpiricalRisk(model, nn.MSELoss(), (draw(3, 5, 4), draw(3, 5, 4, seed=2)))
    assert float(hs.Hessian(risk).dense().norm()) > 0


@pytest.mark.parametrize("sizes", [(12,), (10, 2), (1, 4, 7), (6, 6)])
@pytest.mark.parametrize("loss", ["weights", "ignored", "mse", "smooth-sum", "ours-mean"])
def test_any_split_into_batches_gives_the_same_risk(sizes: tuple[int, ...], loss: str) -> None:
    x, c, y = draw(12, 4), classes(12, high=3), draw(12, 3, seed=5)
    made: dict[str, tuple[object, Tensor]] = {
        "weights": (nn.CrossEntropyLoss(weight=torch.tensor([0.1, 1.0, 5.0]).double()), c),
        "ignored": (nn.CrossEntropyLoss(ignore_index=2), c),
        "mse": (nn.MSELoss(), y),
        "smooth-sum": (nn.SmoothL1Loss(reduction="sum"), y),
        "ours-mean": (hs.SquaredError(0.5, reduction="mean"), y),
    }
    criterion, targets = made[loss]
    model = mlp(4, 5, 3)
    risk = hs.EmpiricalRisk(model, criterion, split(x, targets, *sizes))
    expected = criterion(model(x), targets).item()  # type: ignore[operator]
    assert risk.value() == pytest.approx(expected, rel=1e-14)
    assert risk.num_samples == 12
    assert risk.num_outputs == 36


def test_a_shuffling_loader_is_deterministic_and_leaves_the_global_state() -> None:
    data = TensorDataset(draw(11, 3), draw(11, 2, seed=3))
    loader = DataLoader(data, batch_size=4, shuffle=True)
    model = mlp(3, 4, 2)
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002 - the global state is what is under test
    # Python's own generator is not looked at: the type checker of the tests draws from it
    states = (torch.get_rng_state(), np.random.get_state(legacy=False)["state"]["key"].copy())  # noqa: NPY002
    risk = hs.EmpiricalRisk(model, nn.MSELoss(), loader)
    product = hs.Hessian(risk, graph_bytes=0) @ torch.ones(risk.dim, dtype=torch.float64)
    whole = hs.EmpiricalRisk(model, nn.MSELoss(), data.tensors)
    expected = hs.Hessian(whole) @ torch.ones(risk.dim, dtype=torch.float64)
    torch.testing.assert_close(product, expected, rtol=1e-12, atol=1e-12)
    assert torch.equal(states[0], torch.get_rng_state())
    assert (states[1] == np.random.get_state(legacy=False)["state"]["key"]).all()  # noqa: NPY002


def test_a_loader_that_drops_batches_at_random_is_refused() -> None:
    data = TensorDataset(draw(11, 3), draw(11, 2, seed=3))
    loader = DataLoader(data, batch_size=4, shuffle=True, drop_last=True)
    with pytest.raises(ValueError, match="two passes gave losses"):
        hs.EmpiricalRisk(mlp(3, 4, 2), nn.MSELoss(), loader)


def test_training_the_model_later_does_not_move_the_risk() -> None:
    model = mlp(3, 4, 2)
    risk = hs.EmpiricalRisk(model, nn.MSELoss(), (draw(5, 3), draw(5, 2)))
    before = risk.value()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    assert risk.value() == before


def test_at_moves_the_risk_and_leaves_the_first_one() -> None:
    model = mlp(3, 4, 2)
    x, y = draw(5, 3), draw(5, 2)
    risk = hs.EmpiricalRisk(model, nn.MSELoss(), (x, y))
    theta = risk.theta * 1.5
    there = risk.at(theta)
    theta.zero_()  # the risk has its own copy
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.5)
    assert there.value() == pytest.approx(nn.MSELoss()(model(x), y).item(), rel=1e-14)
    assert risk.value() != there.value()


def test_restriction_is_a_block_of_the_whole() -> None:
    risk = hs.EmpiricalRisk(mlp(3, 4, 5, 2), nn.MSELoss(), (draw(5, 3), draw(5, 2)))
    whole = hs.Hessian(risk).dense()
    for names, kept in [
        (["2.weight"], ["2.weight"]),
        (["*.bias"], ["0.bias", "2.bias", "4.bias"]),
        (["0", "4.bias"], ["0.weight", "0.bias", "4.bias"]),
    ]:
        part = risk.restrict(names)
        assert list(part.names) == kept
        index = torch.cat([torch.arange(risk.dim)[risk.layout.slice(n)] for n in kept])
        torch.testing.assert_close(
            hs.Hessian(part).dense(), whole[index][:, index], rtol=1e-12, atol=1e-12
        )
        again = part.restrict([kept[0]])
        assert again.names == (kept[0],)
        assert again.value() == pytest.approx(risk.value(), rel=1e-14)
    wrong: list[Any] = ["0", [], 1.5, None, torch.zeros(0)]
    for names in wrong:
        with pytest.raises(InputError, match=r"names: .* is required"):
            risk.restrict(names)


def test_unused_parameters_are_named_and_have_zero_rows() -> None:
    class Spare(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used = nn.Linear(3, 2)
            self.spare = nn.Linear(2, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.used(x)

    risk = hs.EmpiricalRisk(seeded(Spare()), nn.MSELoss(), (draw(5, 3), draw(5, 2)))
    assert risk.unused() == ("spare.weight", "spare.bias")
    spare = risk.layout.slice("spare.weight").start
    matrix = hs.Hessian(risk).dense()
    assert not matrix[spare:].any()
    assert not matrix[:, spare:].any()
    assert matrix[:spare, :spare].any()


def test_repr_says_what_is_measured() -> None:
    risk = hs.EmpiricalRisk(mlp(3, 4, 2), nn.MSELoss(), (draw(5, 3), draw(5, 2)))
    assert repr(risk) == (
        "EmpiricalRisk(Sequential, MSELoss(reduction='mean'): 26 parameters, 5 samples, "
        "10 outputs, torch.float64)"
    )


def test_repr_of_a_closure_counts_what_was_said_only() -> None:
    model = mlp(3, 4, 2)

    def closure(module: nn.Module) -> Tensor:
        return module(draw(5, 3)).square().sum()

    risk = hs.EmpiricalRisk.from_closure(model, closure)
    assert repr(risk) == "EmpiricalRisk(Sequential, closure: 26 parameters, torch.float64)"
    assert repr(hs.Hessian(risk)) == "Hessian(26 x 26, torch.float64)"
    told = hs.EmpiricalRisk.from_closure(model, closure, num_samples=5)
    assert (risk.num_samples, told.num_samples) == (1, 5)
    assert ", 5 samples, torch.float64" in repr(told)


def test_a_parameter_without_entries_beside_others() -> None:
    model = mlp(3, 4, 2)
    model.nothing = nn.Parameter(torch.zeros(0, 3, dtype=torch.float64))
    x, y = draw(5, 3), draw(5, 2)
    plain = hs.Hessian(hs.EmpiricalRisk(mlp(3, 4, 2), nn.MSELoss(), (x, y)))
    padded = hs.Hessian(hs.EmpiricalRisk(model, nn.MSELoss(), (x, y)))
    assert padded.shape == plain.shape
    torch.testing.assert_close(padded.dense(), plain.dense(), rtol=1e-12, atol=1e-14)
    block = draw(plain.shape[0], 3)
    torch.testing.assert_close(padded @ block, plain @ block, rtol=1e-12, atol=1e-14)


def test_another_default_device() -> None:
    risk = hs.EmpiricalRisk(mlp(3, 4, 2), nn.MSELoss(), (draw(5, 3), draw(5, 2)))
    operators = [hs.Hessian(risk), hs.GaussNewton(risk), hs.Gram(risk)]
    expected = [operator.dense() for operator in operators]
    trace = hs.trace(operators[0], 20, rng=0).value
    torch.set_default_device("meta")
    try:
        found = [operator.dense() for operator in operators]
        again = hs.trace(operators[0], 20, rng=0).value
        hs.eigenpairs(operators[0], 2, rng=0)
        hs.Hessian(risk)
    finally:
        torch.set_default_device("cpu")
    assert again == trace
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one, other)

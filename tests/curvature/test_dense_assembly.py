"""Layer-wise assembly is taken where it holds, and only there."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import hessium as hs
from hessium.curvature.dense_assembly import _outer_sum, dense_second_order
from hessium.linalg.operator import SymmetricOperator
from support.child_memory import needs_status, numbers_of
from support.risk_cases import Case, build, draw, mlp, seeded

# parameters act in other ways than in layers, or samples see each other
COLUMNS_ONLY = {
    "physics-residual", "samples-coupled",
}  # fmt: skip
# second derivatives are assembled for linear layers on one vector a sample only
SECOND_ORDER_COLUMNS = COLUMNS_ONLY | {
    "tied-embedding-ignored-tokens", "layer-norm", "attention", "conv-batchnorm-eval-maxpool",
    "pixelwise-bce", "tied-autoencoder", "lstm-1d-outputs", "transformer-encoder-layer",
}  # fmt: skip


@pytest.mark.sampled
def test_which_networks_are_assembled_layer_by_layer(
    output_case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    risk = build(output_case)
    operators: list[SymmetricOperator] = [hs.Hessian(risk), hs.ResidualHessian(risk)]
    if output_case.convex:
        operators.append(hs.GaussNewton(risk))
    calls: list[SymmetricOperator] = []
    general = SymmetricOperator.dense

    def counted(self: SymmetricOperator, *, max_bytes: int = 2**33) -> Tensor:
        calls.append(self)
        return general(self, max_bytes=max_bytes)

    monkeypatch.setattr(SymmetricOperator, "dense", counted)
    for operator in operators:
        operator.dense()
    expected = operators[:2] if output_case.name in SECOND_ORDER_COLUMNS else []
    expected += operators[2:] if output_case.name in COLUMNS_ONLY else []
    assert calls == expected


def test_coupled_samples_are_found_out_even_without_the_self_check() -> None:
    class Coupled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(3, 4), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            hidden = torch.tanh(self.first(x))
            return self.second(hidden - hidden.mean(dim=0))

    risk = hs.EmpiricalRisk(seeded(Coupled()), nn.MSELoss(), (draw(6, 3), draw(6, 2)))
    operator = hs.Hessian(risk, check=False)
    unit = torch.eye(risk.dim, dtype=torch.float64)
    torch.testing.assert_close(operator.dense(), operator @ unit, rtol=1e-12, atol=1e-12)
    assert risk.refuted == {"layer-wise"}
    there = risk.at(risk.theta * 2)
    assert there.refuted is risk.refuted
    assert risk.restrict(["first"]).refuted == set()


def test_a_first_look_where_nothing_can_fail_proves_nothing() -> None:
    class Tied(nn.Module):
        """The second use of the weight is silent near zero, and hidden in a view."""

        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(3, 4), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            hidden = torch.relu(self.first(x))
            centred = hidden - hidden.mean(dim=0)
            return self.second(hidden + torch.relu(centred - 1))

    model = seeded(Tied())
    risk = hs.EmpiricalRisk(model, nn.MSELoss(), (draw(6, 3), draw(6, 2)))
    hs.Hessian(risk.at(0.01 * risk.theta)).dense()
    far = hs.Hessian(risk.at(4 * risk.theta))
    unit = torch.eye(risk.dim, dtype=torch.float64)
    torch.testing.assert_close(far.dense(), far @ unit, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("work", [2**16, 2**20])
def test_small_work_spaces_give_the_same_matrix(work: int) -> None:
    risk = hs.EmpiricalRisk(mlp(7, 20, 9, 3), nn.MSELoss(), (draw(50, 7), draw(50, 3, seed=3)))
    whole = dense_second_order(risk, risk.loss.total)
    pieces = dense_second_order(risk, risk.loss.total, work)
    assert whole is not None
    assert pieces is not None
    torch.testing.assert_close(pieces, whole, rtol=1e-12, atol=1e-12 * float(whole.abs().max()))


def test_gradients_switched_off_around_the_call_do_not_matter() -> None:
    problem = mlp(3, 5, 2), nn.MSELoss(), (draw(6, 3), draw(6, 2, seed=3))
    expected = hs.EmpiricalRisk(*problem)
    with torch.no_grad():
        risk = hs.EmpiricalRisk(*problem)
        for kind in (hs.Hessian, hs.GaussNewton, hs.ResidualHessian, hs.EmpiricalFisher):
            operator, other = kind(risk), kind(expected)
            block = draw(risk.dim, 3)
            products, dense, found = operator @ block, operator.dense(), risk.gradient()
            with torch.enable_grad():
                torch.testing.assert_close(products, other @ block)
                torch.testing.assert_close(dense, other.dense())
                torch.testing.assert_close(found, expected.gradient())
        gram = hs.Gram(risk).dense()
        error = hs.Linearization(risk).error(risk.theta * 1.1)
    torch.testing.assert_close(gram, hs.Gram(expected).dense())
    assert error == hs.Linearization(expected).error(expected.theta * 1.1)


MANY_OUTPUTS = """
import sys, torch, hessium as hs
from torch import nn
torch.manual_seed(0)
data = torch.randn(100, 500), torch.randn(100, 500)
layers = nn.Linear(500, 2), nn.Tanh(), nn.Linear(2, 500)
operator = hs.GaussNewton(hs.EmpiricalRisk(nn.Sequential(*layers), nn.MSELoss(), data))
before = memory("VmHWM")
matrix = operator.dense(max_bytes=int(sys.argv[1]))
print(matrix.nbytes, memory("VmHWM") - before)
"""


@needs_status
@pytest.mark.slow
def test_many_outputs_stay_within_the_budget() -> None:
    """The factors of the output Hessian alone would take 95 MiB, Jacobian rows 480 MiB."""
    budget = 200 * 2**20
    matrix, used = numbers_of(MANY_OUTPUTS, budget)
    assert matrix > 20 * 2**20
    assert used <= budget


BUDGET = """
import sys, torch, hessium as hs
from torch import nn
torch.manual_seed(0)
layers = [nn.Linear(40, 60), nn.Tanh(), nn.Linear(60, 10)]
if sys.argv[1] == "columns":
    layers.insert(1, nn.LayerNorm(60))
data = torch.randn(200, 40).double(), torch.randint(0, 10, (200,))
risk = hs.EmpiricalRisk(nn.Sequential(*layers).double(), nn.CrossEntropyLoss(), data)
operator = hs.Hessian(risk)
before = memory("VmHWM")
matrix = operator.dense(max_bytes=int(sys.argv[2]))
print(matrix.nbytes, memory("VmHWM") - before)
"""


@needs_status
@pytest.mark.slow
@pytest.mark.parametrize("route", ["layers", "columns"])
def test_memory_stays_within_the_stated_budget(route: str) -> None:
    budget = 130 * 2**20  # the matrix takes 73 or 79 MiB of it
    matrix, used = numbers_of(BUDGET, route, budget)
    assert matrix > 70 * 2**20
    assert used <= budget


@pytest.mark.parametrize("loss", [nn.MSELoss(), nn.HuberLoss(), hs.SquaredError(), nn.L1Loss()])
def test_sequences_of_other_lengths_in_every_batch(loss: nn.Module) -> None:
    """Outputs per sample differ between batches, so the Gram matrix has no block size."""
    model = nn.Sequential(nn.Conv1d(3, 4, 1), nn.Tanh(), nn.Conv1d(4, 2, 1)).double()
    data = [(draw(3, 3, t, seed=t), draw(3, 2, t, seed=10 + t)) for t in (2, 5, 2)]
    risk = hs.EmpiricalRisk(model, loss, data)
    gram, outer = hs.Gram(risk).dense(), hs.GaussNewton(risk).dense()
    assert gram.shape == (54, 54)
    rank = min(gram.shape[0], outer.shape[0])
    values, wanted = (torch.linalg.eigvalsh(m)[-rank:] for m in (gram, outer))
    torch.testing.assert_close(values, wanted, rtol=1e-9, atol=1e-12)
    products = hs.GaussNewton(risk) @ torch.eye(risk.dim, dtype=torch.float64)
    torch.testing.assert_close(products, outer)


# the smallest of p q, i j p and i j q is formed first
@pytest.mark.parametrize(
    ("i", "j", "p", "q"), [(1, 1, 5, 5), (1, 2, 4, 3), (2, 3, 5, 4), (9, 8, 2, 3)]
)
def test_weighted_outer_products_are_summed_in_any_order(i: int, j: int, p: int, q: int) -> None:
    draws = torch.Generator().manual_seed(0)
    core, left, right = (
        torch.randn(40, *shape, generator=draws, dtype=torch.float64)
        for shape in ((i, j), (p,), (q,))
    )
    expected = torch.einsum("sij,sp,sq->ipjq", core, left, right)
    for work in (64, 2**20):
        assert torch.allclose(_outer_sum(core, left, right, work), expected, rtol=1e-12)


def test_rounding_beside_a_perfect_fit_does_not_refute_the_layers() -> None:
    """A loss of 2e-13: probabilities cancel, and all routes lose the same digits."""
    x = draw(30, 3)

    def made() -> tuple[hs.EmpiricalRisk, Tensor]:
        model = seeded(nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)))
        outputs = model(x).detach()
        clear = (outputs[:, 0] - outputs[:, 1]).abs() > 0.1
        risk = hs.EmpiricalRisk(model, nn.CrossEntropyLoss(), (x[clear], outputs[clear].argmax(1)))
        far = risk.theta.clone()
        far[-10:] *= 40  # weights and biases of the last layer
        return risk, far

    risk, far = made()
    assert hs.Hessian(risk, check=False).dense().norm() > 0
    operator = hs.Hessian(risk.at(far), check=False)
    assert 0 < operator.risk.value() < 1e-6
    matrix = operator.dense()
    assert risk.refuted == set()
    columns = operator @ torch.eye(risk.dim, dtype=torch.float64)
    assert 1e-8 < float((matrix - columns).norm() / columns.norm()) < 1e-4
    # without a matrix with which the layers agreed, the same difference is one
    fresh, far = made()
    hs.Hessian(fresh.at(far), check=False).dense()
    assert fresh.refuted == {"layer-wise"}

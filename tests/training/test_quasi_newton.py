"""The matrix of L-BFGS, against the optimisers' own directions and dense updates."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.optimize
import torch
from torch import Tensor, nn, optim

import hessium as hs
from hessium.errors import InputError
from support.risk_cases import draw

F64 = torch.float64


def trained(steps: int, *, reverse: bool = False) -> tuple[hs.EmpiricalRisk, optim.LBFGS]:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 1)).double()
    x, y, loss = draw(40, 3), draw(40, 1, seed=1), nn.MSELoss()
    parameters = list(model.parameters())
    optimizer = optim.LBFGS(
        parameters[::-1] if reverse else parameters, max_iter=steps, history_size=8,
        tolerance_grad=0.0, tolerance_change=0.0, line_search_fn="strong_wolfe",
    )  # fmt: skip

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss(model(x), y)
        value.backward()
        return value

    optimizer.step(closure)
    return hs.EmpiricalRisk(model, loss, (x, y)), optimizer


@pytest.mark.parametrize(("steps", "reverse"), [(5, False), (40, False), (40, True)])
def test_the_square_of_the_root_gives_the_direction_of_torch(steps: int, reverse: bool) -> None:
    risk, optimizer = trained(steps, reverse=reverse)
    op = hs.precondition(hs.linalg.as_operator(hs.Hessian(risk)), optimizer)
    root = op.factor  # type: ignore[attr-defined]
    state = optimizer.state[optimizer.param_groups[0]["params"][0]]

    def placed(flat: Tensor) -> Tensor:
        if not reverse:
            return flat
        sizes = [p.numel() for p in optimizer.param_groups[0]["params"]]
        return torch.cat(flat.split(sizes)[::-1])

    gradient, direction = placed(state["prev_flat_grad"]), placed(state["d"])
    found = -(root @ (root @ gradient))
    assert (found - direction).norm() <= 1e-8 * direction.norm()
    dense = root.dense()
    assert torch.allclose(op.dense(), dense @ hs.Hessian(risk).dense() @ dense, rtol=1e-8)
    v = draw(risk.dim, 2)
    assert torch.allclose(root @ root.solve(v), v)


def test_the_matrix_of_scipy() -> None:
    risk, _ = trained(0)

    def fun(theta: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = risk.at(torch.from_numpy(theta.copy())).value_and_gradient()
        return value, gradient.numpy()

    # 20 iterations, of which it keeps 10
    found: Any = scipy.optimize.minimize(
        fun, risk.theta.numpy(), jac=True, method="L-BFGS-B", options={"maxiter": 20}
    )
    there = risk.at(torch.from_numpy(found.x))
    op = hs.precondition(hs.Hessian(there), found.hess_inv)
    expected = np.linalg.eigvals(found.hess_inv.todense() @ hs.Hessian(there).dense().numpy())
    nodes = hs.spectrum(op).nodes
    assert np.allclose(nodes, np.sort(expected.real), atol=1e-8 * nodes[-1])


def test_a_parabola_is_learnt_and_its_preconditioned_spectrum_is_one() -> None:
    n = 6
    a = draw(n, n)
    matrix = a @ a.mT + 0.1 * torch.eye(n, dtype=F64)
    # conjugate steps: after n exact ones B is the inverse
    values, vectors = torch.linalg.eigh(matrix)
    steps = list(vectors.mT)
    root = hs.linalg.lbfgs_root(steps, [matrix @ s for s in steps], scale=3.0)
    spectrum = hs.spectrum(root @ hs.linalg.as_operator(matrix) @ root)
    assert np.allclose(spectrum.nodes, 1.0, atol=1e-10)
    # half of them: the others keep the scale times their curvature
    half = hs.linalg.lbfgs_root(steps[:3], [matrix @ s for s in steps[:3]], scale=3.0)
    spectrum = hs.spectrum(half @ hs.linalg.as_operator(matrix) @ half)
    expected = np.sort(np.append(np.ones(3), 3.0 * values[3:].numpy()))
    assert np.allclose(spectrum.nodes, expected)
    # the negative control: pairs of another matrix do not
    wrong = hs.linalg.lbfgs_root(steps, [(matrix + 0.1 * torch.diag(values)) @ s for s in steps])
    assert not np.allclose(hs.spectrum(wrong @ hs.linalg.as_operator(matrix) @ wrong).nodes, 1.0)


def test_default_scale_and_single_precision() -> None:
    s, y = draw(3, 9), draw(3, 9, seed=1)
    y = y + 4 * s
    found = hs.linalg.lbfgs_root(s.float(), y.float())
    assert found.dtype == torch.float32
    assert found.scale**2 == pytest.approx(float(s[-1] @ y[-1] / y[-1].square().sum()), rel=1e-6)
    # the secant equation of the newest pair: B y = s
    assert torch.allclose(found @ (found @ y[-1].float()), s[-1].float(), atol=1e-5)


def test_what_cannot_be_read_is_refused() -> None:
    risk, optimizer = trained(5)
    H = hs.Hessian(risk)
    fresh = optim.LBFGS(risk.model.parameters())
    with pytest.raises(InputError, match="no pair of steps"):
        hs.precondition(H, fresh)
    with pytest.raises(InputError, match="other parameters"):
        hs.precondition(hs.Hessian(risk.restrict(["0"])), optimizer)
    s = torch.ones(1, risk.dim, dtype=F64)
    with pytest.raises(InputError, match="s'y"):
        hs.linalg.lbfgs_root(s, -s)
    with pytest.raises(InputError, match="at least one pair"):
        hs.linalg.lbfgs_root([], [])
    with pytest.raises(InputError, match="shape"):
        hs.linalg.lbfgs_root(s, s[:, :3])
    with pytest.raises(InputError, match="scale"):
        hs.linalg.lbfgs_root(s, s, scale=0.0)
    short = scipy.optimize.LbfgsInvHessProduct(np.ones((1, 3)), np.ones((1, 3)))
    with pytest.raises(InputError, match="3 numbers"):
        hs.precondition(H, short)
    with pytest.raises(InputError, match="not positive"):
        hs.linalg.IdentityPlusLowRank(1.0, s.mT, torch.zeros(1, dtype=F64))
    with pytest.raises(InputError, match="one for each column"):
        hs.linalg.IdentityPlusLowRank(1.0, s.mT, torch.ones(2, dtype=F64))

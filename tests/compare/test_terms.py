"""Curvature of the terms of a loss, against dense matrices of each term."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import hessium as hs
from hessium.errors import InputError
from support.risk_cases import draw

WEIGHTS = {"data": 1.0, "slope": 0.2, "ridge": 0.05}


def slope(model: nn.Module, x: Tensor) -> Tensor:
    at = x.detach().clone().requires_grad_()
    (found,) = torch.autograd.grad(model(at).sum(), at, create_graph=True)
    return found


@functools.cache
def total() -> hs.SumRisk:
    with torch.random.fork_rng():
        torch.manual_seed(2)
        model = nn.Sequential(nn.Linear(2, 6), nn.Tanh(), nn.Linear(6, 1)).double()
    x = draw(12, 2)
    return hs.SumRisk(
        {
            "data": hs.EmpiricalRisk(model, nn.MSELoss(), (x, 3 * draw(12, 1, seed=1))),
            "slope": hs.EmpiricalRisk(
                model, hs.SquaredError(), (x[:5], draw(5, 2, seed=3)), forward=slope
            ),
            "ridge": hs.EmpiricalRisk.from_closure(
                model, lambda m: nn.utils.parameters_to_vector(m.parameters()).square().sum()
            ),
        },
        WEIGHTS,
    )


def matrices() -> list[Tensor]:
    return [w * hs.Hessian(total().terms[n], check=False).dense() for n, w in WEIGHTS.items()]


@pytest.mark.parametrize("max_dim", [1000, 0], ids=["dense", "products"])
def test_every_number_is_the_dense_one(max_dim: int) -> None:
    risk, dense = total(), matrices()
    found = hs.compare.terms(risk, 4, max_dim=max_dim, matvecs=risk.dim)
    assert found.names == ("data", "slope", "ridge")
    assert found.values.sum() == pytest.approx(risk.value())
    gradients = np.array([w * risk.terms[n].gradient().numpy() for n, w in WEIGHTS.items()])
    norms = np.linalg.norm(gradients, axis=1)
    assert np.allclose(found.gradient_norms, norms)
    assert np.allclose(found.gradient_cosines, gradients @ gradients.T / np.outer(norms, norms))
    assert np.allclose(found.traces, [float(m.trace()) for m in dense])
    values, vectors = np.linalg.eigh(sum(m.numpy() for m in dense))
    order = np.argsort(-np.abs(values))[:4]
    assert np.allclose(found.pairs.values, values[order], rtol=1e-6)
    expected = [[v @ m.numpy() @ v for m in dense] for v in vectors[:, order].T]
    assert np.allclose(found.along, expected, atol=1e-4 * abs(values).max())
    assert np.allclose(found.along.sum(axis=1), found.pairs.values, rtol=1e-9)
    assert np.allclose(found.shares.sum(axis=1), 1.0)
    assert found.pairs.by_parameter().names == risk.names
    for at, m in enumerate(dense):
        own, directions = np.linalg.eigh(m.numpy())
        assert found.spectra[at].dim == risk.dim
        assert found.spectra[at].exact == (max_dim > 0)
        assert found.along_highest[at, at] == pytest.approx(own[-1], rel=1e-6)
        if own[0] > 0:  # the ridge
            assert np.isnan(found.along_lowest[at]).all()
            continue
        assert found.along_lowest[at, at] == pytest.approx(own[0], rel=1e-6)
        row = [directions[:, 0] @ other.numpy() @ directions[:, 0] for other in dense]
        assert np.allclose(found.along_lowest[at], row, atol=1e-4 * abs(own).max())


def test_conflicts_of_two_terms_that_are_known() -> None:
    """a falls along the first axis, where b rises; b is flat along the second, where a rises."""
    model = nn.Linear(2, 1, bias=False).double()
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[1.0, 0.5]]))

    def parabola(*curvatures: float) -> hs.EmpiricalRisk:
        c = torch.tensor([curvatures], dtype=torch.float64) / 2
        return hs.EmpiricalRisk.from_closure(model, lambda m: (c * m.weight.square()).sum())

    risk = hs.SumRisk({"a": parabola(-2.0, 1.0), "b": parabola(3.0, 0.0)}, {"b": 2.0})
    found = hs.compare.terms(risk, 2)
    ((a, b, down, up),) = found.conflicts()
    assert (a, b) == ("a", "b")
    assert (down, up) == pytest.approx((-2.0, 6.0))
    assert np.allclose(found.along_lowest[0], [-2.0, 6.0])
    assert np.isnan(found.along_lowest[1]).all()
    assert np.allclose(found.along_highest, [[1.0, 0.0], [-2.0, 6.0]])
    assert np.allclose(found.traces, [-1.0, 6.0])
    assert np.allclose(found.trace_shares, [-1 / 7, 6 / 7])
    cosine = -2.0 / np.hypot(2.0, 0.5)
    ((a, b, opposed),) = found.opposed()
    assert (a, b) == ("a", "b")
    assert opposed == pytest.approx(cosine)
    assert "gradients of a and b oppose each other (cosine -0.97)" in repr(found)
    assert "where a has curvature -2, b has 6" in repr(found)
    assert [row["term"] for row in found.rows()] == ["a", "b"]
    # without the sign there is no conflict
    calm = hs.compare.terms(hs.SumRisk({"a": parabola(2.0, 1.0), "b": parabola(3.0, 0.5)}))
    assert not calm.conflicts()
    assert not calm.opposed()


def test_bad_arguments_are_named() -> None:
    with pytest.raises(InputError, match="returned by a closure"):
        hs.compare.terms(total(), matrix="gauss-newton")
    with pytest.raises(InputError, match="k: 0"):
        hs.compare.terms(total(), 0)
    with pytest.raises(InputError, match="probes"):
        hs.compare.terms(total(), probes=0)

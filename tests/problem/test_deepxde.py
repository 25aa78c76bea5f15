"""Terms of a DeepXDE model, against its own losses; skipped where DeepXDE is not installed."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
import torch

import hessium as hs
from hessium.errors import InputError
from hessium.problem.deepxde import risk_of

os.environ.setdefault("DDE_BACKEND", "pytorch")
dde: Any = pytest.importorskip("deepxde")
torch.set_default_device(None)  # where there is a GPU, DeepXDE makes it the default for all tests
if dde.backend.backend_name != "pytorch":
    pytest.skip("DeepXDE has another backend", allow_module_level=True)


def model(kappa: Any = None, **compiled: Any) -> Any:
    """-kappa u'' = pi^2 sin(pi x) on [-1, 1], zero at both ends, with one observation."""
    torch.manual_seed(0)

    def equation(x: Any, u: Any) -> Any:
        bend = dde.grad.hessian(u, x)
        return -(1.0 if kappa is None else kappa) * bend - np.pi**2 * torch.sin(np.pi * x)

    geometry = dde.geometry.Interval(-1, 1)
    ends = dde.icbc.DirichletBC(geometry, lambda x: 0 * x, lambda _, on: on)
    seen = dde.icbc.PointSetBC(np.array([[0.5]]), np.array([[1.0]]), component=0)
    data = dde.data.PDE(geometry, equation, [ends, seen], num_domain=10, num_boundary=2)
    found = dde.Model(data, dde.nn.FNN([1, 6, 6, 1], "tanh", "Glorot uniform"))
    found.compile("adam", lr=1e-3, **compiled)
    return found


def own_losses(found: Any) -> Any:
    """DeepXDE's weighted losses, as it computes them in training."""
    found.train_state.set_data_train(*found.data.train_next_batch(None))
    state = found.train_state
    _, losses = found.outputs_losses_train(state.X_train, state.y_train, state.train_aux_vars)
    return losses.detach().double().numpy()


def test_terms_are_the_losses_of_deepxde() -> None:
    found = model(loss_weights=[1.0, 20.0, 3.0])
    theirs = own_losses(found)
    risk = risk_of(found)
    assert list(risk.terms) == ["residual 0", "DirichletBC 1", "PointSetBC 2"]
    mine = [w * risk.terms[name].value() for name, w in risk.weights.items()]
    assert np.allclose(mine, theirs, rtol=1e-5)
    # the gradient that DeepXDE's optimiser takes
    state = found.train_state
    _, losses = found.outputs_losses_train(state.X_train, state.y_train, state.train_aux_vars)
    parts = torch.autograd.grad(losses.sum(), list(found.net.parameters()))
    gradient = torch.cat([part.reshape(-1) for part in parts])
    assert torch.allclose(risk.gradient(), gradient, rtol=1e-4, atol=1e-4 * float(gradient.norm()))


def test_curvature_in_double_precision_and_by_terms() -> None:
    found = model(loss_weights=[1.0, 20.0, 0.0])
    risk = risk_of(found, dtype=torch.float64, names=["equation", "ends", "point"])
    assert list(risk.terms) == ["equation", "ends"]
    assert risk.dtype == torch.float64
    h = 1e-5
    v = torch.ones(risk.dim, dtype=torch.float64) / risk.dim**0.5
    up, down = (risk.at(risk.theta + s * h * v).gradient() for s in (1, -1))
    product = hs.Hessian(risk) @ v
    assert torch.allclose(
        product, (up - down) / (2 * h), rtol=1e-5, atol=1e-6 * float(product.norm())
    )
    assert hs.rank(hs.GaussNewton(risk)).value <= risk.num_outputs
    terms = hs.compare.terms(risk)
    assert terms.names == ("equation", "ends")
    noise = dict.fromkeys(risk.terms, 0.1)
    post = hs.GaussNewtonPosterior(risk, noise=noise, prior_precision=1.0)
    assert post.effective_dimension.value > 0
    assert all(p.dtype == torch.float32 and p.grad is None for p in found.net.parameters())


def test_external_variables_are_parameters() -> None:
    kappa = dde.Variable(2.0)
    found = model(kappa, external_trainable_variables=[kappa])
    risk = risk_of(found, dtype=torch.float64)
    at = risk.layout.slice("variable_0").start
    unit = torch.zeros(risk.dim, dtype=torch.float64)
    unit[at] = 1e-4
    up, down = (risk.at(risk.theta + s * unit) for s in (1, -1))
    slope = (up.value() - down.value()) / 2e-4
    assert float(risk.gradient()[at]) == pytest.approx(slope, rel=1e-6)
    column = (up.gradient() - down.gradient()) / 2e-4
    assert torch.allclose(hs.Hessian(risk).dense()[:, at], column, rtol=1e-6, atol=1e-6)
    found.train(iterations=3, display_every=10**6)
    assert float(risk.refreshed().theta[at]) == pytest.approx(float(kappa.detach()))


def test_what_is_no_such_model_is_refused() -> None:
    with pytest.raises(InputError, match=r"a deepxde\.Model is required"):
        risk_of(torch.nn.Linear(1, 1))
    with pytest.raises(InputError, match="names: 1 given; the model has 3 terms"):
        risk_of(model(), names=["equation"])
    regular = model()
    regular.net.regularizer = ("l2", 1e-3)
    with pytest.raises(InputError, match="regulariser"):
        risk_of(regular)


def test_supervised_data_have_residuals_of_their_targets() -> None:
    geometry = dde.geometry.Interval(-1, 1)
    data = dde.data.Function(geometry, lambda x: x**2, num_train=7, num_test=3)
    found = dde.Model(data, dde.nn.FNN([1, 5, 1], "tanh", "Glorot uniform"))
    found.compile("adam", lr=1e-3)
    risk = risk_of(found)
    assert risk.value() == pytest.approx(float(own_losses(found).sum()), rel=1e-5)
    assert risk.num_outputs == 7

"""The networks, data and training of the experiments, against the sources' code."""

import sys

import numpy as np
import pytest
import torch
from torch import nn

from hessium.curvature import GaussNewton, Hessian
from hessium.errors import InputError
from hessium.problem import EmpiricalRisk, SquaredError
from hessium.studies.eigenvalue_counts import matrices, negative, positive, positive_at
from hessium.studies.images import packaged
from hessium.studies.networks import tanh_network
from hessium.studies.published import column_table
from hessium.studies.sine import inputs, sine_risk, subset
from hessium.studies.training import train


def test_the_network_is_the_source_s() -> None:
    net = tanh_network((1, 20, 20, 20, 1), 2)
    assert sum(p.numel() for p in net.parameters()) == 901
    assert [type(m).__name__ for m in net] == ["Linear", "Tanh"] * 3 + ["Linear"]
    state, again = net.state_dict(), tanh_network((1, 20, 20, 20, 1), 2).state_dict()
    assert all(torch.equal(state[k], again[k]) for k in state)
    assert not torch.equal(state["0.weight"], tanh_network((1, 20, 1), 3).state_dict()["0.weight"])
    assert all(bool((v == 0).all()) for k, v in state.items() if k.endswith("bias"))


def test_weights_have_variance_one_over_fan_in() -> None:
    # the mean of n squares of N(0, 1) has standard deviation sqrt(2 / n): five of them, 6e-7
    weight = tanh_network((400, 300, 1), 0).state_dict()["0.weight"]
    assert abs(float((400 * weight**2).mean()) - 1) < 5 * (2 / weight.numel()) ** 0.5
    assert abs(float((300 * weight**2).mean()) - 1) > 5 * (2 / weight.numel()) ** 0.5


def test_the_points_are_the_source_s() -> None:
    # Julia: round.(LinRange(1, 100, n + 2))[2:end-1], halves to even; from 1, so 50.5 -> 50
    assert subset(1).tolist() == [49]
    assert subset(2).tolist() == [33, 66]
    assert subset(10).tolist() == [9, 18, 27, 36, 45, 54, 63, 72, 81, 90]
    assert subset(98).tolist() == list(range(1, 99))
    assert inputs(98)[0] == pytest.approx(1 / 99)
    for samples in (0, 99):
        with pytest.raises(InputError, match="samples"):
            subset(samples)


def test_the_loss_is_a_plain_sum_of_squares() -> None:
    x = inputs(7)
    risk = sine_risk(x, 23)
    f = risk.model(torch.from_numpy(x[:, None])).detach().numpy()[:, 0]
    assert risk.value() == pytest.approx(float(((f - np.sin(np.pi * x)) ** 2).sum()), rel=1e-14)


def test_training_finds_the_least_squares_solution() -> None:
    torch.manual_seed(0)
    x, y = torch.randn(30, 3, dtype=torch.float64), torch.randn(30, 1, dtype=torch.float64)
    risk = EmpiricalRisk(
        nn.Linear(3, 1, dtype=torch.float64), SquaredError(), [(x[:7], y[:7]), (x[7:], y[7:])]
    )
    trained = train(risk, max_iterations=200)
    design = torch.cat([x, torch.ones(30, 1, dtype=torch.float64)], dim=1)
    best = torch.linalg.lstsq(design, y).solution[:, 0]
    torch.testing.assert_close(trained.risk.theta, best, rtol=1e-5, atol=1e-5)
    assert trained.loss == pytest.approx(trained.risk.value(), rel=1e-14)
    assert trained.gradient_norm == pytest.approx(float(trained.risk.gradient().norm()), rel=1e-6)
    assert train(risk, max_iterations=1).iterations == 1


def test_counts_follow_the_convention() -> None:
    values = np.array([-2.0, -1e-3, -1e-7, 0.0, 1e-7, 5e-6, 1.0])
    assert positive(values, 1e-6) == 2
    assert negative(values, 1e-6) == 2
    assert positive_at(values, [1e-3, 1e-6, 1e-8]).tolist() == [1, 2, 3]


def test_spectra_of_all_matrices() -> None:
    risk = sine_risk(inputs(4), 2, (1, 5, 1))
    found = matrices(risk)
    hessian, gauss_newton = Hessian(risk).dense(), GaussNewton(risk).dense()
    np.testing.assert_allclose(found["hessian"], np.linalg.eigvalsh(hessian.numpy()), atol=1e-12)
    np.testing.assert_allclose(found["gauss_newton"][-4:], found["gram"], atol=1e-12)
    share = float(torch.linalg.norm(hessian - gauss_newton) / torch.linalg.norm(hessian))
    assert float(found["residual_share"]) == pytest.approx(share)
    assert share > 0.01


def test_published_points() -> None:
    table = column_table("adcme_hessian_rank")
    assert set(table["seed"]) == {2, 23, 233}
    assert table["positive_eigenvalues"].size == 51
    few = table["num_samples"] <= 5
    np.testing.assert_array_equal(table["positive_eigenvalues"][few], table["num_samples"][few])
    assert set(table["positive_eigenvalues"][~few]) == {5, 6, 7}
    with pytest.raises(InputError, match="no such table"):
        column_table("nothing")


def test_images_without_their_package_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(InputError, match=r"hessium\[studies\]"):
        packaged()

"""A weighted sum of risks, against the sums of its terms and differences of its loss."""

from __future__ import annotations

import functools

import pytest
import torch
from torch import Tensor, nn

import hessium as hs
from hessium.errors import InputError, SelfCheckWarning
from hessium.problem.sum_risk import named
from support.risk_cases import draw

WEIGHTS = {"residual": 0.5, "boundary": 10.0, "data": 3.0, "classes": 1.0}


class Two(nn.Module):
    """A solution and a coefficient, and a scalar."""

    def __init__(self) -> None:
        super().__init__()
        self.u = nn.Sequential(nn.Linear(1, 5), nn.Tanh(), nn.Linear(5, 2))
        self.k = nn.Sequential(nn.Linear(1, 3), nn.Tanh(), nn.Linear(3, 2))
        self.kappa = nn.Parameter(torch.tensor(0.7))

    def forward(self, x: Tensor) -> Tensor:
        return self.u(x)


def residual(model: nn.Module, x: Tensor) -> Tensor:
    """k(x) u'(x) + kappa."""
    assert isinstance(model, Two)
    at = x.detach().clone().requires_grad_()
    (slope,) = torch.autograd.grad(model.u(at).sum(), at, create_graph=True)
    coefficient: Tensor = model.k(at)[:, :1]
    return coefficient * slope + model.kappa


def scores(model: nn.Module, x: Tensor) -> Tensor:
    assert isinstance(model, Two)
    found: Tensor = model.k(x)
    return found


@functools.cache
def model() -> Two:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return Two().double()


@functools.cache
def terms() -> dict[str, hs.EmpiricalRisk]:
    """Unequal batches, samples, outputs, losses and layers."""
    x = draw(5, 1, seed=2)
    return {
        "residual": hs.EmpiricalRisk(
            model(), nn.MSELoss(), (draw(6, 1), draw(6, 1, seed=1)), forward=residual
        ),
        "boundary": hs.EmpiricalRisk(model(), hs.SquaredError(), (x[:2], draw(2, 2, seed=3))),
        "data": hs.EmpiricalRisk(
            model(),
            lambda f, y: torch.cosh(f - y).sum(),
            [(x[:3], draw(3, 2, seed=4)), (x[3:], draw(2, 2, seed=5))],
            reduction="sum",
        ),
        "classes": hs.EmpiricalRisk(
            model(), nn.CrossEntropyLoss(), (x, torch.arange(5) % 2),
            forward=scores,
        ),
    }  # fmt: skip


def total(*names: str) -> hs.SumRisk:
    chosen = names or tuple(terms())
    return hs.SumRisk(
        {name: terms()[name] for name in chosen}, {name: WEIGHTS[name] for name in chosen}
    )


def weighted(names: tuple[str, ...], question: object) -> Tensor:
    assert callable(question)
    return sum(WEIGHTS[name] * question(terms()[name]) for name in names)


ORDERS = [
    ("residual", "boundary", "data", "classes"),
    ("boundary", "residual"),
    ("classes", "boundary"),  # other layers of the same types
    ("boundary", "data"),
]


@pytest.mark.parametrize("names", ORDERS, ids="-".join)
def test_it_is_the_sum_of_its_terms(names: tuple[str, ...]) -> None:
    risk = total(*names)
    assert risk.value() == pytest.approx(float(weighted(names, lambda r: r.value())), rel=1e-13)
    expected = weighted(names, lambda r: r.gradient())
    assert (risk.gradient() - expected).norm() <= 1e-13 * expected.norm()
    for kind in (hs.Hessian, hs.GaussNewton, hs.ResidualHessian):
        matrix = weighted(names, lambda r, kind=kind: kind(r, check=False).dense())
        operator = kind(risk)  # with its check against differences of the loss
        assert (operator.dense() - matrix).norm() <= 1e-12 * matrix.norm()
        v = draw(risk.dim)
        assert (operator @ v - matrix @ v).norm() <= 1e-12 * matrix.norm() * v.norm()
    jacobian = torch.cat([hs.Jacobian(terms()[name], check=False).dense() for name in names])
    assert torch.equal(hs.Jacobian(risk).dense(), jacobian)
    gram = torch.linalg.eigvalsh(hs.Gram(risk).dense())
    curvature = torch.linalg.eigvalsh(hs.GaussNewton(risk, check=False).dense())
    k = min(len(gram), len(curvature))
    assert (gram[-k:] - curvature[-k:]).abs().max() <= 1e-12 * gram[-1]


def test_curvature_agrees_with_differences_of_the_loss() -> None:
    risk, h = total(), 1e-4
    v = draw(risk.dim, seed=9)
    v /= v.norm()
    up, down = (risk.at(risk.theta + s * h * v).value() for s in (1, -1))
    second = (up - 2 * risk.value() + down) / h**2
    assert float(v @ (hs.Hessian(risk) @ v)) == pytest.approx(second, rel=1e-5)


def test_places_parts_and_precisions_of_a_sum() -> None:
    risk = total()
    theta = 1.1 * risk.theta
    there = risk.at(theta)
    expected = sum(WEIGHTS[name] * r.at(theta).value() for name, r in terms().items())
    assert there.value() == pytest.approx(float(expected), rel=1e-13)
    assert all(torch.equal(term.theta, theta) for term in there.terms.values())
    assert there.refreshed().value() == risk.value()
    part = risk.restrict(["k", "kappa"])
    rows = torch.cat([torch.arange(risk.dim)[risk.layout.slice(name)] for name in part.names])
    whole = hs.Hessian(risk).dense()
    assert (hs.Hessian(part).dense() - whole[rows][:, rows]).norm() <= 1e-12 * whole.norm()
    assert part.terms["data"].dim == part.dim
    assert part.at(2 * part.theta).refreshed().value() == risk.value()
    single = risk.in_dtype(torch.float32)
    assert single.dtype == torch.float32
    assert single.value() == pytest.approx(risk.value(), rel=1e-5)
    heavier = risk.weighted({"data": 4.0})
    assert heavier.value() - risk.value() == pytest.approx(terms()["data"].value(), rel=1e-10)
    assert (risk.num_samples, risk.num_outputs, risk.num_batches) == (18, 30, 5)


def test_a_sum_follows_the_model_in_training() -> None:
    net = nn.Linear(2, 1).double()
    risk = hs.SumRisk(
        [hs.EmpiricalRisk(net, hs.SquaredError(), (draw(4, 2, seed=s), draw(4, 1))) for s in (1, 2)]
    )
    before = risk.value()
    with torch.no_grad():
        net.weight.mul_(2.0)
    assert risk.value() == before
    now = risk.refreshed()
    assert now.value() == pytest.approx(sum(t.value() for t in now.terms.values()), rel=1e-13)
    assert now.value() != before
    assert torch.equal(now.theta[:2], net.weight.detach().flatten())


def test_the_posterior_of_a_sum_is_the_dense_one() -> None:
    risk = total("residual", "boundary")
    with pytest.warns(SelfCheckWarning, match="noise of a measurement of the largest weight"):
        post = hs.GaussNewtonPosterior(risk, noise=0.3, prior_precision=0.2)
    # boundary: 10 (f - y)^2; residual: 0.5 / 6 r^2. The noise is that of the largest weight.
    J = hs.Jacobian(risk).dense()
    weight = torch.cat([torch.full((6,), 0.5 / 6), torch.full((4,), 10.0)]).double() / 10.0
    eye = torch.eye(risk.dim, dtype=torch.float64)
    covariance = torch.linalg.inv(J.mT @ (weight[:, None] * J) / 0.3**2 + 0.2 * eye)
    assert torch.allclose(torch.tensor(post.parameter_std()), covariance.diagonal().sqrt())
    at = draw(3, 1, seed=8)
    found = post.prediction_std(risk.inputs_of("boundary", at))
    there = hs.Jacobian(
        hs.EmpiricalRisk(model(), hs.SquaredError(), (at, torch.zeros(3, 2).double()))
    ).dense()
    expected = (there @ covariance @ there.mT).diagonal().sqrt()
    assert torch.allclose(torch.tensor(found).flatten(), expected)
    with pytest.raises(InputError, match=r"inputs: .*risk\.inputs_of\('residual', inputs\)"):
        post.prediction_std(at)
    # terms with one function of the model need no name
    assert hs.GaussNewtonPosterior(
        total("boundary", "data"), prior_precision=1.0
    ).prediction_std(at).shape == (3, 2)  # fmt: skip


def test_a_closure_among_the_terms_has_a_hessian_only() -> None:
    ridge = hs.EmpiricalRisk.from_closure(
        model(), lambda module: nn.utils.parameters_to_vector(module.parameters()).square().sum()
    )
    risk = hs.SumRisk({"data": terms()["data"], "ridge": ridge}, {"ridge": 0.1})
    eye = torch.eye(risk.dim, dtype=torch.float64)
    expected = hs.Hessian(terms()["data"]).dense() + 0.2 * eye
    assert torch.allclose(hs.Hessian(risk).dense(), expected)
    for kind in (hs.GaussNewton, hs.ResidualHessian, hs.Gram, hs.Jacobian):
        with pytest.raises(InputError, match="term 'ridge': risk: the loss is returned by a clos"):
            kind(risk)
    with pytest.raises(InputError, match="no common denominator"):
        hs.EmpiricalFisher(total())


def test_terms_that_are_no_sum_are_refused() -> None:
    data = (draw(4, 1), draw(4, 2))
    one = terms()["boundary"]
    other = hs.EmpiricalRisk(Two().double(), hs.SquaredError(), data)
    for wrong, words in (
        ({}, "terms: none"),
        ([], "terms: none"),
        ([one, other], "'1' has another model"),
        ([one, one.restrict(["k"])], "free parameters"),
        ([one, one.in_dtype(torch.float32)], "dtype"),
        ([one, one.at(2 * one.theta)], "other values of parameters"),
        ([one, total()], "a sum itself"),
    ):
        with pytest.raises(InputError, match=words):
            hs.SumRisk(wrong)
    for untyped, words in (
        (one, "EmpiricalRisk; risks by name"),
        ({"a": 3}, "'a' is a int"),
        ({1: one}, "name 1 is a int"),
    ):
        with pytest.raises(InputError, match=words):
            named(untyped)
    for weights, words in (
        ({"b": 1.0}, "'b' is no term"),
        ({"a": 0.0}, "weights"),
        ({"a": float("nan")}, "weights"),
        ([1.0, 2.0], "2 numbers"),
    ):
        with pytest.raises(InputError, match=words):
            hs.SumRisk({"a": one}, weights)
    with pytest.raises(InputError, match="one of residual, boundary, data, classes"):
        total().inputs_of("initial", data[0])

"""What the data leave open is said with its direction, and is never a large number."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

import hessium as hs
from hessium.errors import ConvergenceWarning
from support.posterior_cases import THREE_ROWS, Linear6, Scalars, jacobian, line_of_product
from support.risk_cases import draw, mlp

X = torch.linspace(0, 1, 6, dtype=torch.float64)[:, None]


def three_samples(noise: float = 0.1) -> hs.GaussNewtonPosterior:
    model = Linear6()
    data = (THREE_ROWS, model(THREE_ROWS).detach())
    return hs.GaussNewtonPosterior(hs.EmpiricalRisk(model, hs.SquaredError(), data), noise=noise)


def test_three_samples_of_six_parameters() -> None:
    post = three_samples()
    assert post.rank == 3
    # k from 2 k; w[2] from itself; the others are open
    np.testing.assert_allclose(
        post.parameter_std(), [0.05, np.inf, np.inf, 0.1, np.inf, np.inf], rtol=1e-13
    )
    np.testing.assert_allclose(post.parameter_std(["k"]), [0.05], rtol=1e-13)
    found = post.undetermined()
    assert (found.total, found.open, found.unresolved) == (6, 4, 0)
    first = found.answers[0]
    assert first.label == "w[0]"
    assert {name for name, _ in first.moves} == {"w[0]", "w[1]"}
    values = dict(first.moves)
    assert values["w[0]"] == pytest.approx(-values["w[1]"])
    assert "w[1]" in first.advice
    assert "prior_precision" in first.advice
    # the direction leaves the data as they are
    direction = np.zeros(6)
    direction[1], direction[2] = values["w[0]"], values["w[1]"]
    assert np.abs(THREE_ROWS.numpy() @ direction).max() < 1e-14
    assert "w[0]" in repr(found)


def test_predictions_are_open_where_their_gradient_leaves_the_rows() -> None:
    post = three_samples()
    there = torch.eye(6, dtype=torch.float64)
    there[1, 2] = 1.0  # w[0] + w[1], which is determined
    np.testing.assert_allclose(
        post.prediction_std(there)[:, 0], [0.05, 0.1, np.inf, 0.1, np.inf, np.inf], rtol=1e-13
    )
    found = post.undetermined_predictions(there)
    assert (found.open, found.total) == (3, 6)
    assert found.answers[0].label == "output[2, 0]"
    joint = post.prediction_covariance(there)
    assert joint[1, 1] == pytest.approx(0.01)
    assert joint[2, 2] == np.inf
    assert joint[4, 5] == 0.0
    # two priors that vanish leave two covariances of w[0] + w[1] with w[1]: there is none
    A, limits = THREE_ROWS.numpy() / 0.1, []
    for metric in (np.ones(6), np.array([1.0, 4, 1, 1, 1, 1])):
        C = np.linalg.inv(A.T @ A + 1e-6 * np.diag(metric))
        limits.append(float((there.numpy() @ C @ there.numpy().T)[1, 2]))
    assert limits == pytest.approx([0.005, 0.008], rel=1e-3)
    assert np.isnan(joint[1, 2])
    assert joint[1, 0] == 0.0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("b", "c"), [(2.0, 3.0), (1.0, 1.0), (-1.0, 0.3)])
def test_a_product_is_determined_where_its_factors_are_not(
    b: float, c: float, dtype: torch.dtype
) -> None:
    model = line_of_product(b, c).to(dtype)
    x = X.to(dtype)
    risk = hs.EmpiricalRisk(model, hs.SquaredError(), (x, model(x).detach()))
    post = hs.GaussNewtonPosterior(risk, noise=0.01)
    design = np.c_[np.ones(6), X.numpy()]
    expected = 0.01 * np.sqrt(np.diag(np.linalg.inv(design.T @ design)))
    found = post.identifiable(["a", "b", "c"])
    assert found["a"].answer == "determined"
    assert found["a"].std == pytest.approx(expected[0], rel=1e-6)
    for name in ("b", "c"):
        assert found[name].answer == "not determined"
        assert found[name].std == np.inf
    (product,) = found.combinations
    assert (product.text, product.kind) == ("b c", "product")
    assert product.value == pytest.approx(b * c, rel=1e-6)
    assert product.std == pytest.approx(expected[1], rel=1e-6)
    assert found.open_directions == 1
    assert "b c determined" in repr(found)
    assert post.correlations(["b", "c"])[0, 1] == pytest.approx(-np.sign(b * c))
    covariance = post.covariance(["a", "b", "c"])
    assert covariance[0, 0] == pytest.approx(expected[0] ** 2, rel=1e-6)
    assert np.isinf(covariance[1:, 1:]).all()


@pytest.mark.parametrize(
    ("formula", "values", "names"),
    [
        (lambda x, p: (p["a"] - p["b"]) * x, {"a": 1.0, "b": 0.5}, [("a - b", "sum")]),
        (lambda x, p: (p["a"] + 2 * p["b"]) * x, {"a": 1.0, "b": 0.5}, [("a + 2 b", "sum")]),
        (lambda x, p: p["a"] / p["b"] * x, {"a": 1.5, "b": 0.5}, [("a / b", "product")]),
        (lambda x, p: p["a"] * p["b"] ** 2 * x, {"a": 1.5, "b": 0.5}, [("a b^2", "product")]),
        # equal values: only the move tells a sum from a product
        (lambda x, p: (p["a"] + p["b"]) * x, {"a": 1.0, "b": 1.0}, [("a + b", "sum")]),
        (
            lambda x, p: p["a"] * p["b"] + p["b"] * p["c"] * x,
            {"a": 1.5, "b": 0.5, "c": 2.0},
            [("a / c", "product"), ("b c", "product")],
        ),
        # neither: a gradient at these parameters
        (lambda x, p: (p["a"] + p["b"] ** 2) * x, {"a": 1.0, "b": 0.7}, [(None, "local")]),
    ],
)
def test_combinations_have_names(
    formula: object, values: dict[str, float], names: list[tuple[str | None, str]]
) -> None:
    model = Scalars(formula, **values)
    risk = hs.EmpiricalRisk(model, hs.SquaredError(), (X, model(X).detach()))
    found = hs.GaussNewtonPosterior(risk, noise=0.01).identifiable(list(values))
    assert len(found.combinations) == len(names)
    for combination, (text, kind) in zip(found.combinations, names, strict=True):
        assert combination.kind == kind
        assert text is None or combination.text == text


def test_a_tensor_may_be_partly_determined() -> None:
    found = three_samples().identifiable(["k", "w"])
    assert found["k"].answer == "determined"
    assert found["w"].answer == "partly determined"
    assert [c.text for c in found.combinations] == ["w[0] + w[1]"]
    assert found.to_dataframe().shape == (3, 4)


def test_the_limit_of_a_vanishing_prior_agrees() -> None:
    post = three_samples()
    there = draw(5, 6, seed=2)
    there[:2] = THREE_ROWS[:2] * 1.5
    weak = post.with_prior(1e-9)
    finite = np.isfinite(post.prediction_std(there))
    assert finite.tolist() == [[True], [True], [False], [False], [False]]
    np.testing.assert_allclose(
        weak.prediction_std(there)[finite], post.prediction_std(there)[finite], rtol=1e-6
    )
    assert (weak.prediction_std(there)[~finite] > 1e4).all()
    joint, limit = weak.prediction_covariance(there), post.prediction_covariance(there)
    grows = np.isinf(limit)
    assert (np.abs(joint[grows]) > 1e6).all()
    assert (np.sign(joint[grows]) == np.sign(limit[grows])).all()


def test_directions_near_rounding_are_not_resolved_until_a_threshold_is_given() -> None:
    # singular values 1.4, 1, 2e-14 (between zero and certainly not zero), and the open rest
    rows = torch.zeros(3, 6, dtype=torch.float64)
    rows[0, 0], rows[1, 1], rows[1, 2], rows[2, 2] = 1.0, 1.0, 1.0, 3e-14
    model = Linear6()
    risk = hs.EmpiricalRisk(model, hs.SquaredError(), (rows, model(rows).detach()))
    post = hs.GaussNewtonPosterior(risk, noise=0.1)
    assert (post.rank.lower, post.rank.upper) == (2, 3)
    assert "rounding" in post.rank.reasons
    found = post.undetermined(["k", "w"])
    labels = {one.label: one.answer for one in found.answers}
    assert labels["w[0]"] == "not resolved"
    assert found.unresolved >= 1
    assert post.parameter_std(["k"])[0] == pytest.approx(0.1)
    assert np.isinf(post.parameter_std(["w"])).all()
    cut = hs.GaussNewtonPosterior(risk, noise=0.1, tol=1e-6)
    assert cut.rank == 2
    assert {one.answer for one in cut.undetermined().answers} == {"undetermined"}
    with pytest.raises(ValueError, match="rounding resolves"):
        hs.GaussNewtonPosterior(risk, noise=0.1, tol=1e-31)


def test_a_small_singular_value_with_a_gap_is_a_large_but_honest_error() -> None:
    rows = torch.zeros(2, 6, dtype=torch.float64)
    rows[0, 0], rows[1, 1] = 1.0, 1e-8
    model = Linear6()
    risk = hs.EmpiricalRisk(model, hs.SquaredError(), (rows, model(rows).detach()))
    post = hs.GaussNewtonPosterior(risk, noise=0.1)
    assert post.rank == 2
    np.testing.assert_allclose(post.parameter_std()[:2], [0.1, 1e7], rtol=1e-6)


def test_nothing_is_drawn_from_an_open_posterior() -> None:
    with pytest.raises(ValueError, match="3 directions are not determined"):
        three_samples().sample(2)


def test_no_noise_without_degrees_of_freedom() -> None:
    model = mlp(1, 8, 1)
    risk = hs.EmpiricalRisk(model, hs.SquaredError(), (X, X))
    assert np.linalg.matrix_rank(jacobian(model, X)) == 6
    with pytest.raises(ValueError, match="6 measurements determine 6 directions"):
        hs.GaussNewtonPosterior(risk)
    with pytest.raises(ValueError, match="proper prior"):
        _ = hs.GaussNewtonPosterior(risk, noise=0.1).log_evidence


def test_a_model_without_dependence_is_refused() -> None:
    model = Scalars(lambda x, p: x + 0 * p["a"], a=1.0)
    with pytest.raises(ValueError, match="determine nothing"):
        hs.GaussNewtonPosterior(hs.EmpiricalRisk(model, hs.SquaredError(), (X, X)), noise=0.1)


def test_names_are_those_of_weighted_outputs() -> None:
    """An output of weight zero, and the common shift of logits, count in no name."""
    model = Scalars(lambda x, p: torch.cat([p["b"] * p["c"] * x, p["b"] * x], dim=1), b=2.0, c=3.0)
    seen = torch.tensor([1.0, 0.0], dtype=torch.float64)
    masked = hs.EmpiricalRisk(
        model, lambda f, y: (seen * (f - y) ** 2).sum(), (X, model(X).detach()), reduction="sum"
    )
    (product,) = hs.GaussNewtonPosterior(masked, noise=0.1).identifiable(["b", "c"]).combinations
    assert (product.text, product.kind, product.parameters) == ("b c", "product", ("b", "c"))
    net = torch.nn.Linear(1, 2).double()
    entropy = hs.EmpiricalRisk(net, torch.nn.CrossEntropyLoss(), (X, torch.arange(6) % 2))
    (shift,) = hs.GaussNewtonPosterior(entropy).identifiable(["bias"]).combinations
    assert (shift.text, shift.kind) == ("bias[0] - bias[1]", "sum")


def oscillator() -> hs.GaussNewtonPosterior:
    """m, c, k and F enter by their ratios."""
    model = Scalars(
        lambda x, p: (p["F"] / p["m"]) * torch.exp(-p["c"] / p["m"] * x)
        * torch.cos((p["k"] / p["m"]) * x),
        m=1.5, c=0.6, k=3.0, F=2.0,
    )  # fmt: skip
    x = torch.linspace(0, 2, 9, dtype=torch.float64)[:, None]
    risk = hs.EmpiricalRisk(model, hs.SquaredError(), (x, model(x).detach()))
    return hs.GaussNewtonPosterior(risk, noise=0.01)


@pytest.mark.parametrize(
    ("names", "text"), [(["m", "c"], "m / c"), (["c", "k"], "c / k"), (["m", "F"], "m / F")]
)
def test_some_of_several_parameters_in_a_ratio_have_its_name(names: list[str], text: str) -> None:
    post = oscillator()
    found = post.identifiable(names)
    (ratio,) = found.combinations
    assert (ratio.text, ratio.kind) == (text, "product")
    top, bottom = (dict(post.risk.model.named_parameters())[n].item() for n in names)
    assert ratio.value == pytest.approx(top / bottom, rel=1e-12)
    # with the other free parameters as nuisance and one scale fixed, by the delta method
    held = next(n for n in post.risk.names if n not in names)
    free = [n for n in post.risk.names if n != held]
    fixed = hs.GaussNewtonPosterior(post.risk.restrict(free), noise=0.01)
    gradient = np.zeros(len(free))
    gradient[free.index(names[0])], gradient[free.index(names[1])] = 1 / bottom, -top / bottom**2
    covariance = fixed.covariance(free)
    assert ratio.std == pytest.approx(float(gradient @ covariance @ gradient) ** 0.5, rel=1e-6)
    assert found.open_directions == 1


def test_advice_follows_the_check_of_the_names() -> None:
    """No measurement at the data separates what enters by a ratio only."""
    first = oscillator().undetermined(["m"]).answers[0]
    assert first.through == ("m / F",)
    assert first.fix == "fix one of m, F, c, k at a known value"
    assert "no measurement there separates them" in first.advice
    assert "next_measurements" not in first.advice
    other = three_samples().undetermined(["w"]).answers[-1]
    assert "measure where information_gain is infinite" in other.advice


def test_open_directions_are_counted_beyond_the_names() -> None:
    """One shift of 40 weights is one open direction, though no combinations are looked for."""
    x = torch.eye(40, dtype=torch.float64) - 1 / 40
    net = torch.nn.Linear(40, 1, bias=False).double()
    risk = hs.EmpiricalRisk(net, hs.SquaredError(), (x, net(x).detach()))
    found = hs.GaussNewtonPosterior(risk, noise=0.1).identifiable(["weight"])
    assert found["weight"].answer == "not determined"
    assert (found.open_directions, found.combinations, found.sought) == (1, (), False)
    assert "at most 30 undetermined entries" in repr(found)


def test_a_combination_that_holds_nearby_only_says_so() -> None:
    model = Scalars(lambda x, p: (p["a"] + p["b"] ** 2) * x, a=1.0, b=0.7)
    risk = hs.EmpiricalRisk(model, hs.SquaredError(), (X, model(X).detach()))
    found = hs.GaussNewtonPosterior(risk, noise=0.01).identifiable(["a", "b"])
    assert "determined to first order (" in repr(found)
    assert found.combinations[0].parameters == ("a", "b")


def linear_risk(X: torch.Tensor, seed: int = 0) -> hs.EmpiricalRisk:
    """A linear model without bias that fits its data exactly."""
    torch.manual_seed(seed)
    model = torch.nn.Linear(X.shape[1], 1, bias=False).double()
    return hs.EmpiricalRisk(model, hs.SquaredError(), (X, model(X).detach()), check=False)


def test_determined_parameters_among_many_open_ones() -> None:
    """Rows of no special form: the part outside is below the rounding of a difference."""
    for seed in range(10):
        generator = torch.Generator().manual_seed(seed)

        def rotation(n: int, random: torch.Generator = generator) -> torch.Tensor:
            normal = torch.randn(n, n, generator=random, dtype=torch.float64)
            return torch.linalg.qr(normal).Q

        X = torch.zeros(12, 20, dtype=torch.float64)
        X[:6, :6], X[6:, 6:] = rotation(6), rotation(14)[:6]
        post = hs.GaussNewtonPosterior(linear_risk(X, seed), noise=0.1, check=seed == 0)
        std = post.parameter_std()
        np.testing.assert_allclose(std[:6], 0.1, rtol=1e-12)
        assert np.isinf(std[6:]).all()
        units = torch.eye(20, dtype=torch.float64)
        np.testing.assert_allclose(post.prediction_std(units)[:, 0], std, rtol=1e-12)
        diagonal = np.diag(post.covariance(["weight"]))
        np.testing.assert_allclose(np.sqrt(diagonal), std, rtol=1e-12)
        assert np.isinf(diagonal[6:]).all()


class Decoupled(torch.nn.Module):
    """Two constants in one half of the samples, a network in the other half."""

    def __init__(self) -> None:
        super().__init__()
        self.a = torch.nn.Parameter(torch.tensor(1.0, dtype=torch.float64))
        self.b = torch.nn.Parameter(torch.tensor(0.5, dtype=torch.float64))
        self.net = torch.nn.Sequential(
            torch.nn.Linear(1, 10), torch.nn.Tanh(), torch.nn.Linear(10, 1)
        ).double()

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        t, which = z[:, :1], z[:, 1:]
        return torch.where(which > 0, self.a * torch.exp(-self.b * t), self.net(t))


@pytest.mark.parametrize("tol", [None, 1e-6])
def test_weak_directions_of_a_network_leave_other_parameters_determined(tol: float | None) -> None:
    """The rank is not resolved, and the answer for a and b does not need it."""
    unresolved = 0
    for seed in range(6):
        torch.manual_seed(seed)
        model = Decoupled()
        generator = torch.Generator().manual_seed(seed)
        t = torch.rand(20, 1, generator=generator, dtype=torch.float64)
        z = torch.cat([t, (torch.arange(20) % 2)[:, None].to(t)], dim=1)
        risk = hs.EmpiricalRisk(model, hs.SquaredError(), (z, model(z).detach()), check=False)
        post = hs.GaussNewtonPosterior(risk, noise=0.01, tol=tol, check=seed == 0)
        alone = hs.GaussNewtonPosterior(risk.restrict(["a", "b"]), noise=0.01, check=False)
        np.testing.assert_allclose(post.parameter_std(["a", "b"]), alone.parameter_std(), rtol=1e-9)
        unresolved += post.rank.lower < post.rank.upper
    assert unresolved >= 1 or tol


def test_a_prior_does_not_make_parameters_determined() -> None:
    """Answers are those of the data; standard deviations are those of data and prior."""
    post = three_samples().with_prior(1.0)
    assert np.isfinite(post.parameter_std()).all()
    answers = post.parameters().answer
    assert answers == three_samples().parameters().answer
    assert answers.count("undetermined") == 4
    assert post.undetermined().open == 4
    assert post.undetermined_predictions(torch.eye(6, dtype=torch.float64)).open == 4


def test_by_the_gram_matrix_what_rounding_hides_is_said() -> None:
    """Beside the orthogonal factorisation, which resolves the small singular values."""
    generator = torch.Generator().manual_seed(1)
    left = torch.linalg.qr(torch.randn(20, 20, generator=generator, dtype=torch.float64)).Q
    right = torch.linalg.qr(torch.randn(200, 20, generator=generator, dtype=torch.float64)).Q
    s = torch.logspace(0, -9, 20, dtype=torch.float64)
    risk = linear_risk((left * s) @ right.mT)
    there = right.mT[[0, 17]]
    fine = hs.GaussNewtonPosterior(risk, noise=1e-9, prior_precision=1.0)
    exact = 1 / np.sqrt(s[[0, 17]].numpy() ** 2 / 1e-18 + 1)
    np.testing.assert_allclose(fine.prediction_std(there)[:, 0], exact, rtol=1e-6)
    coarse = hs.GaussNewtonPosterior(risk, noise=1e-9, prior_precision=1.0, max_bytes=100_000)
    assert coarse.method == "Gram matrix"
    with pytest.warns(ConvergenceWarning, match=r"100 % of a variance may be rounding"):
        assert coarse.prediction_std(there)[1, 0] > 2 * exact[1]
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        missing = coarse.log_evidence - fine.log_evidence
    texts = [str(w.message) for w in told if "too large" in str(w.message)]
    assert len(texts) == 1
    assert 0 < missing <= float(texts[0].split()[3])


def test_a_direction_that_may_not_exist_must_not_change_an_error() -> None:
    """Columns that differ by ten roundings; a functional with a small component along them."""
    X = torch.tensor([[1.0, 1.0, 0.0], [0.0, 7e-14, 0.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
    post = hs.GaussNewtonPosterior(linear_risk(X), noise=0.1)
    assert (post.rank.lower, post.rank.upper) == (2, 3)
    small = 1e-14  # adds a tenth to the variance if the direction exists
    there = torch.tensor([[1.0, 1.0, 0.0], [1.0 + small, 1.0 - small, 0.0]], dtype=torch.float64)
    assert post.prediction_std(there)[0, 0] == pytest.approx(0.1, rel=1e-9)
    assert post.prediction_std(there)[1, 0] == np.inf
    assert post.undetermined_predictions(there).answers[0].answer == "not resolved"


def test_a_name_is_not_proved_where_the_model_has_no_value() -> None:
    """Square roots of a - 0.9 and b - 0.9 at one: neither a b nor a + b is constant on a fit."""
    model = Scalars(
        lambda x, p: (torch.sqrt(p["a"] - 0.9) + torch.sqrt(p["b"] - 0.9)) * x, a=1.0, b=1.0
    )
    risk = hs.EmpiricalRisk(model, hs.SquaredError(), (X, model(X).detach()))
    found = hs.GaussNewtonPosterior(risk, noise=0.1).identifiable(["a", "b"])
    assert [one.kind for one in found.combinations] == ["local"]
    assert [one.answer for one in found.answers] == ["not determined"] * 2


def test_an_infinite_gain_may_be_that_of_another_direction() -> None:
    """b c and d are two open directions: a place that determines d does not separate b and c."""
    model = Scalars(
        lambda x, p: p["b"] * p["c"] * x[:, :1] + p["d"] * x[:, 1:], b=2.0, c=3.0, d=1.0
    )
    x = torch.cat([X, 0 * X], dim=1)
    risk = hs.EmpiricalRisk(model, hs.SquaredError(), (x, model(x).detach()))
    post = hs.GaussNewtonPosterior(risk, noise=0.1)
    there = torch.ones(1, 2, dtype=torch.float64)
    assert post.information_gain(there).tolist() == [np.inf]
    both = torch.cat([x, there])
    more = hs.EmpiricalRisk(model, hs.SquaredError(), (both, model(both).detach()))
    std = hs.GaussNewtonPosterior(more, noise=0.1).parameter_std(["b", "d"])
    assert np.isinf(std).tolist() == [True, False]
    advice = post.undetermined(["b"]).answers[0].advice
    assert "not at every such place: 2 directions are open" in advice


def test_the_joint_covariance_of_many_entries_is_refused_before_it_is_formed() -> None:
    net = mlp(1, 3000, 1)
    risk = hs.EmpiricalRisk(net, hs.SquaredError(), (X, X))
    post = hs.GaussNewtonPosterior(risk, 0.1, 1.0, max_bytes=4_000_000)
    with pytest.raises(ValueError, match="joint covariance of 3000 entries needs"):
        post.covariance(["0.weight"])
    assert post.covariance(["2.bias"]).shape == (1, 1)


@pytest.mark.parametrize("seed", [0, 4])
def test_joint_covariances_by_the_gram_matrix_have_no_negative_variance(seed: int) -> None:
    """At the data the part outside is zero, and a difference leaves it negative by rounding.

    Oracle: five samples determine their five outputs, each with the variance of the noise.
    """
    x = draw(5, 2, seed=seed)
    risk = hs.EmpiricalRisk(mlp(2, 40, 1), hs.SquaredError(), (x, x[:, :1]))
    post = hs.GaussNewtonPosterior(risk, noise=0.1, max_bytes=4 * 8 * 5 * 161 - 8)
    assert post.method == "Gram matrix"
    np.testing.assert_allclose(post.prediction_covariance(x), 0.01 * np.eye(5), atol=1e-8)
    np.testing.assert_allclose(post.information_gain(x), np.log(2) / 2, rtol=1e-6)

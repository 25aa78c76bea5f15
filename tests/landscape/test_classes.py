"""Points whose kind is known: the quartic with gradient-flat points, valleys to infinity, cusps."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import hessium as hs
from hessium.errors import ConvergenceWarning, InputError
from hessium.landscape.certify import certify
from hessium.landscape.gradient_norm import GradientNorm
from hessium.landscape.noise_floor import PROBES
from hessium.landscape.objective import Surface
from hessium.landscape.trajectory import Stopping
from hessium.linalg import SymmetricOperator
from hessium.linalg.operator import DenseOperator
from support.risk_cases import draw, mlp

Function = Callable[[Tensor, Tensor], Tensor]
METHODS = ("levenberg-marquardt", "newton-mr")


class Point(nn.Module):
    def __init__(self, *coordinates: float) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.tensor(coordinates, dtype=torch.float64))


def quartic(model: Any) -> Tensor:
    """One critical point, (-3, 0), and two gradient-flat points, (+-sqrt 2, 0)."""
    x, y = model.p
    return x**4 / 4 - 3 * x**2 + 9 * x + 0.9 * y**4 + 5 * y**2 + 40


def on(closure: Callable[[Any], Tensor], *coordinates: float) -> hs.EmpiricalRisk:
    return hs.EmpiricalRisk.from_closure(Point(*coordinates), closure)


@pytest.mark.parametrize("start", [(2.0, 1.0), (-1.0, 0.5), (-1.3, 0.1)])
def test_the_quartic_from_the_right_is_gradient_flat(start: tuple[float, float]) -> None:
    with pytest.warns(ConvergenceWarning, match="kernel of the Hessian"):
        found = hs.find_critical_point(on(quartic, *start))
    assert found.kind == "gradient-flat"
    assert abs(float(found.theta[0]) - math.sqrt(2)) < 1e-6
    assert found.certificate.flatness <= 1e-7
    assert found.gradient_norm > 3
    assert not found.index.exact


class Quartic(Surface):
    """The same function with its derivatives written down."""

    def __init__(self) -> None:
        super().__init__(2, 0.0)

    def _loss(self, theta: Tensor) -> float:
        x, y = theta.tolist()
        return x**4 / 4 - 3 * x**2 + 9 * x + 0.9 * y**4 + 5 * y**2 + 40

    def _gradient(self, theta: Tensor) -> Tensor:
        x, y = theta
        return torch.stack([x**3 - 6 * x + 9, 3.6 * y**3 + 10 * y])

    def _hessian(self, theta: Tensor) -> Tensor:
        x, y = theta
        return torch.diag(torch.stack([3 * x**2 - 6, 10.8 * y**2 + 10]))

    def _operator(self, theta: Tensor) -> SymmetricOperator:
        return DenseOperator(self._hessian(theta))


@pytest.mark.parametrize(
    ("start", "kind"),
    [((2.0, 1.0), "gradient-flat"), ((-1.0, 0.5), "gradient-flat"), ((-1.6, 0.1), "critical")],
)
def test_descent_on_the_gradient_norm(start: tuple[float, float], kind: str) -> None:
    surface = Quartic()
    walk = GradientNorm().find(
        surface, torch.tensor(start, dtype=torch.float64), Stopping(steps=1500)
    )
    assert certify(surface, walk, draw(PROBES, 2)).kind == kind


@pytest.mark.sampled
@pytest.mark.parametrize("start", [(-5.0, 1.0), (-1.6, 0.1), (-2.0, 0.5)])
@pytest.mark.parametrize("method", METHODS)
def test_the_quartic_from_the_left_is_critical(start: tuple[float, float], method: str) -> None:
    found = hs.find_critical_point(on(quartic, *start), method=method)
    assert found.kind == "critical"
    torch.testing.assert_close(found.theta, torch.tensor([-3.0, 0.0]).double(), atol=1e-9, rtol=0)
    assert found.index == 0
    assert found.index.exact


@pytest.mark.parametrize("start", [(2.0, 1.0), (-1.0, 0.5), (-5.0, 1.0)])
def test_index_zero_passes_the_flat_points(start: tuple[float, float]) -> None:
    risk = on(quartic, *start)
    found = hs.find_critical_point(risk, method="saddle", index=0, index_tolerance=0)
    assert found.kind == "critical"
    assert abs(float(found.theta[0]) + 3) < 1e-9


def test_a_valley_to_infinity_is_no_critical_point() -> None:
    risk = on(lambda m: torch.exp(-m.p[0]) + m.p[1] ** 2, 0.0, 1.0)
    with pytest.warns(ConvergenceWarning, match="add a ridge"):
        found = hs.find_critical_point(risk)
    assert found.kind == "diverging"
    # what the published test says of the same point: |g|^2 <= 1e-6, accepted
    assert found.gradient_norm**2 <= 1e-6
    ridged = hs.find_critical_point(risk, ridge=0.1)
    assert ridged.kind == "critical"
    assert abs(math.exp(-float(ridged.theta[0])) - 0.1 * float(ridged.theta[0])) < 1e-12


def test_a_degenerate_minimum_is_not_certified() -> None:
    risk = on(lambda m: m.p[0] ** 4 + m.p[1] ** 2, 1.0, 1.0)
    with pytest.warns(ConvergenceWarning):
        found = hs.find_critical_point(risk)
    assert found.kind == "unconverged"
    assert not found.index.exact


def turned(
    function: Callable[[Tensor, Tensor], Tensor],
) -> Callable[[Tensor, Tensor], Tensor]:
    """The same in axes at 45 degrees, where rounding mixes the modes."""
    return lambda x, y: function((x + y) / math.sqrt(2), (y - x) / math.sqrt(2))


def slope(x: Tensor, y: Tensor) -> Tensor:
    """A gradient of 1e-8, below the rounding of |H||theta|, and no critical point."""
    return 1e-8 * x + (y - 1e6) ** 2 / 2


def fading(x: Tensor, y: Tensor) -> Tensor:
    """A zero at infinity beside a steep direction."""
    return torch.exp(-x) + 1e3 * y**2


def tail(x: Tensor, y: Tensor) -> Tensor:
    """A minimum at infinity at polynomial speed: far out, flat to rounding over half the way."""
    return (1 + x**2) ** -2 + (y - 2) ** 2 / 2


def arc(x: Tensor, y: Tensor) -> Tensor:
    """The same, slower, beside large parameters."""
    return -torch.atan(x) + (y - 1e3) ** 2 / 2


def softened(x: Tensor, y: Tensor) -> Tensor:
    """A soft mode far from whose zero Newton's method would not move at all."""
    return torch.nn.functional.softplus(-x) + (y - 1e5) ** 2 / 2


def weak(x: Tensor, y: Tensor) -> Tensor:
    """A saddle whose negative curvature is 1e-11 of the largest."""
    return (y - 1) ** 2 - 1e-11 * x**2


def stiff(x: Tensor, y: Tensor) -> Tensor:
    """A minimum of condition 1e10."""
    return 1e10 * (x - 1) ** 2 + (y - 2) ** 2 + 0.1 * (y - 2) ** 3


@pytest.mark.sampled
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("function", [slope, turned(slope), fading, turned(fading)])
def test_a_slope_in_a_soft_mode_is_no_critical_point(function: Function, method: str) -> None:
    with pytest.warns(ConvergenceWarning):
        found = hs.find_critical_point(on(lambda m: function(*m.p), 1.0, 1.0), method=method)
    assert found.kind in ("diverging", "gradient-flat")


@pytest.mark.sampled
@pytest.mark.parametrize("function", [tail, arc, softened])
@pytest.mark.parametrize("rng", [0, 1])
def test_a_valley_to_infinity_is_no_symmetry(function: Function, rng: int) -> None:
    risk = on(lambda m: turned(function)(*m.p), 0.4, 1.6)
    with pytest.warns(ConvergenceWarning):
        found = hs.find_critical_point(risk, rng=rng)
    assert found.kind != "critical"


@pytest.mark.sampled
@pytest.mark.parametrize(
    "function",
    [
        lambda x, y: -y.abs() + y**2 / 2 + (x - 1) ** 2 / 2,  # a maximum that Newton leaves
        lambda x, y: 1e8 * (x - 1) ** 2 + y * y.abs(),  # a kink in the soft mode alone
        lambda x, y: -torch.relu(y) + (x - 1) ** 2 / 2,  # the gradient jumps
    ],
)
@pytest.mark.parametrize("turn", [False, True])
def test_kinks_beside_a_zero_gradient(function: Function, *, turn: bool) -> None:
    start = (math.sqrt(0.5), math.sqrt(0.5)) if turn else (1.0, 0.0)
    function = turned(function) if turn else function
    risk = on(lambda m: function(*m.p), *start)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = hs.find_critical_point(risk)
    off = float((found.theta - torch.tensor(start).double()).norm())
    assert found.kind != "critical" or off > 0.5  # one of the smooth minima beside


@pytest.mark.sampled
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("function", "start", "index"),
    [
        (weak, (0.5, 0.3), 1),
        (turned(weak), (0.5, 0.3), 1),
        (stiff, (0.0, 0.0), 0),
        (turned(stiff), (0.0, 0.0), 0),
        # far away, from zero too; at zero, from beside it and from itself
        (lambda x, y: (x - 1e4) ** 2 / 2 + y**2, (1.0, 1.0), 0),
        (lambda x, y: (x - 1e8) ** 2 / 2 + y**2, (0.0, 0.0), 0),
        (lambda x, y: torch.log(torch.cosh((x - 200) / 50)) + y**2, (1.0, 1.0), 0),
        (lambda x, y: x**2 + 3 * y**2 + x * y + x**3, (0.3, 0.2), 0),
        (lambda x, y: torch.cosh(x) + 3 * y**2 + x * y, (0.0, 0.0), 0),
        (lambda x, y: x * y + x**2 * y, (0.1, 0.1), 1),
    ],
)
def test_true_critical_points(
    function: Function, start: tuple[float, float], index: int, method: str
) -> None:
    found = hs.find_critical_point(on(lambda m: function(*m.p), *start), method=method)
    assert found.kind == "critical"
    assert found.index.exact
    assert found.index == index


UNITS = {(1e-6, 1e-60), (1e-6, 1e12), (1.0, 1e-12), (1e6, 1e-60), (1e6, 1e12)}


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("unit", "loss"),
    [
        pytest.param(unit, loss, marks=() if (unit, loss) in UNITS else pytest.mark.slow)
        for unit in (1e-6, 1.0, 1e6)
        for loss in (1e-60, 1e-12, 1.0, 1e12)
    ],
)
def test_units_change_nothing(unit: float, loss: float) -> None:
    def scaled(model: Any) -> Tensor:
        x, y = model.p / unit
        return loss * (x**4 / 4 - 3 * x**2 + 9 * x + 0.9 * y**4 + 5 * y**2 + 40)

    found = hs.find_critical_point(on(scaled, -5 * unit, unit))
    assert found.kind == "critical"
    assert abs(float(found.theta[0]) / unit + 3) < 1e-12
    with pytest.warns(ConvergenceWarning, match="kernel"):
        flat = hs.find_critical_point(on(scaled, 2 * unit, unit))
    assert flat.kind == "gradient-flat"


@pytest.mark.parametrize(
    "function",
    [
        lambda x, y: x**8 + y**2,
        lambda x, y: x**3 + y**2,
        lambda x, y: (x - 3) ** 4 + 1e4 * y**2,
    ],
)
def test_a_degenerate_minimum_is_called_that(function: Function) -> None:
    with pytest.warns(ConvergenceWarning, match="a degenerate critical point, or"):
        found = hs.find_critical_point(on(lambda m: function(*m.p), 1.0, 1.0))
    assert found.kind == "unconverged"


@pytest.mark.filterwarnings("ignore::hessium.errors.SelfCheckWarning")
def test_no_index_at_a_kink() -> None:
    """All units of a ReLU network dead: zero gradient, a Hessian of one sign, saddles beside."""
    model = nn.Sequential(nn.Linear(3, 4, bias=False), nn.ReLU(), nn.Linear(4, 2, bias=False))
    for parameter in model.double().parameters():
        nn.init.zeros_(parameter)
    data = draw(12, 3, seed=1), draw(12, 2, seed=2)
    risk = hs.EmpiricalRisk(model, hs.SquaredError(0.5, reduction="mean"), data)
    with pytest.warns(ConvergenceWarning, match="at a kink no index is defined"):
        found = hs.find_critical_point(risk, ridge=1e-2)
    assert found.kind == "unconverged"
    assert float(found.gradient_norm) == 0
    smooth = nn.Sequential(model[0], nn.Tanh(), model[2])
    risk = hs.EmpiricalRisk(smooth, hs.SquaredError(0.5, reduction="mean"), data)
    assert hs.find_critical_point(risk, ridge=1e-2).kind == "critical"


def test_a_sphere_of_minima_is_a_symmetry() -> None:
    ring = on(lambda m: (m.p.square().sum() - 1) ** 2, 0.8, 0.9, 0.1)
    found = hs.find_critical_point(ring)
    assert found.kind == "critical"
    assert found.certificate.symmetry_zeros == 2
    assert found.index == 0
    assert found.index.exact


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "newton"}, "method: 'newton'; one of levenberg-marquardt"),
        ({"index": 3}, "index: 3 with method 'levenberg-marquardt'"),
        ({"method": "saddle"}, "index: None with method 'saddle'"),
        ({"method": "saddle", "index": 99}, "index: 99; 0 <= index <= 2"),
        ({"ridge": -1.0}, "ridge: -1.0"),
        ({"restarts": -1}, "restarts: -1; an integer >= 0"),
        ({"max_steps": 0}, "max_steps: 0; an integer >= 1"),
        ({"method": "saddle", "index": 1, "index_tolerance": -1}, "index_tolerance: -1"),
        ({"ridge": math.inf}, "ridge: inf; a finite real number"),
        ({"start": torch.zeros(3).double()}, "start: "),
        ({"start": torch.full((2,), torch.nan).double()}, "start: 2 entries are NaN"),
        ({"start": lambda _: torch.zeros(3).double(), "restarts": 1}, "start: "),
    ],
)
def test_bad_arguments(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message.replace("(", r"\(").replace(")", r"\)")):
        hs.find_critical_point(on(quartic, 1.0, 1.0), **arguments)  # type: ignore[arg-type]


def test_single_precision_is_refused() -> None:
    model = mlp(3, 2).float()
    risk = hs.EmpiricalRisk(model, nn.MSELoss(), (torch.zeros(4, 3), torch.zeros(4, 2)))
    with pytest.raises(InputError, match="float64"):
        hs.find_critical_point(risk)


def test_models_too_large_for_a_dense_hessian_are_refused() -> None:
    model = nn.Linear(64, 64).double()
    data = torch.zeros(2, 64).double(), torch.zeros(2, 64).double()
    with pytest.raises(InputError, match=r"4160 parameters; .* at most 4000"):
        hs.find_critical_point(hs.EmpiricalRisk(model, nn.MSELoss(), data))


def test_any_network_goes() -> None:
    """Biases, two hidden layers: no closed form, exact Hessians by differentiation."""
    data = draw(12, 2, seed=1), draw(12, 1, seed=2)
    risk = hs.EmpiricalRisk(mlp(2, 4, 3, 1), hs.SquaredError(0.5, reduction="mean"), data)
    found = hs.find_critical_point(
        risk, method="saddle", index=3, index_tolerance=2, ridge=1e-2, restarts=4, rng=0
    )
    assert found.kind == "critical"
    assert abs(int(found.index) - 3) <= 2
    gradient = risk.at(found.theta).gradient() + 1e-2 * found.theta
    assert float(gradient.norm()) < 1e-12
    assert found.spectrum is not None
    dense = torch.linalg.eigvalsh(hs.Hessian(risk.at(found.theta)).dense()) + 1e-2
    assert int((dense < 0).sum()) == int(found.index)


def test_a_trained_relu_network_may_sit_at_a_kink() -> None:
    """Its loss has no slope there, which is not the fault of its backward pass."""
    from scipy.optimize import minimize

    model = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 1))
    data = draw(40, 2, seed=1), draw(40, 1, seed=2)
    risk = hs.EmpiricalRisk(model.double(), hs.SquaredError(0.5, reduction="mean"), data)
    start = 0.5 * draw(risk.dim, seed=3)

    def both(x: Any) -> tuple[float, Any]:
        there = risk.at(torch.from_numpy(x))
        gradient = there.gradient().numpy() + 1e-3 * x
        return there.value() + 5e-4 * float(x @ x), gradient

    end = torch.from_numpy(minimize(both, start.numpy(), jac=True, method="L-BFGS-B").x)
    hidden = data[0] @ end[:8].reshape(4, 2).T + end[8:12]
    assert float(hidden.abs().min()) < 1e-6
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = hs.find_critical_point(risk, end, ridge=1e-3, max_steps=40)
    assert found.kind == "unconverged"
    assert "kink" in found.certificate.reason

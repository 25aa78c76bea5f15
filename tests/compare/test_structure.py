"""Formulas of layers are given only where the outputs are those of the layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

import hessium as hs
from hessium.compare import assumptions, ranks, symmetries
from hessium.compare.architecture import architecture
from hessium.compare.structure import established, structure_of
from hessium.errors import InputError
from hessium.landscape.find import surface_of
from hessium.landscape.two_layer import TwoLayerSurface

torch.manual_seed(0)
X, Y = torch.randn(30, 4, dtype=torch.float64), torch.randn(30, 3, dtype=torch.float64)


def two(bias: bool = False) -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(4, 3, bias=bias), nn.Linear(3, 3, bias=bias)).double()


def risk_of(
    model: nn.Module,
    forward: Callable[[Any, Any], Tensor] | None = None,
    inputs: Any = X,
    targets: Tensor = Y,
) -> hs.EmpiricalRisk:
    return hs.EmpiricalRisk(model, hs.SquaredError(), (inputs, targets), forward=forward)


class Saturated(nn.Sequential):
    """A chain by its class, and something else by its forward."""

    def forward(self, x: Tensor) -> Tensor:
        inner: Tensor = super().forward(x)  # type: ignore[no-untyped-call]
        return torch.tanh(inner)


class Reread(nn.Module):
    """A weight that acts once as a layer and once more by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = cast(list[nn.Linear], list(two()))

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x)) * self.first.weight.norm()


class Scaled(nn.Linear):
    """A layer of one's own that is a Linear by inheritance."""

    def forward(self, x: Tensor) -> Tensor:
        return 3 * super().forward(x)


def hooked(on: int | None) -> nn.Sequential:
    model = two()
    target = model if on is None else model[on]
    target.register_forward_hook(lambda _, inputs, output: torch.tanh(output))
    return model


def patched() -> nn.Sequential:
    model = two()
    second: Any = model[1]
    second.forward = lambda x: torch.sin(nn.functional.linear(x, second.weight))
    return model


def tied() -> nn.Sequential:
    model = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)).double()
    model[1].weight = model[0].weight
    return model


def weight_normed() -> nn.Sequential:
    model = two()
    nn.utils.parametrizations.weight_norm(model[0])
    return model


FOUR = torch.randn(30, 4, dtype=torch.float64)
OTHERS: dict[str, Callable[[], hs.EmpiricalRisk]] = {
    "tanh around": lambda: risk_of(two(), lambda m, x: torch.tanh(m(x))),
    "scaled outputs": lambda: risk_of(two(), lambda m, x: 2 * m(x)),
    "square inside": lambda: risk_of(two(), lambda m, x: m[1](m[0](x) ** 2)),
    "first layer only": lambda: risk_of(two(), lambda m, x: m[0](x)),
    "other order": lambda: risk_of(
        nn.Sequential(*(nn.Linear(4, 4, bias=False) for _ in range(2))).double(),
        lambda m, x: torch.relu(m[0](m[1](x))),
        targets=FOUR,
    ),
    "more inputs": lambda: risk_of(two(), lambda m, x: m(x[0]) + x[1], (X, Y + 1)),
    "inputs changed": lambda: risk_of(two(), lambda m, x: m(torch.sin(x))),
    "subclass of Sequential": lambda: risk_of(Saturated(*two())),
    "hook of a layer": lambda: risk_of(hooked(0)),
    "hook of the model": lambda: risk_of(hooked(None)),
    "patched method": lambda: risk_of(patched()),
    "weight read again": lambda: risk_of(Reread()),
    "tied weights": lambda: risk_of(tied(), targets=FOUR),
    "layer of one's own": lambda: risk_of(
        nn.Sequential(Scaled(4, 3, bias=False), nn.Linear(3, 3, bias=False)).double()
    ),
    "weight normalisation": lambda: risk_of(weight_normed()),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_functions_have_no_formula(name: str) -> None:
    found = ranks(OTHERS[name]())
    assert found.theory is None
    assert found.agree is None
    assert not found.linear
    assert found.why in repr(found)


@pytest.mark.parametrize(
    "risk",
    [
        risk_of(two()),
        risk_of(two(bias=True)),
        risk_of(two(), lambda m, x: m[1](m[0](x))),  # the same function in other words
        risk_of(two(), inputs={"input": X}),
        hs.EmpiricalRisk(two().float(), hs.SquaredError(), (X, Y), dtype=torch.float64),
        risk_of(nn.Sequential(nn.Flatten(), *two()), inputs=X.reshape(30, 2, 2)),
    ],
)
def test_the_control_has_one(risk: hs.EmpiricalRisk) -> None:
    found = ranks(risk)
    assert found.linear
    assert found.agree
    assert "at |eigenvalue| > 1e-10" in repr(found)


def test_one_layer_under_two_names_is_no_chain() -> None:
    layer = nn.Linear(4, 4, bias=False)
    assert not architecture(nn.Sequential(layer, layer)).layers
    assert len(architecture(two()).layers) == 2


def test_a_formula_at_zero_outputs_is_tried_elsewhere() -> None:
    model: Any = two()
    with torch.no_grad():
        model[1].weight.zero_()  # tanh of zero is zero
    risk = risk_of(model, lambda m, x: torch.tanh(m(x)))
    shape, first_inputs = structure_of(risk)
    assert first_inputs is None
    assert shape.chain is None
    assert "differ" in shape.unread
    own, _ = structure_of(risk_of(model))
    assert established(risk_of(model), own, [])


def test_symmetries_say_that_the_layers_are_not_the_function() -> None:
    other = symmetries(OTHERS["square inside"]())
    assert "differ" in other.unread
    assert "linear mixings" in repr(other)
    assert not [part for part in other.parts if "mixings" in part.name]  # tried, and not there
    own = symmetries(risk_of(two()))
    assert [part.dimension for part in own.parts] == [9]
    assert not own.unread


@pytest.mark.parametrize("at_zero", [False, True])
def test_closed_forms_of_the_search_are_those_of_the_function(at_zero: bool) -> None:
    model = two()
    if at_zero:  # where tanh of the outputs has all derivatives of the outputs
        for parameter in model.parameters():
            nn.init.zeros_(parameter)
    assert isinstance(surface_of(risk_of(model), 0.0), TwoLayerSurface)
    other = surface_of(risk_of(model, lambda m, x: torch.tanh(m(x))), 0.0)
    assert not isinstance(other, TwoLayerSurface)


@pytest.mark.parametrize(
    ("loss", "why"),
    [
        (nn.NLLLoss(), "vanishes"),
        (nn.CrossEntropyLoss(ignore_index=0), "vanishes"),
        (nn.CrossEntropyLoss(weight=torch.tensor([0.0, 1.0, 1.0]).double()), "vanishes"),
    ],
)
def test_losses_that_drop_samples_have_no_formula(loss: Any, why: str) -> None:
    classes = torch.arange(30) % 3
    found = ranks(hs.EmpiricalRisk(two(), loss, (X, classes)))
    assert found.theory is None
    assert why in found.why
    assert ranks(hs.EmpiricalRisk(two(), nn.CrossEntropyLoss(), (X, classes))).theory is not None


class Recurrent(nn.Module):
    """The last state of a recurrent layer in torch's default layout, time first."""

    def __init__(self, batch_first: bool) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.rnn = nn.RNN(3, 4, batch_first=batch_first)
        self.out = nn.Linear(4, 2)
        self.batch_first = batch_first

    def forward(self, x: Tensor) -> Tensor:
        states = self.rnn(x)[0]
        return self.out(states[:, -1] if self.batch_first else states[-1])


@pytest.mark.slow
@pytest.mark.parametrize(
    "loss",
    [
        hs.SquaredError(0.5, "mean"),
        hs.SquaredError(0.5),
        nn.MSELoss(),
        nn.MSELoss(reduction="sum"),
    ],
)
def test_energy_counts_rows_of_outputs_not_time_steps(loss: Any) -> None:
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(9, 6, 3, generator=generator, dtype=torch.float64)
    y = torch.randn(6, 2, generator=generator, dtype=torch.float64)
    first, second = (Recurrent(layout).double() for layout in (False, True))
    energies = [
        assumptions(
            hs.EmpiricalRisk(m, loss, (data, y)), alpha=0.5, draws=2, rotations=1, rng=0
        ).energy
        for m, data in ((first, x), (second, x.transpose(0, 1)))
    ]
    residual = (first(x) - y).detach()
    # e = N dL/df: of the mean of squares over N samples and C outputs it is 2 r / C
    if isinstance(loss, hs.SquaredError):
        factor = 1.0 if loss.reduction == "mean" else 6.0
    else:
        factor = 1.0 if loss.reduction == "mean" else 12.0
    truth = 0.5 * float((factor * residual).square().mean())
    assert energies == pytest.approx([truth, truth])
    if loss.reduction == "mean" and isinstance(loss, hs.SquaredError):
        value = hs.EmpiricalRisk(first, loss, (x, y)).value()
        assert energies[0] == pytest.approx(value / 2)  # two outputs


class OwnLoss(nn.Module):
    """A model that returns its loss."""

    def __init__(self) -> None:
        super().__init__()
        self.net = two()

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x).square().mean()


@pytest.mark.parametrize("function", [assumptions, ranks, symmetries])
def test_a_loss_without_outputs_is_refused_in_a_sentence(function: Callable[[Any], Any]) -> None:
    model = two()
    closed = hs.EmpiricalRisk.from_closure(model, lambda m: m(X).square().mean())
    with pytest.raises(InputError, match="outputs"):
        function(closed)
    own = hs.EmpiricalRisk(OwnLoss(), lambda f, _: f, (X, Y), reduction="sum")
    with pytest.raises(InputError, match="returned by a closure or by the model itself"):
        function(own)

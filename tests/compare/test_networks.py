"""Symmetries, ranks and assumptions of real networks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import hessium as hs
from hessium.compare import assumptions, levels, ranks, symmetries
from hessium.compare.architecture import architecture
from hessium.errors import InputError
from hessium.profiles.audit_page import _repulsion
from hessium.spectra import Spectrum
from hessium.studies.real_networks.setting import plain_network, squared_risk
from hessium.theory import goe


def risk(activation: str, n: int = 16, samples: int = 200, seed: int = 0) -> hs.EmpiricalRisk:
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((2, samples, n))
    return squared_risk(plain_network((n, n, n), activation, rng), x, y)


def layered(*layers: nn.Module, classes: int = 4, inputs: tuple[int, ...] = (8,)) -> Any:
    """A classification risk of layers with weights from a seed."""
    generator = torch.Generator().manual_seed(3)
    model = nn.Sequential(*layers).double()
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.copy_(noise / max(1, parameter[0].numel()) ** 0.5)
    x = torch.randn(120, *inputs, generator=generator, dtype=torch.float64)
    y = torch.randint(0, classes, (120,), generator=generator)
    return model, x, y


@pytest.mark.parametrize(("activation", "zeros"), [("relu", 16), ("linear", 256), ("tanh", 0)])
def test_null_counts_of_the_source(activation: str, zeros: int) -> None:
    found = symmetries(risk(activation))
    assert found.measured.value == found.forced == zeros
    assert found.measured.exact
    assert found.explained
    assert all(part.error < 1e-12 for part in found.parts)


def test_the_tangents_are_those_of_the_risk_not_of_the_module() -> None:
    here = risk("relu", 5, 40)
    moved = here.at(here.theta + 0.3 * torch.ones_like(here.theta))
    assert symmetries(moved).explained
    assert symmetries(moved).forced == 5


def test_names_of_what_is_free() -> None:
    model, x, y = layered(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 5), nn.Linear(5, 4))
    x[:, 2] = 0
    with torch.no_grad():
        model[0].bias[1] = -50
    found = symmetries(hs.EmpiricalRisk(model, nn.CrossEntropyLoss(), (x, y)))
    dimensions = {part.name.split(" of ")[0].split(" b")[0]: part.dimension for part in found.parts}
    assert dimensions["rescalings"] == 6
    assert dimensions["linear mixings GL(5)"] == 25
    assert dimensions["translations"] == 5
    assert dimensions["shifts"] == 6  # one for each unit below, one for the biases
    assert dimensions["weights into 1 units"] == 9  # into the unit that is always off
    assert all(part.error < 1e-12 for part in found.parts)
    assert 54 < found.forced <= found.measured


def test_channels_count_as_units() -> None:
    model, x, y = layered(
        nn.Conv2d(1, 3, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(27, 4),
        inputs=(1, 8, 8),
    )  # fmt: skip
    found = symmetries(hs.EmpiricalRisk(model, nn.CrossEntropyLoss(), (x, y)))
    assert found.parts[0].dimension == 3
    assert found.parts[0].error < 1e-12
    # the shifts of the scores, one for each input of the last layer and one for the biases
    assert found.forced == 3 + 28


def test_frozen_and_unknown_parts_are_said() -> None:
    whole = risk("relu", 5, 40)
    part = whole.restrict(["2.weight"])
    assert symmetries(part).forced == 0
    model, x, y = layered(nn.Linear(8, 6), nn.LayerNorm(6), nn.Linear(6, 4))
    found = symmetries(hs.EmpiricalRisk(model, nn.CrossEntropyLoss(), (x, y)))
    assert "1.bias" in found.unread
    # normalisation has symmetries that the search does not know: they are left unexplained
    assert found.unexplained > 0
    assert not found.explained


def test_what_only_looks_like_a_symmetry_is_no_part() -> None:
    found = []
    for shift in (1.0, 0.0):
        first = nn.Linear(8, 6)
        first.register_forward_hook(lambda _, inputs, output, by=shift: output + by)
        model, x, y = layered(first, nn.ReLU(), nn.Linear(6, 4))
        found.append(symmetries(hs.EmpiricalRisk(model, nn.CrossEntropyLoss(), (x, y))))
    moved, plain = found
    assert [part.name.split()[0] for part in moved.parts] == ["shifts"]
    assert [part.name.split()[0] for part in moved.refuted] == ["rescalings"]
    assert moved.refuted[0].error > 1e-6
    assert "tried and not there: rescalings" in repr(moved)
    # the control: where the layer does what it says, the same candidate is a part
    assert [part.name.split()[0] for part in plain.parts] == ["rescalings", "shifts"]
    assert not plain.refuted
    assert "tried" not in repr(plain)


@pytest.mark.parametrize("own", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_scarce_data_before_a_softmax(own: bool) -> None:
    # 9 samples tell 9 x (4 - 1) scores: one zero a sample is the softmax's
    model, x, y = layered(nn.Linear(8, 6), nn.Tanh(), nn.Linear(6, 4))
    data = (x[:9], torch.eye(4, dtype=torch.float64)[y[:9]] if own else y[:9])
    whole = nn.Sequential(*model, nn.Softmax(1)) if own else model
    loss = hs.SquaredError() if own else nn.CrossEntropyLoss()
    here = hs.EmpiricalRisk(whole, loss, data)
    found = symmetries(here)
    assert found.scarce == found.measured.value == here.dim - 9 * 3
    assert found.explained
    assert assumptions(here, draws=2, rng=0).ratio == here.dim / 27


class _Functional(nn.Module):
    """A layer whose activation is a call, not a module."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.first, self.second = layers

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(torch.relu(self.first(x)))


def test_a_call_of_relu_is_a_relu() -> None:
    model, x, y = layered(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 4))
    with torch.no_grad():
        model[0].bias[1] = -50
    named, called = (
        symmetries(hs.EmpiricalRisk(one, nn.CrossEntropyLoss(), (x, y)))
        for one in (model, _Functional(model[0], model[2]))
    )
    assert called.forced == named.forced
    assert any("always off" in part.name for part in called.parts)


def test_scarce_data() -> None:
    found = symmetries(risk("tanh", 6, 5))
    assert found.forced == 0
    assert found.scarce == found.measured.value == 72 - 30


def test_architecture_of_branches_is_not_guessed() -> None:
    class Branch(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            hidden = torch.relu(self.first(x))
            return self.second(hidden) + hidden

    assert not architecture(Branch()).links
    assert architecture(nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2))).chain is not None

    class Undecided(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layer(x) if x.sum() > 0 else x

    assert "cannot be traced" in architecture(Undecided()).unread


def test_ranks_of_a_linear_network_and_the_bound_for_others() -> None:
    found = ranks(risk("linear", 5, 40))
    assert found.agree
    assert found.linear
    assert (found.gauss_newton.value, found.hessian.value) == (25, 50)
    curved = ranks(risk("tanh", 5, 40))
    assert curved.agree is False
    assert curved.gauss_newton > 25
    assert not curved.linear
    model, x, y = layered(nn.Linear(8, 3), nn.Linear(3, 4))
    biased = ranks(hs.EmpiricalRisk(model, nn.CrossEntropyLoss(), (x, y)))
    assert biased.theory is None or biased.agree
    with pytest.raises(InputError, match="float64"):
        ranks(hs.EmpiricalRisk(model.float(), nn.CrossEntropyLoss(), (x.float(), y)))


@pytest.mark.slow
def test_the_table_of_assumptions() -> None:
    found = assumptions(risk("relu", 8, 64), draws=5, rotations=99, rng=0)
    held = {check.assumption: check.holds for check in found.checks}
    assert held["residuals are normal"]
    assert held["weights 0.weight are normal"]
    assert not held["H0 is Wishart of the network's ratio"]
    assert not held["H0 and H1 are free: mixed moments"]
    assert found.ratio == pytest.approx(0.25)
    measured = {row.quantity: row.measured for row in found.predictions}
    assert measured["mean"] == pytest.approx(found.scale, rel=1e-9)
    assert "residuals" in str(found)
    assert "of 10 not rejected" in repr(found)


@pytest.mark.slow
def test_energy_does_not_depend_on_how_the_loss_is_written() -> None:
    here = risk("tanh", 5, 40)
    x, y = next(iter(here.batches()))
    same = hs.EmpiricalRisk(
        here.model, hs.SquaredError(0.5, "mean"), [(x[:7], y[:7]), (x[7:], y[7:])]
    )
    first, second = (assumptions(r, alpha=0.5, draws=2, rotations=1, rng=0) for r in (here, same))
    assert first.energy == pytest.approx(here.value() / 5)
    assert second.energy == pytest.approx(first.energy)
    with pytest.raises(InputError, match="alpha"):
        assumptions(here, alpha=0.001)


@pytest.mark.parametrize(
    ("last", "loss", "why"),
    [
        (nn.Softmax(1), hs.SquaredError(), "softmax"),
        (nn.Identity(), nn.L1Loss(), "second derivative"),
        (nn.Identity(), nn.HuberLoss(delta=1e-3), "second derivative"),
    ],
)
def test_formulas_are_not_stretched_to_other_losses(last: Any, loss: Any, why: str) -> None:
    layers = nn.Linear(4, 3, bias=False), nn.Linear(3, 3, bias=False)
    torch.manual_seed(0)
    model = nn.Sequential(*layers, last).double()
    risk = hs.EmpiricalRisk(model, loss, (torch.randn(20, 4).double(), torch.randn(20, 3).double()))
    found = ranks(risk)
    assert found.theory is None
    assert why in found.why


def test_a_page_is_written_of_three_parameters() -> None:
    rng = np.random.default_rng(5)
    x, y = torch.from_numpy(rng.standard_normal((20, 3))), torch.from_numpy(rng.random((20, 1)))
    model = nn.Linear(3, 1, bias=False).double()
    tiny = hs.EmpiricalRisk(model, hs.SquaredError(scale=0.5, reduction="mean"), (x, y))
    found = hs.audit(tiny)
    findings, arrays = found.findings, found.arrays
    verdicts = {one.claim: one for one in findings.statements}
    repel = next(one for claim, one in verdicts.items() if "spacings" in claim)
    assert repel.verdict == "not tested"
    assert "1 spacing ratios" in repel.evidence
    assert arrays["spacing_ratios"].size == 0
    with pytest.raises(InputError, match=r"H0 of .* is zero"):
        assumptions(hs.EmpiricalRisk(model, tiny.loss, (0 * x, y)))


def test_few_levels_reject_neither_ensemble() -> None:
    rng = np.random.default_rng(6)
    few, many = (
        _repulsion(levels(Spectrum.of(np.linalg.eigvalsh(goe(n, rng=rng)))), 0.01) for n in (8, 300)
    )
    assert few.verdict == many.verdict == "not rejected"
    assert "too few levels" in few.evidence
    assert "too few levels" not in many.evidence

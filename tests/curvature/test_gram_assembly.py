"""Gram matrices layer by layer equal those from whole Jacobian rows, wherever they are made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

import hessium as hs
from hessium.curvature import gram_assembly, gram_parts
from hessium.curvature.dense_assembly import WORK_BYTES, dense_outer
from hessium.curvature.gram_assembly import gram
from hessium.curvature.layer_ops import Kernel, Outer, Swapped
from support.child_memory import needs_status, numbers_of
from support.risk_cases import classes, draw, seeded


class Tokens(nn.Module):
    """A small GPT: token and position embeddings, attention, tied head, as transformers have it."""

    def __init__(self, tied: bool = True, flat: bool = False) -> None:
        super().__init__()
        self.tokens = nn.Embedding(11, 6, padding_idx=None if tied else 3)
        self.places = nn.Embedding(5, 6)
        self.norm, self.last = nn.LayerNorm(6), nn.RMSNorm(6)
        self.qkv, self.mix = nn.Linear(6, 18), nn.Linear(6, 6)
        self.up, self.down = nn.Linear(6, 9), nn.Linear(9, 6)
        self.head = nn.Linear(6, 11, bias=False)
        if tied:
            self.head.weight = self.tokens.weight
        self.flat = flat

    def forward(self, tokens: Tensor) -> Tensor:
        n, t = tokens.shape
        place = torch.arange(t) if self.flat else torch.arange(t)[None]
        x = self.tokens(tokens) + self.places(place)
        q, k, v = self.qkv(self.norm(x)).view(n, t, 3, 2, 3).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.mix(mixed.transpose(1, 2).reshape(n, t, 6))
        if self.flat:  # positions and samples as one dimension
            x = x.reshape(n * t, 6)
        x = x + self.down(F.gelu(self.up(self.last(x))))
        return self.head(x).view(n, t, 11).transpose(1, 2)


class Product(nn.Module):
    """Weights used as they stand, by addmm and by @, as in GPT-2's own layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.zeros(3, 7))
        self.bias = nn.Parameter(torch.zeros(7))
        self.second = nn.Parameter(torch.zeros(7, 2))

    def forward(self, x: Tensor) -> Tensor:
        n, t = x.shape[:2]
        hidden = torch.tanh(torch.addmm(self.bias, x.reshape(-1, 3), self.first))
        return (hidden.view(n, t, 7) @ self.second).mean(dim=1)


class Unrolled(nn.Module):
    """A recurrent net: two layers, each used at every step."""

    def __init__(self) -> None:
        super().__init__()
        self.inside, self.across, self.out = nn.Linear(3, 5), nn.Linear(5, 5), nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.zeros_like(self.inside(x[:, 0]))
        for step in x.unbind(1):
            hidden = torch.tanh(self.inside(step) + self.across(hidden))
        return self.out(hidden)


def image_net() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, stride=2, padding=(1, 2)), nn.GroupNorm(2, 4), nn.GELU(),
        nn.Conv2d(4, 6, (2, 3), padding="same", groups=2, bias=False), nn.BatchNorm2d(6),
        nn.Conv2d(6, 4, 2, dilation=2, padding=1, padding_mode="circular"), nn.ReLU(),
        nn.Conv2d(4, 4, 1, groups=4), nn.Flatten(), nn.LazyLinear(3),
    )  # fmt: skip


def line_net() -> nn.Module:
    return nn.Sequential(
        nn.Conv1d(2, 4, 3, padding="valid", dilation=2), nn.Tanh(), nn.Conv1d(4, 2, 2, stride=2),
        nn.LayerNorm([2, 3]), nn.Flatten(), nn.Linear(6, 2),
    )  # fmt: skip


def volume_net() -> nn.Module:
    return nn.Sequential(
        nn.Conv3d(1, 3, 2, stride=(1, 2, 1), padding=(0, 1, 1)), nn.Tanh(), nn.Flatten(),
        nn.LazyLinear(2),
    )  # fmt: skip


def sequence_net() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2), nn.Flatten(), nn.Linear(8, 2))


NETS: dict[str, tuple[Callable[[], nn.Module], Any]] = {
    "image": (image_net, draw(5, 2, 7, 6)),
    "line": (line_net, draw(5, 2, 10)),
    "volume": (volume_net, draw(4, 1, 3, 4, 3)),
    "sequence": (sequence_net, draw(5, 4, 3)),
    "products": (Product, draw(5, 4, 3)),
    "recurrent": (Unrolled, draw(5, 4, 3)),
    "gpt-tied": (Tokens, classes(4, 5, high=11)),
    "gpt-untied": (lambda: Tokens(tied=False), classes(4, 5, high=11)),
    "gpt-flat": (lambda: Tokens(flat=True), classes(4, 5, high=11)),
}


def risk_of(name: str, *sizes: int) -> hs.EmpiricalRisk:
    make, x = NETS[name]
    model = make().double().eval()
    with torch.no_grad():
        model(x)  # lazy layers
    model = seeded(model)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean, module.running_var = draw(6).abs(), 0.5 + draw(6, seed=2).abs()
    if name.startswith("gpt"):
        y, loss = classes(4, 5, high=11, seed=2), nn.CrossEntropyLoss()
    else:
        y, loss = classes(len(x), high=2, seed=2), nn.CrossEntropyLoss(label_smoothing=0.1)
    data = list(zip(x.split(sizes or len(x)), y.split(sizes or len(x)), strict=True))
    return hs.EmpiricalRisk(model, loss, data)


def layer_wise(risk: hs.EmpiricalRisk, work: int = WORK_BYTES, hold: int = 2**30) -> Tensor:
    matrix = gram(risk, risk.loss.hessian, work, hold)
    assert matrix is not None
    return matrix / risk.denominator


@pytest.mark.sampled
@pytest.mark.filterwarnings("ignore:scaled_dot_product_attention")
@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("name", NETS)
def test_layer_by_layer_equals_whole_rows(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = len(NETS[name][1])
    for sizes in ((), (samples - 1, 1)):
        risk = risk_of(name, *sizes)
        operator = hs.Gram(risk)
        expected = operator._from_rows(2**30)
        scale = float(expected.norm())
        assert float((layer_wise(risk) - expected).norm()) <= 1e-12 * scale
        monkeypatch.setattr(hs.Gram, "_from_rows", None)
        assert float((operator.dense() - expected).norm()) <= 1e-12 * scale
        assert "layer-wise" not in risk.refuted
        monkeypatch.undo()


@pytest.mark.sampled
@pytest.mark.filterwarnings("ignore:scaled_dot_product_attention")
@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("name", NETS)
def test_every_form_and_budget_gives_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    risk = risk_of(name)
    expected = layer_wise(risk)
    scale = float(expected.norm())
    assert float((layer_wise(risk, work=2**10) - expected).norm()) <= 1e-12 * scale
    parts: list[list[gram_parts.Part]] = []
    grouped = gram_assembly._grouped

    def split(found: list[gram_parts.Part], rows: int, hold: int) -> Any:
        parts.extend(made := grouped(found, rows, max(p.per_row for p in found) * rows * 8) or [])
        return made

    monkeypatch.setattr(gram_assembly, "_grouped", split)
    assert float((layer_wise(risk) - expected).norm()) <= 1e-12 * scale
    assert len(parts) > 1
    assert gram(risk, risk.loss.hessian, WORK_BYTES, 2**30) is not None
    monkeypatch.undo()
    assert gram(risk, risk.loss.hessian, WORK_BYTES, 8) is None
    for kind in ("positions", "samples", "formed", "pieces"):
        monkeypatch.setattr(
            gram_assembly, "parts_of", lambda b, r, n, c, kind=kind: forced(b, r, kind)
        )
        assert float((layer_wise(risk, work=2**12) - expected).norm()) <= 1e-12 * scale


def forced(batch: Any, risk: hs.EmpiricalRisk, kind: str) -> list[gram_parts.Part]:
    """Every parameter by one form, where it has that form."""
    uses = gram_parts.uses_of(batch)
    parts: list[gram_parts.Part] = []
    ways = {"positions": gram_parts.ByPositions, "samples": gram_parts.BySamples}
    if kind in ways:
        for at, call in enumerate(batch.calls):
            mine = [leaf for leaf in (call.weight, call.bias) if leaf is not None]
            once = all(len(uses[leaf]) == 1 for leaf in mine)
            if isinstance(call, Outer | Swapped) and call.weight is not None and once:
                parts.append(ways[kind](at, 1))
                for leaf in mine:
                    del uses[leaf]
    per_b = 10**9 if kind == "formed" else 1
    parts += [gram_parts.ByGradients(k, at, risk.layout.shapes[k], per_b) for k, at in uses.items()]
    return parts


@pytest.mark.sampled
@pytest.mark.filterwarnings("ignore:scaled_dot_product_attention")
@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("name", ["image", "gpt-tied", "products"])
def test_outer_products_and_frozen_parameters(name: str) -> None:
    whole = risk_of(name)
    half = whole.restrict(whole.names[::2])
    for risk in (whole, half):
        for operator in (hs.GaussNewton(risk), hs.EmpiricalFisher(risk)):
            unit = torch.eye(risk.dim, dtype=torch.float64)
            expected = operator @ unit
            assert float((operator.dense() - expected).norm()) <= 1e-12 * float(expected.norm())
        assert dense_outer(risk, risk.loss.hessian, 2**12) is not None
        assert risk.refuted == set()
        expected = hs.Gram(risk)._from_rows(2**30)
        assert float((layer_wise(risk) - expected).norm()) <= 1e-12 * float(expected.norm())


class Pooled(nn.Module):
    """A classifier of texts of any length."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.mix = nn.Embedding(11, 6), nn.Linear(6, 7)
        self.head = nn.Linear(7, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(torch.tanh(self.mix(self.tokens(tokens))).mean(dim=1))


@pytest.mark.parametrize("kind", ["positions", "samples", "formed"])
def test_batches_of_other_lengths(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    x = [classes(3, 5, high=11), classes(2, 2, high=11, seed=1), classes(2, 7, high=11, seed=2)]
    y = [classes(len(part), high=3, seed=3) for part in x]
    risk = hs.EmpiricalRisk(
        seeded(Pooled().double()), nn.CrossEntropyLoss(), list(zip(x, y, strict=True))
    )
    expected = hs.Gram(risk)._from_rows(2**30)
    monkeypatch.setattr(gram_assembly, "parts_of", lambda b, r, n, c: forced(b, r, kind))
    assert float((layer_wise(risk) - expected).norm()) <= 1e-12 * float(expected.norm())


@pytest.mark.filterwarnings("ignore:scaled_dot_product_attention")
def test_small_probabilities_do_not_slow_the_products() -> None:
    """Entries below eps^2 of the largest: none is left, and the matrix is the same."""
    columns = torch.tensor([[[0.5, 1e-3], [1e-12, 3e-14], [2e-16, 1e-40]]])
    kept = gram_assembly.without_negligible(columns)
    assert torch.equal(kept == 0, torch.tensor([[[False, False], [False, False], [True, True]]]))
    risk = risk_of("gpt-tied")
    theta = risk.theta.clone()
    theta[risk.layout.slice("tokens.weight")] *= 60.0
    risk = risk.at(theta)
    expected = hs.Gram(risk)._from_rows(2**30)
    assert float((layer_wise(risk) - expected).norm()) <= 1e-12 * float(expected.norm())


class Broken(nn.Module):
    """Each uses its parameters in another way than a layer does."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how
        self.first, self.second = nn.Linear(3, 4), nn.Linear(4, 2)
        self.scale = nn.Parameter(torch.ones(4))

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.tanh(self.first(x))
        if self.how == "own use":
            return self.second(hidden * self.scale)
        if self.how == "samples see each other":
            return self.second(hidden - hidden.mean(dim=0)) + 0 * self.first(x)[:, :2]
        if self.how == "positions before samples":
            stacked = torch.stack([hidden, hidden**2]).reshape(-1, 4)
            return self.second(stacked).view(2, -1, 2).sum(dim=0)
        assert self.how == "derivative in the inputs"
        point = x.detach().clone().requires_grad_()
        u = self.second(torch.tanh(self.first(point)))
        (slope,) = torch.autograd.grad(u.sum(), point, create_graph=True)
        return torch.cat([u, slope], dim=1)


TAPS = {
    "own use": "right",
    "samples see each other": "wrong",
    "positions before samples": "right",
    "derivative in the inputs": "refused",
}


@pytest.mark.parametrize("how", TAPS)
def test_what_the_taps_cannot_see_is_found_out(how: str) -> None:
    model = seeded(Broken(how))
    outputs = 5 if how == "derivative in the inputs" else 2
    risk = hs.EmpiricalRisk(model, hs.SquaredError(), (draw(6, 3), draw(6, outputs, seed=3)))
    operator = hs.Gram(risk)
    expected = operator._from_rows(2**30)
    assert float((operator.dense() - expected).norm()) <= 1e-12 * float(expected.norm())
    made = gram(risk, risk.loss.hessian, WORK_BYTES, 2**30)
    wrong = made is not None and float((made - expected).norm()) > 1e-3 * float(expected.norm())
    assert ("refused" if made is None else "wrong" if wrong else "right") == TAPS[how]
    assert ("layer-wise" in risk.refuted) == wrong


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("padding", [0, 1, "same"])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
def test_patches_are_those_of_unfold(stride: int, padding: Any, dilation: int) -> None:
    if padding == "same" and stride > 1:
        return
    x, weight = draw(2, 4, 7, 8), draw(6, 2, 3, 2, seed=1)
    kernel = Kernel.of((3, 2), stride, padding, dilation)
    patches = kernel.patches(x, 2)
    with torch.no_grad():
        expected = F.conv2d(x, weight, None, stride, padding, dilation, 2)
    found = torch.einsum("ngtp,gup->ngut", patches, weight.reshape(2, 3, -1))
    torch.testing.assert_close(found.reshape(expected.shape), expected, rtol=1e-12, atol=1e-12)


BUDGET = """
import sys, torch, hessium as hs
from torch import nn
torch.manual_seed(0)
model = nn.Sequential(
    nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(),
    nn.MaxPool2d(4), nn.Flatten(), nn.Linear(512, 400), nn.ReLU(), nn.Linear(400, 10))
data = torch.randn(40, 3, 16, 16), torch.randint(0, 10, (40,))
risk = hs.EmpiricalRisk(model, nn.CrossEntropyLoss(), data)
operator = hs.Gram(risk)
risk.gradient()
before = memory("VmHWM")
matrix = operator.dense(max_bytes=int(sys.argv[1]))
print(4 * risk.dim * matrix.shape[0], memory("VmHWM") - before, int("layer-wise" in risk.refuted))
"""


@needs_status
@pytest.mark.slow
def test_memory_stays_within_the_stated_budget() -> None:
    """The Jacobian would take 324 MiB."""
    budget = 100 * 2**20
    jacobian, used, refuted = numbers_of(BUDGET, budget)
    assert jacobian > 3 * budget
    assert refuted == 0
    assert used <= budget

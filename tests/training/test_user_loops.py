"""Loops as people write them: the same training to the last bit, and the right numbers."""

from __future__ import annotations

import contextlib
import functools
import logging
import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn, optim
from torch.utils.checkpoint import checkpoint

import hessium as hs
from hessium.errors import InputError
from hessium.training.companions import companions_of

X = torch.randn(48, 6, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] * X[:, 1] > 0).long()
LOSS = nn.CrossEntropyLoss()
TRACK = ("loss", "distance", "sharpness", "preconditioned_sharpness", "threshold")


def network(*middle: nn.Module) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), *middle, nn.Tanh(), nn.Linear(8, 2))


def exact(model: nn.Module, optimizer: Any = None, **options: Any) -> hs.Monitor:
    """A monitor whose records are refined until they agree with dense spectra."""
    options = {"track": TRACK if optimizer else TRACK[:3], **options}
    return hs.Monitor(model, LOSS, (X, Y), optimizer, every=1, matvecs=60, tol=1e-4, **options)


def advance(
    model: nn.Module, optimizers: Any, monitor: hs.Monitor | None = None, steps: int = 4
) -> None:
    several: Sequence[Any] = optimizers if isinstance(optimizers, list) else [optimizers]
    for _ in range(steps):
        for optimizer in several:
            optimizer.zero_grad()
        LOSS(model(X), Y).backward()
        for optimizer in several:
            optimizer.step()
        if monitor is not None:
            monitor.step()


def dense(model: nn.Module) -> tuple[Tensor, hs.EmpiricalRisk]:
    """The Hessian in double precision, column by column."""
    risk = hs.EmpiricalRisk(model, LOSS, (X, Y), dtype=torch.float64, check=False)
    return hs.Hessian(risk, check=False).dense(), risk


def top(model: nn.Module, scale: Tensor | None = None) -> float:
    matrix, _ = dense(model)
    matrix = matrix if scale is None else scale[:, None] * matrix * scale
    return float(torch.linalg.eigvalsh(matrix)[-1])


def inverse_root(optimizer: optim.Optimizer, parameters: Sequence[Tensor]) -> Tensor:
    """P^(-1/2) of Adam by its formula, parameters scaled to the threshold of the first one."""
    found, first = [], None
    groups = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    for p in parameters:
        group, state = groups[id(p)], optimizer.state[p]
        beta1, beta2 = (float(beta) for beta in group["betas"])
        t = float(state["step"])
        second = state["max_exp_avg_sq" if group["amsgrad"] else "exp_avg_sq"].double()
        scale = (1 - beta1**t) * ((second / (1 - beta2**t)).sqrt() + float(group["eps"]))
        limit = (2 + 2 * beta1) / ((1 - beta1) * float(group["lr"]))
        first = first or limit
        found.append((first / limit) ** 0.5 * scale.reshape(-1) ** -0.5)
    return torch.cat(found)


def state_of(model: nn.Module, optimizer: optim.Optimizer | None = None) -> list[Any]:
    kept = [] if optimizer is None else optimizer.state.values()
    return [
        *(t.clone() for t in model.state_dict().values()),
        *(None if p.grad is None else p.grad.clone() for p in model.parameters()),
        *(v for one in kept for v in one.values()),
        torch.get_rng_state(),
    ]


def same(one: list[Any], other: list[Any]) -> bool:
    return len(one) == len(other) and all(
        torch.equal(a, b) if isinstance(a, Tensor) and isinstance(b, Tensor) else a is b or a == b
        for a, b in zip(one, other, strict=True)
    )


def accumulating(monitored: bool) -> list[Any]:
    """Gradients wait in `.grad`; records come between forward and backward passes as well."""
    model = network(nn.BatchNorm1d(8), nn.Dropout(0.2))
    optimizer = optim.SGD(model.parameters(), 0.1, momentum=0.9, nesterov=True)
    monitor = hs.Monitor(model, LOSS, (X, Y), optimizer, every=1) if monitored else None
    for i in range(6):
        loss = LOSS(model(X[8 * i : 8 * i + 8]), Y[8 * i : 8 * i + 8])
        if monitor is not None:
            monitor.step()
        loss.backward()
        if monitor is not None:
            monitor.step()
        if i % 2:
            nn.utils.clip_grad_norm_(model.parameters(), 0.1)
            optimizer.step()
            optimizer.zero_grad(set_to_none=i == 1)
    return state_of(model, optimizer)


def with_closure(monitored: bool) -> list[Any]:
    model = network()
    optimizer = optim.LBFGS(model.parameters(), lr=0.5, max_iter=4)
    monitor = exact(model) if monitored else None

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss: Tensor = LOSS(model(X), Y)
        loss.backward()
        return loss

    for _ in range(3):
        optimizer.step(closure)
        if monitor is not None:
            record = monitor.step()
            assert record is not None
            assert record.sharpness is not None
            assert record.sharpness.value == pytest.approx(top(model), rel=1e-3)
    return state_of(model)


def inside_backward(monitored: bool) -> list[Any]:
    """Each parameter has an optimiser that steps as soon as its gradient is there."""
    model = network()
    optimizers = {p: optim.SGD([p], 0.1) for p in model.parameters()}

    def step(parameter: Any) -> None:
        optimizers[parameter].step()
        optimizers[parameter].zero_grad()

    for p in model.parameters():
        p.register_post_accumulate_grad_hook(step)
    monitor = exact(model, list(optimizers.values())) if monitored else None
    for _ in range(3):
        LOSS(model(X), Y).backward()
        if monitor is not None:
            record = monitor.step()
            assert record is not None
            assert record.sharpness is not None
            assert record.sharpness == record.preconditioned_sharpness
            assert record.sharpness.value == pytest.approx(top(model), rel=1e-3)
    return state_of(model)


def with_activation_checkpoints(monitored: bool) -> list[Any]:
    """Recomputed activations, and hooks that count."""
    plain, counts = network(), [0, 0]
    recomputed: Any = checkpoint

    class Recomputed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = plain

        def forward(self, x: Tensor) -> Tensor:
            found: Tensor = recomputed(plain, x, use_reentrant=False)
            return found

    def count(at: int) -> None:
        counts[at] += 1

    model = Recomputed()
    next(plain.parameters()).register_hook(lambda _: count(0))
    plain[2].register_full_backward_hook(lambda *_: count(1))
    optimizer = optim.SGD(model.parameters(), 0.1)
    monitor = exact(model, optimizer) if monitored else None
    advance(model, optimizer, monitor, 3)
    assert counts[0] == 3  # of parameters: in the steps of the training alone
    if monitor is not None:
        record = monitor.records[-1]
        assert record.sharpness is not None
        assert record.sharpness.value == pytest.approx(top(network_of(plain)), rel=1e-3)
    return state_of(model, optimizer)


@pytest.mark.parametrize(
    "run", [accumulating, with_closure, inside_backward, with_activation_checkpoints]
)
def test_these_loops_are_the_same_to_the_last_bit(run: Callable[[bool], list[Any]]) -> None:
    assert same(run(False), run(True))


def adversarial(monitored: bool, mode: Any = "eval") -> list[Any]:
    """The loss calls a network that is trained in turn, in training mode; `judge` is global."""
    global JUDGE
    model, JUDGE = network(nn.BatchNorm1d(8)), network_of_outputs()
    both = [optim.SGD(part.parameters(), 0.1) for part in (model, JUDGE)]
    monitor = None
    if monitored:
        monitor = hs.Monitor(
            model, fooled, (X, Y), both[0], every=1, reduction="mean", mode=mode, track=TRACK
        )
    for _ in range(3):
        for optimizer in both:
            optimizer.zero_grad()
        loss = fooled(model(X), Y) - JUDGE(X[:, :2]).mean()
        if monitor is not None:
            monitor.measure()
        loss.backward()
        for optimizer in both:
            optimizer.step()
        if monitor is not None:
            monitor.step()
    return [*state_of(model), *state_of(JUDGE), JUDGE.training, JUDGE[1].training]


def network_of_outputs() -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 1))


def fooled(outputs: Tensor, targets: Tensor) -> Tensor:
    return nn.functional.softplus(-JUDGE(outputs)).mean()


JUDGE = network_of_outputs()


@pytest.mark.filterwarnings("ignore::hessium.errors.OutsideParameterWarning")
@pytest.mark.parametrize("mode", ["eval", "train"])
def test_networks_that_the_loss_calls_are_left_alone(mode: str) -> None:
    assert same(adversarial(False), adversarial(True, mode))


def test_where_networks_that_a_loss_calls_are_found() -> None:
    model, judge = network(), network_of_outputs()

    class Holder:
        def __init__(self) -> None:
            self.judge = judge

        def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
            found: Tensor = judge(outputs).mean()
            return found

        def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
            return self(outputs, targets)

    def outer(outputs: Tensor, targets: Tensor) -> Tensor:
        return inner(outputs)

    def inner(outputs: Tensor) -> Tensor:
        found: Tensor = judge(outputs).mean() + next(model.parameters()).square().sum()
        return found

    def default(outputs: Tensor, targets: Tensor, by: nn.Module = judge) -> Tensor:
        found: Tensor = by(outputs)
        return found

    held = Holder()
    loss: Any
    for loss in (held, held.loss, outer, default, functools.partial(default, by=judge), judge):
        assert set(companions_of(model, loss)) == set(judge.modules()), loss
    for loss in (nn.functional.cross_entropy, None, model, lambda f, y: model(f)):
        assert not companions_of(model, loss)

    def early(outputs: Tensor, targets: Tensor) -> Any:
        return later(outputs)

    early.__module__ = None  # type: ignore[assignment]  # as of code that was executed as text
    assert not companions_of(model, early)  # before its variable has a value
    later = judge
    assert companions_of(model, early)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_scripted_networks_in_a_loss_do_not_matter() -> None:
    judge = torch.jit.trace(network_of_outputs().eval(), X[:, :2])
    for p in judge.parameters():
        p.requires_grad_(requires_grad=False)
    model = network()
    monitor = hs.Monitor(model, lambda f, y: judge(f).square().mean(), (X, Y), reduction="mean")
    assert monitor.measure().sharpness is not None


@pytest.mark.parametrize("around", [
    lambda: torch.autocast("cpu", torch.bfloat16), torch.no_grad, torch.inference_mode,
])  # fmt: skip
def test_contexts_around_the_step_do_not_matter(around: Callable[[], Any]) -> None:
    records, states = [], []
    for context in (contextlib.nullcontext, around):
        model = network()
        optimizer = optim.Adam(model.parameters(), 0.01)
        monitor = exact(model, optimizer)
        for _ in range(3):
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16):
                loss = LOSS(model(X), Y)
            loss.backward()
            optimizer.step()
            with context():
                monitor.step()
        records.append([r.sharpness for r in monitor.records])
        states.append(state_of(model, optimizer))
    assert records[0] == records[1]
    assert same(*states)
    bracket = records[1][-1]
    assert bracket is not None
    assert bracket.value == pytest.approx(top(model), rel=1e-3)
    assert bracket.lower <= top(model)


@pytest.mark.parametrize("options", [
    {"foreach": True}, {"fused": True}, {"amsgrad": True}, {"betas": (0.8, 0.95)},
])  # fmt: skip
def test_adam_in_its_variants(options: dict[str, Any]) -> None:
    model = network()
    groups: list[dict[str, Any]] = [
        {"params": model[0].parameters()},
        {"params": model[2].parameters(), "lr": 0.002},
    ]
    optimizer = optim.Adam(groups, 0.01, **options)
    monitor = exact(model, optimizer)
    schedule = optim.lr_scheduler.OneCycleLR(optimizer, [0.02, 0.004], total_steps=20)
    for _ in range(5):
        advance(model, optimizer, monitor, 1)
        scale = inverse_root(optimizer, list(model.parameters()))
        record = monitor.records[-1]
        assert record.preconditioned_sharpness is not None
        found = record.preconditioned_sharpness.value
        assert found == pytest.approx(top(model, scale), rel=2e-3)
        beta = optimizer.param_groups[0]["betas"][0]  # which the schedule moves as well
        limit = (2 + 2 * beta) / ((1 - beta) * optimizer.param_groups[0]["lr"])
        assert record.threshold == pytest.approx(limit)
        schedule.step()


def test_state_in_half_precision() -> None:
    model = network().bfloat16()
    optimizer = optim.Adam(model.parameters(), 0.01)
    monitor = exact(model, optimizer)
    for _ in range(3):
        optimizer.zero_grad()
        LOSS(model(X.bfloat16()), Y).backward()
        optimizer.step()
        monitor.step()
    scale = inverse_root(optimizer, list(model.parameters()))
    record = monitor.records[-1]
    assert record.preconditioned_sharpness is not None
    found = record.preconditioned_sharpness.value
    assert found == pytest.approx(top(network_of(model), scale), rel=1e-3)


def network_of(model: nn.Module) -> nn.Module:
    plain = network()
    plain.load_state_dict(model.state_dict())
    return plain


def test_several_optimisers_move_one_model() -> None:
    """Two of Adam with other settings are one with two groups; alone each sees its own part."""
    model = network()
    split = [
        optim.Adam(model[0].parameters(), 0.01),
        optim.Adam(model[2].parameters(), 0.002, betas=(0.8, 0.99)),
    ]
    monitor = exact(model, split)
    advance(model, split, monitor)
    parts: list[dict[str, Any]] = [{"params": one.param_groups[0]["params"]} for one in split]
    merged = optim.Adam(parts)
    for one, group in zip(split, merged.param_groups, strict=True):
        group |= {name: one.param_groups[0][name] for name in ("lr", "betas")}
        merged.state.update(one.state)
    scale = inverse_root(merged, list(model.parameters()))
    record = monitor.records[-1]
    assert record.preconditioned_sharpness is not None
    found = record.preconditioned_sharpness.value
    assert found == pytest.approx(top(model, scale), rel=1e-3)
    alone = exact(model, split[0]).measure().preconditioned_sharpness
    assert alone is not None
    scale[exact(model)._measurement.risk.layout.slice("2.weight").start :] = 0
    assert alone.value == pytest.approx(top(model, scale), rel=1e-3)
    with pytest.raises(InputError, match="empty list"):
        hs.Monitor(model, LOSS, (X, Y), [])


@pytest.mark.skipif(not hasattr(optim, "Muon"), reason="torch without Muon")
def test_gradients_set_to_zero_are_not_those_of_the_step() -> None:
    model = network()
    matrices = [p for p in model.parameters() if p.ndim == 2]
    optimizer = optim.Muon(matrices, 0.01, nesterov=True)
    advance(model, optimizer, None, 2)
    found = []
    for to_none in (False, True):
        optimizer.zero_grad(set_to_none=to_none)
        found.append(exact(model, optimizer).measure().preconditioned_sharpness)
    assert found[0] == found[1]


def test_freezing_and_unfreezing_keep_the_distance() -> None:
    model = network()
    optimizer = optim.SGD(model.parameters(), 0.5)
    monitor = exact(model, optimizer, track=(*TRACK, "update_sharpness"))
    start = [p.detach().clone() for p in model.parameters()]
    for i in range(9):
        if i in (3, 6):
            model[0].requires_grad_(i == 6)
        advance(model, optimizer, monitor, 1)
        record = monitor.records[-1]
        pairs = zip(model.parameters(), start, strict=True)
        moved = math.hypot(*(float((p.detach() - s).norm()) for p, s in pairs))
        assert record.distance == pytest.approx(moved, rel=1e-5)
        assert record.sharpness is not None
        assert record.sharpness.value == pytest.approx(top(model), rel=1e-3)
    saved = monitor.state_dict()
    other = network()
    other[0].requires_grad_(requires_grad=False)
    with pytest.raises(InputError, match="state: vectors of 74 numbers, and 18 parameters"):
        exact(other, optim.SGD(other.parameters(), 0.5)).load_state_dict(saved)


def test_layers_of_one_size_that_are_trained_in_turn_are_told_apart() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 2))
    model[4].requires_grad_(requires_grad=False)
    optimizer = optim.SGD(model.parameters(), 0.5)
    monitor = exact(model, track=["distance", "update_sharpness"])
    found = []
    for trained, idle in ((0, 2), (0, 2), (2, 0), (2, 0)):
        model[trained].requires_grad_(requires_grad=True)
        model[idle].requires_grad_(requires_grad=False)
        before = [p.detach().clone() for p in model[trained].parameters()]
        advance(model, optimizer, monitor, 1)
        matrix, _ = dense(model)
        pairs = zip(model[trained].parameters(), before, strict=True)
        u = torch.cat([(p.detach() - b).reshape(-1) for p, b in pairs]).double()
        found.append(monitor.records[-1].update_sharpness)
        if found[-1] is not None:
            assert found[-1] == pytest.approx(float(u @ matrix @ u / (u @ u)), rel=1e-3)
    # of the first step, and of that at which layers change places, the update is not known
    assert [one is None for one in found] == [True, False, True, False]


def test_parameters_that_are_added() -> None:
    model = network()
    optimizer = optim.Adam(model.parameters(), 0.01)
    monitor = exact(model, optimizer)
    advance(model, optimizer, monitor)
    before = monitor.records[-1].distance
    model.append(nn.Linear(2, 2))
    optimizer.add_param_group({"params": model[3].parameters(), "lr": 0.001})
    assert monitor.measure().distance == before
    advance(model, optimizer, monitor)
    record = monitor.records[-1]
    scale = inverse_root(optimizer, list(model.parameters()))
    assert record.preconditioned_sharpness is not None
    found = record.preconditioned_sharpness.value
    assert found == pytest.approx(top(model, scale), rel=1e-3)
    assert record.distance is not None
    assert before is not None
    assert record.distance > before


def test_a_copy_of_the_weights_has_no_optimiser_of_its_own() -> None:
    model = network()
    optimizer = optim.SGD(model.parameters(), 0.1)
    average = optim.swa_utils.AveragedModel(model)
    with pytest.raises(InputError, match="none of the parameters"):  # at once, not at a record
        hs.Monitor(average, LOSS, (X, Y), optimizer)
    monitor = exact(average)
    for _ in range(3):
        advance(model, optimizer, None, 1)
        average.update_parameters(model)
        monitor.step()
    record = monitor.records[-1]
    assert record.sharpness is not None
    assert record.sharpness.value == pytest.approx(top(average), rel=1e-3)


def test_a_subclass_with_a_step_of_its_own_is_named(caplog: pytest.LogCaptureFixture) -> None:
    class Mine(optim.Adam):
        def step(self, closure: Any = None) -> Any:
            return super().step(closure)

    class Named(optim.SGD):
        pass

    model = network()
    with caplog.at_level(logging.WARNING):
        hs.Monitor(model, LOSS, (X, Y), Named(model.parameters(), 0.1))
        assert not caplog.text
        hs.Monitor(model, LOSS, (X, Y), Mine(model.parameters()))
    assert "Mine has a step of its own; preconditioner and threshold are those of Adam" in (
        caplog.text
    )


def test_steps_before() -> None:
    model = network()
    monitor = hs.Monitor(model, LOSS, (X, Y), every=5, steps_before=8, track=["loss"])
    for _ in range(8):
        monitor.step()
    assert [r.step for r in monitor.records] == [10, 15]


class Spoiled(nn.Module):
    factor = 1.0

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        found: Tensor = LOSS(outputs, targets) * self.factor
        return found


@pytest.mark.parametrize("track", [
    None, ["sharpness"], ["trace"], ["batch_sharpness"], ["spectrum"],
])  # fmt: skip
def test_a_loss_that_is_not_finite_for_a_while(track: list[str] | None) -> None:
    model, loss = network(), Spoiled()
    optimizer = optim.Adam(model.parameters(), 0.01)
    data = [(X[:24], Y[:24]), (X[24:], Y[24:])]
    monitor = hs.Monitor(
        model, loss, data, optimizer, every=1, track=track, reduction="mean", spectrum_every=1
    )
    advance(model, optimizer, monitor, 2)
    loss.factor = math.nan
    bad = monitor.measure()
    assert bad.reason
    assert math.isnan(bad.loss or 0.0)
    loss.factor = 1.0
    good = monitor.measure()
    assert not good.reason
    if good.sharpness is not None:
        assert good.sharpness.value == pytest.approx(top(model), rel=0.02)


def test_a_default_device_does_not_matter() -> None:
    """On the meta device a tensor without a device of its own has no numbers."""
    model = network()
    optimizer = optim.Adam(model.parameters(), 0.01)
    monitor = hs.Monitor(model, LOSS, (X, Y), optimizer, every=1)
    advance(model, optimizer, monitor, 1)
    try:
        torch.set_default_device("meta")
        record = monitor.measure()
    finally:
        torch.set_default_device(None)
    assert record.sharpness is not None
    assert record.sharpness.value == pytest.approx(top(model), rel=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
@pytest.mark.parametrize("inside", [True, False])
def test_compiled_models(backend: str, inside: bool) -> None:
    """The backward pass of compiled graphs has no derivative; records do not go through them."""
    states = []
    for monitored in (False, True):
        torch._dynamo.reset()
        plain = network()
        model: Any = plain
        if inside:
            plain.compile(backend=backend)
        else:
            model = torch.compile(plain, backend=backend)
        optimizer = optim.Adam(model.parameters(), 0.01)
        monitor = exact(model, optimizer) if monitored else None
        advance(model, optimizer, monitor, 3)
        states.append(state_of(plain, optimizer))
        if monitor is not None:
            record = monitor.records[-1]
            assert record.sharpness is not None
            assert record.sharpness.value == pytest.approx(top(network_of(plain)), rel=1e-3)
    assert same(*states)

"""The monitor: what it records, when, and where the numbers go."""

from __future__ import annotations

import csv
import math
import os
import signal
import subprocess
import sys
import time
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from torch import nn

import hessium as hs
from hessium.errors import InputError
from hessium.figures.views import chart_of
from hessium.training import Record
from hessium.training.schedule import Budget
from hessium.training.settings import QUANTITIES

X = torch.randn(40, 4, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > X[:, 1]).long()
LOSS = nn.CrossEntropyLoss()
BATCHES = [(X[:20], Y[:20]), (X[20:], Y[20:])]


def network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 2))


def trained(steps: int, **options: Any) -> tuple[nn.Module, hs.Monitor]:
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    monitor = hs.Monitor(model, LOSS, BATCHES, optimizer, **options)
    advance(model, optimizer, monitor, steps)
    return model, monitor


def advance(model: nn.Module, optimizer: Any, monitor: hs.Monitor, steps: int) -> None:
    for _ in range(steps):
        optimizer.zero_grad()
        LOSS(model(X), Y).backward()
        optimizer.step()
        monitor.step()


def test_default_record_and_schedule() -> None:
    seen: list[Record] = []
    _, monitor = trained(7, every=3, on_record=seen.append)
    assert [r.step for r in monitor.records] == [3, 6]
    assert seen == monitor.records
    record = seen[-1]
    assert record.sharpness is not None
    assert record.preconditioned_sharpness is not None
    assert record.threshold == pytest.approx(38 / 0.01)
    assert record.sharpness.confidence == 0.95
    dear = ("most_negative", "trace", "layer_traces", "directional_sharpness", "batch_sharpness")
    assert all(getattr(seen[0], name) is not None for name in dear)
    assert all(getattr(record, name) is None for name in dear)
    assert set(dear) <= set(monitor.track)
    full = monitor.measure()
    assert all(getattr(full, name) is not None for name in dear)
    assert full.num_matvecs > 10 > record.num_matvecs
    assert record.num_matvecs > 0
    assert record.seconds > 0
    assert "sharpness" in repr(monitor)


def test_every_quantity_is_right() -> None:
    model, monitor = trained(
        4, every=2, track=QUANTITIES, probes=4, rng=1, prior_precision=1e-2
    )  # fmt: skip
    record = monitor.records[-1]
    risk = hs.EmpiricalRisk(model, LOSS, BATCHES)
    dense, gradient = hs.Hessian(risk).dense().double(), risk.gradient().double()
    values, vectors = torch.linalg.eigh(dense)
    assert record.loss == pytest.approx(risk.value(), rel=1e-5)
    assert record.gradient_norm == pytest.approx(float(gradient.norm()), rel=1e-4)
    assert record.distance == pytest.approx(
        float((risk.theta - hs.EmpiricalRisk(network(), LOSS, BATCHES).theta).norm()), rel=1e-4
    )
    assert record.sharpness is not None
    assert record.sharpness.value == pytest.approx(float(values[-1]), rel=0.02)
    assert record.most_negative is not None
    assert float(values[0]) in record.most_negative
    assert record.directional_sharpness == pytest.approx(
        float(gradient @ dense @ gradient / gradient.square().sum()), rel=1e-3
    )
    share = float(vectors[:, -1] @ gradient) ** 2 / float(gradient.square().sum())
    assert record.gradient_share == pytest.approx(share, abs=0.05)
    assert record.inertia is not None
    assert int(record.inertia.negative.value) == int((values < -1e-6 * values[-1]).sum())
    assert record.index is not None
    assert record.rank is not None
    assert int((values < -1e-6 * values[-1]).sum()) in record.index
    assert int((values.abs() > 1e-6 * values[-1]).sum()) in record.rank
    assert record.update_sharpness is not None
    assert values[0] <= record.update_sharpness <= values[-1]
    forms = []
    for batch in BATCHES:
        alone = hs.EmpiricalRisk(model, LOSS, batch)
        g = alone.gradient()
        forms.append(float(g @ (hs.Hessian(alone) @ g) / g.square().sum()))
    assert record.batch_sharpness is not None
    assert record.batch_sharpness.value == pytest.approx(np.mean(forms), rel=1e-3)


def test_traces_are_unbiased_and_sum_up() -> None:
    model, monitor = trained(1, every=1, track=["trace", "layer_traces", "gauss_newton_trace"],
                             probes=400)  # fmt: skip
    record = monitor.records[-1]
    risk = hs.EmpiricalRisk(model, LOSS, BATCHES)
    dense = hs.Hessian(risk).dense()
    assert record.trace is not None
    assert record.layer_traces is not None
    assert float(dense.trace()) in record.trace
    assert set(record.layer_traces) == {"0", "2"}
    first = dense.diagonal()[risk.layout.slice("0.weight")].sum()
    first += dense.diagonal()[risk.layout.slice("0.bias")].sum()
    assert float(first) in record.layer_traces["0"]
    total = sum(one.value for one in record.layer_traces.values())
    assert total == pytest.approx(record.trace.value)
    assert record.gauss_newton_trace is not None
    assert float(hs.GaussNewton(risk).dense().trace()) in record.gauss_newton_trace


def test_what_is_not_tracked_costs_nothing() -> None:
    _, monitor = trained(3, every=1, track=["loss", "gradient_norm"])
    assert [r.num_matvecs for r in monitor.records] == [0, 0, 0]
    _, monitor = trained(3, every=1, track=["sharpness"], bound_steps=0)
    record = monitor.records[-1]
    assert record.sharpness is not None
    assert record.sharpness.upper == math.inf
    assert record.loss is None


def test_outer_ends_are_open_where_a_record_takes_its_block_step_alone() -> None:
    _, monitor = trained(13, every=1, track=["sharpness"], tol=0.5)
    brackets = [r.sharpness for r in monitor.records]
    assert all(b is not None and b.lower <= b.value <= b.upper for b in brackets)
    closed = [b is not None and b.upper < math.inf for b in brackets]
    assert closed == [number % 3 == 0 or number == 10 for number in range(13)]
    spent = [
        r.num_matvecs for r, has_end in zip(monitor.records, closed, strict=True) if not has_end
    ]
    assert spent == [1] * 7
    _, always = trained(3, every=1, track=["sharpness"], bound_steps=1)
    assert all(r.sharpness is not None and r.sharpness.upper < math.inf for r in always.records)


def test_share_of_the_gradient_in_a_top_space() -> None:
    model, monitor = trained(6, every=2, track=["gradient_share"], top=4)
    risk = hs.EmpiricalRisk(model, LOSS, BATCHES)
    gradient = risk.gradient().double()
    _, vectors = torch.linalg.eigh(hs.Hessian(risk).dense().double())
    share = float((vectors[:, -4:].mT @ gradient).square().sum() / gradient.square().sum())
    alone = float(vectors[:, -1] @ gradient) ** 2 / float(gradient.square().sum())
    assert monitor.records[-1].gradient_share == pytest.approx(share, abs=0.01)
    assert abs(share - alone) > 0.03  # the test tells them apart
    warm, cold = (r.num_matvecs for r in (monitor.records[-1], monitor.records[0]))
    assert 0 < warm <= cold
    # more eigenvectors than parameters are all of them
    _, whole = trained(1, every=1, track=["gradient_share"], top=10**6)
    assert whole.records[0].gradient_share == pytest.approx(1, abs=1e-4)


def test_table_and_chart() -> None:
    _, monitor = trained(4, every=2, track=["sharpness", "layer_traces", "preconditioned_sharpness",
                                            "threshold"], probes=2)  # fmt: skip
    frame = monitor.to_dataframe()
    assert list(frame["step"]) == [2, 4]
    assert {"sharpness", "sharpness_lower", "layer_traces.0", "threshold"} <= set(frame.columns)
    axes = monitor.plot(Figure().add_subplot())
    assert len(axes.lines) >= 2
    heat = monitor.plot(Figure().add_subplot(), quantity="layer_traces")
    chart, _ = chart_of(monitor, quantity="layer_traces")
    assert chart.field is not None
    assert chart.field.y_names == ("0", "2")
    assert heat.collections
    traces = monitor.records[0].layer_traces
    assert traces is not None
    assert chart.field.z[1, 0] == traces["2"].value
    assert not monitor.plot(Figure().add_subplot(), quantity="sharpness").lines[1:]
    # the threshold of Adam is not one of H itself
    assert "<svg" in monitor._repr_html_()
    assert "<svg" in monitor.records[-1]._repr_html_()
    with pytest.raises(InputError, match="quantity"):
        monitor.plot(Figure().add_subplot(), quantity="trace")


def _ipython() -> types.ModuleType:
    module = types.ModuleType("IPython")
    module.version_info = (8, 24)  # type: ignore[attr-defined]
    module.get_ipython = lambda: None  # type: ignore[attr-defined]
    return module


def test_one_figure_refreshes_in_a_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []

    class Handle:
        def update(self, html: str) -> None:
            shown.append(html)

    def display(html: str, *, display_id: bool) -> Handle:
        assert display_id
        shown.append(html)
        return Handle()

    _, monitor = trained(2, every=1, track=["sharpness"])
    monitor._repr_html_()  # matplotlib asks IPython for its version when it is first imported
    monkeypatch.setitem(sys.modules, "IPython", _ipython())
    fake = types.ModuleType("IPython.display")
    fake.HTML, fake.display = str, display  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython.display", fake)
    monitor.live(quantity="sharpness")
    monitor.measure()
    assert len(shown) == 2
    assert all("<svg" in one for one in shown)
    assert shown[0] != shown[1]


def numbers(monitor: hs.Monitor) -> list[dict[str, Any]]:
    return [{k: v for k, v in r.state().items() if k != "seconds"} for r in monitor.records]


def test_a_state_resumes_to_the_same_records(tmp_path: Path) -> None:
    track = ["sharpness", "most_negative", "preconditioned_sharpness", "trace", "distance"]
    _, whole = trained(9, every=2, track=track)
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    first = hs.Monitor(model, LOSS, BATCHES, optimizer, every=2, track=track)
    advance(model, optimizer, first, 5)
    torch.save([model.state_dict(), optimizer.state_dict(), first.state_dict()], tmp_path / "c")
    saved = torch.load(tmp_path / "c", weights_only=True)
    other = network(1)
    continued = torch.optim.Adam(other.parameters(), 0.01)
    second = hs.Monitor(other, LOSS, BATCHES, continued, every=2, track=track)
    other.load_state_dict(saved[0])
    continued.load_state_dict(saved[1])
    second.load_state_dict(saved[2])
    advance(other, continued, second, 4)
    assert numbers(second) == numbers(whole)
    with pytest.raises(InputError, match="state"):
        second.load_state_dict({"step": 3})


SCRIPT = """
import sys, torch, hessium as hs
sys.path.insert(0, {tests!r})
from training.test_monitor import *
out = Path(sys.argv[1])
model = network()
optimizer = torch.optim.Adam(model.parameters(), 0.01)
monitor = hs.Monitor(model, LOSS, BATCHES, optimizer, every=2, csv=out / "records.csv")
step = 0
if (out / "checkpoint").exists():
    step, *saved = torch.load(out / "checkpoint", weights_only=True)
    for part, state in zip((model, optimizer, monitor), saved):
        part.load_state_dict(state)
while step < 20:
    advance(model, optimizer, monitor, 1)
    step += 1
    if step % 5 == 0:
        torch.save([step, model.state_dict(), optimizer.state_dict(), monitor.state_dict()],
                   out / "new")
        (out / "new").replace(out / "checkpoint")
    if step == 13 and len(sys.argv) > 2:
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
def test_a_killed_training_resumes(tmp_path: Path) -> None:
    script = SCRIPT.format(tests=str(Path(__file__).parents[1]))

    def run(folder: Path, *more: str) -> int:
        folder.mkdir(exist_ok=True)
        command = [sys.executable, "-c", script, str(folder), *more]
        return subprocess.run(command, check=False, env=os.environ).returncode

    def rows(folder: Path) -> list[dict[str, str]]:
        with (folder / "records.csv").open(encoding="utf-8") as file:
            return [
                {k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)
            ]

    assert run(tmp_path / "whole") == 0
    assert run(tmp_path / "killed", "kill") == -signal.SIGKILL
    assert [row["step"] for row in rows(tmp_path / "killed")] == ["2", "4", "6", "8", "10", "12"]
    assert run(tmp_path / "killed") == 0
    assert rows(tmp_path / "killed") == rows(tmp_path / "whole")


def test_changes_of_the_model_are_followed() -> None:
    model = network()
    monitor = hs.Monitor(model, LOSS, (X, Y), every=1, track=["sharpness"])
    first = monitor.measure()
    model[0].requires_grad_(requires_grad=False)
    second = monitor.measure()
    truth = hs.eigenpairs(hs.Hessian(hs.EmpiricalRisk(model, LOSS, (X, Y))), 1, "LA").values[0]
    assert second.sharpness is not None
    assert first.sharpness is not None
    assert second.sharpness.value == pytest.approx(truth, rel=0.02)
    assert second.sharpness.value < first.sharpness.value


def test_a_training_that_diverged_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    model = network()
    monitor = hs.Monitor(model, LOSS, (X, Y))
    with torch.no_grad():
        next(model.parameters()).fill_(math.nan)
    record = monitor.measure()
    assert math.isnan(record.loss or 0.0)
    assert record.sharpness is None
    assert "NaN" in record.reason
    assert "NaN" in caplog.text
    assert len(monitor.to_dataframe()) == 1


def test_train_mode_is_stated_and_takes_one_batch() -> None:
    model = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 2))
    before = {name: b.clone() for name, b in model.named_buffers()}
    record = hs.Monitor(model, LOSS, (X, Y), mode="train", track=["loss", "sharpness"]).measure()
    assert record.mode == "train"
    assert all(torch.equal(b, before[name]) for name, b in model.named_buffers())
    assert record.loss == pytest.approx(float(LOSS(model(X), Y).detach()), rel=1e-5)
    with pytest.raises(InputError, match="one fixed batch"):
        hs.Monitor(model, LOSS, BATCHES, mode="train")


def test_half_precision_is_measured_in_single() -> None:
    model = network().to(torch.bfloat16)
    record = hs.Monitor(model, LOSS, (X, Y), track=["sharpness"]).measure()
    truth = hs.eigenpairs(hs.Hessian(hs.EmpiricalRisk(model.float(), LOSS, (X, Y))), 1, "LA")
    assert record.sharpness is not None
    assert record.sharpness.value == pytest.approx(truth.values[0], rel=0.02)


class Clock:
    """Seconds that pass only when told."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("fraction", [0.02, 0.05, 0.2])
def test_the_budget_is_kept(fraction: float) -> None:
    clock = Clock()
    budget = Budget(fraction, clock)
    budget.price(fixed=2.0, product=1.0, least=3)
    rng = np.random.default_rng(0)
    spent, records = 0.0, []
    for step in range(1, 3001):
        clock.now += 1.0
        if budget.due(step):
            assert budget.most is not None
            cost = (2.0 + budget.most) * rng.uniform(0.8, 1.2)
            budget.begin()
            clock.now += cost
            spent += cost
            moving = 1000 < step < 2000
            budget.end(0.2 if moving else 0.02, budget.most)
            records.append(step)
    assert spent / 3000 <= fraction + 0.01
    assert spent / 3000 >= fraction - 0.01
    gaps = np.diff(records)
    assert len(gaps) > 3


def test_a_quiet_training_saves_a_fifth_of_its_budget_at_most() -> None:
    """A thousand steps whose curvature slows down: a record of nine steps, 50 steps to spend."""
    clock = Clock()
    budget = Budget(0.05, clock)
    budget.price(fixed=3.0, product=2.0, least=3)
    spent = drift = 1.0
    for step in range(1, 1001):
        clock.now += 1.0
        if budget.due(step):
            budget.begin()
            clock.now += 9.0
            spent += 9.0
            drift /= 4
            budget.end(drift, 3)
    assert 0.04 <= spent / 1000 <= 0.06


@pytest.mark.slow
def test_the_budget_of_a_training_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand steps, by processor time, which other processes do not change."""
    monkeypatch.setattr(time, "perf_counter", time.process_time)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(256, 64, generator=generator)
    y = torch.randint(0, 10, (256,), generator=generator)
    model = nn.Sequential(nn.Linear(64, 256), nn.Tanh(), nn.Linear(256, 256), nn.Tanh())
    model.append(nn.Linear(256, 10))
    optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9)
    monitor = hs.Monitor(model, LOSS, (x, y), optimizer, budget=0.05)
    monitor._schedule._clock = time.process_time  # type: ignore[attr-defined]
    steps = measured = 0.0
    for _ in range(1000):
        start = time.process_time()
        optimizer.zero_grad()
        LOSS(model(x), y).backward()
        optimizer.step()
        middle = time.process_time()
        monitor.step()
        steps, measured = steps + middle - start, measured + time.process_time() - middle
    assert len(monitor.records) > 1
    assert 0.04 <= measured / steps <= 0.06, measured / steps


def test_bad_arguments() -> None:
    model = network()
    optimizer = torch.optim.Adam(model.parameters())
    for wrong in (
        {"every": 0}, {"budget": 1.5}, {"track": ["sharpnes"]}, {"track": ["threshold"]},
        {"confidence": 1.0}, {"tol": 0.0}, {"bound_steps": -1}, {"probes": 0},
        {"track": ["batch_sharpness"]}, {"track": ["effective_dimension"]},
        {"prior_precision": -1.0},
    ):  # fmt: skip
        with pytest.raises(InputError):
            hs.Monitor(model, LOSS, (X, Y), **wrong)
    with pytest.raises(InputError, match=r"model: Adam; a torch\.nn.Module is required"):
        hs.Monitor(optimizer, LOSS, (X, Y))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="data"):
        hs.Monitor(model, LOSS, (X[:, :3], Y), optimizer)
    quasi_newton = torch.optim.LBFGS(model.parameters())
    with pytest.raises(InputError, match=r"LBFGS.*optimizer=None.*hs\.precondition"):
        hs.Monitor(model, LOSS, (X, Y), quasi_newton)
    with pytest.raises(InputError, match=r"Adadelta.*optimizer=None"):
        hs.Monitor(model, LOSS, (X, Y), torch.optim.Adadelta(model.parameters()))


def test_a_sum_of_risks_is_monitored() -> None:
    model = network()
    terms = [hs.EmpiricalRisk(model, LOSS, batch) for batch in BATCHES]
    risk = hs.SumRisk(terms, weights=[1.0, 3.0])
    optimizer = torch.optim.Adam(model.parameters(), 0.05)
    monitor = hs.Monitor(model, risk, optimizer=optimizer, every=3)
    advance(model, optimizer, monitor, 6)
    dense = hs.Hessian(risk.refreshed()).dense().double()
    record = monitor.measure()
    assert record.loss == pytest.approx(risk.refreshed().value())
    assert record.sharpness is not None
    top = float(torch.linalg.eigvalsh(dense)[-1])
    assert record.sharpness.value == pytest.approx(top, rel=0.02)
    assert record.trace is not None
    assert float(dense.trace()) in record.trace
    assert record.batch_sharpness is None
    for wrong, rule in (
        ({"data": (X, Y)}, "leave out data"),
        ({"mode": "train"}, "leave out mode"),
        ({"num_samples": 3}, "leave out num_samples"),
        ({"track": ["batch_sharpness"]}, "no common batches"),
    ):
        with pytest.raises(InputError, match=rule):
            hs.Monitor(model, risk, **wrong)
    with pytest.raises(InputError, match="another Sequential"):
        hs.Monitor(network(), risk)

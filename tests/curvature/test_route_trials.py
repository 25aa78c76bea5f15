"""The first plain products time every route, and later ones take the fastest."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import hessium as hs
from hessium.curvature.route_trials import Option, Trials, faster_on_one_thread
from support.risk_cases import Case, build

MATRIX = torch.arange(16, dtype=torch.float64).view(4, 4)


class Machine:
    """Multiplies by a matrix; each option takes the seconds that it is given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, seconds: dict[Option, float]) -> None:
        self.now, self.seconds = 0.0, seconds
        self.taken: list[tuple[Option, int]] = []
        for clock in ("process_time", "perf_counter"):
            monkeypatch.setattr(f"hessium.curvature.route_trials.time.{clock}", lambda: self.now)

    def multiply(self, columns: Tensor, option: Option) -> Tensor:
        self.now += self.seconds[option] * columns.shape[1]
        self.taken.append((option, columns.shape[1]))
        return MATRIX @ columns


def multiplied(trials: Trials, machine: Machine, columns: int, **how: int | bool) -> list[Option]:
    """Options taken for a block, whose product is compared."""
    machine.taken.clear()
    block = torch.randn(4, columns, dtype=torch.float64)
    options = {"first": 1, "room": 64, "threads": False, **how}
    found = trials.multiply(block, machine.multiply, torch.allclose, **options)  # type: ignore[arg-type]
    assert torch.allclose(found, MATRIX @ block)
    return [option for option, _ in machine.taken]


def costs(one: float, eight: float, many: float, single: float = 9.0) -> dict[Option, float]:
    every = {1: one, 8: eight, 64: many}
    return {Option(w, t): single if t else s for w, s in every.items() for t in (False, True)}


@pytest.mark.parametrize("fastest", [1, 8, 64])
@pytest.mark.parametrize("first", [1, 64])
def test_the_fastest_width_is_found(
    fastest: int, first: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = {w: 0.5 if w == fastest else 1.0 for w in (1, 8, 64)}
    machine, trials = Machine(monkeypatch, costs(times[1], times[8], times[64])), Trials()
    tried = multiplied(trials, machine, 200, first=first)
    assert {option.width for option in tried} == {1, 8, 64}
    assert multiplied(trials, machine, 200, first=first) == [Option(fastest, False)]


def test_equal_options_leave_the_untried_one(monkeypatch: pytest.MonkeyPatch) -> None:
    machine, trials = Machine(monkeypatch, costs(1.0, 0.99, 0.98)), Trials()
    multiplied(trials, machine, 300)
    assert multiplied(trials, machine, 300) == [Option(1, False)]


def test_single_vectors_are_not_tried_unless_threads_matter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine, trials = Machine(monkeypatch, costs(1.0, 1.0, 1.0, single=0.2)), Trials()
    assert multiplied(trials, machine, 1) == [Option(1, False)]
    assert not trials.seconds
    for _ in range(3):
        multiplied(trials, machine, 1, threads=True)
    assert multiplied(trials, machine, 1, threads=True) == [Option(1, True)]


def test_hopeless_options_are_timed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    machine, trials = Machine(monkeypatch, costs(1.0, 1.0, 1.0, single=5.0)), Trials()
    for _ in range(5):
        multiplied(trials, machine, 1, threads=True)
    assert len(trials.seconds[Option(1, True)]) == 1


def test_blocks_without_memory_are_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    machine, trials = Machine(monkeypatch, costs(1.0, 0.1, 0.1)), Trials()
    assert {o.width for o in multiplied(trials, machine, 100, room=10)} == {1, 8}
    assert {o.width for o in multiplied(Trials(), machine, 100, room=1)} == {1}


def test_a_wrong_block_is_refuted_and_computed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    machine, trials = Machine(monkeypatch, costs(1.0, 0.1, 0.1)), Trials()
    right = machine.multiply

    def wrong_at_once(columns: Tensor, option: Option) -> Tensor:
        return right(columns, option) * (1 if option.width == 1 else 2)

    machine.multiply = wrong_at_once  # type: ignore[method-assign]
    multiplied(trials, machine, 200)
    assert trials.refuted == {8, 64}
    assert multiplied(trials, machine, 200) == [Option(1, False)]


@pytest.mark.parametrize(("single", "taken"), [(0.5, True), (2.0, False)])
def test_announced_work_takes_one_thread_where_that_is_faster(
    single: float, taken: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(monkeypatch, costs(1.0, 1.0, 1.0, single=single))
    vector = MATRIX[:, :1]
    found = faster_on_one_thread(lambda option: machine.multiply(vector, option))
    assert found is taken
    assert len(machine.taken) <= 4


@pytest.mark.sampled
def test_plain_products_agree_on_every_route(every_third_case: Case) -> None:
    risk = build(every_third_case)
    operator = hs.Hessian(risk)
    vectors = torch.randn(
        risk.dim, 40, dtype=risk.dtype, generator=torch.Generator().manual_seed(0)
    )
    fixed = hs.Hessian(risk, check=False).prepare(1)
    expected = torch.stack([fixed @ vector for vector in vectors.unbind(1)], dim=1)
    tolerance = 1e-10 if risk.dtype == torch.float64 else 1e-4
    for _ in range(3):
        assert float((operator @ vectors - expected).norm() / expected.norm()) < tolerance


def test_operators_of_one_model_share_their_timings() -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.Tanh(), torch.nn.Linear(5, 2))
    risk = hs.EmpiricalRisk(model, torch.nn.MSELoss(), (torch.randn(8, 6), torch.randn(8, 2)))
    first = hs.Hessian(risk)
    for _ in range(2):
        first @ torch.randn(risk.dim, 64)
    known = {option: list(times) for option, times in risk.trials["Hessian"].seconds.items()}
    assert len(known) == 3
    hs.Hessian(risk.at(risk.theta + 0.1)) @ torch.randn(risk.dim, 64)
    assert risk.at(risk.theta).trials["Hessian"].seconds == known


def test_dense_matrices_do_not_depend_on_timings() -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.LayerNorm(4), torch.nn.Linear(4, 2))
    risk = hs.EmpiricalRisk(model, torch.nn.MSELoss(), (torch.randn(8, 3), torch.randn(8, 2)))
    expected = hs.Hessian(risk).dense()
    for _ in range(3):
        operator = hs.Hessian(risk)
        operator @ torch.randn(risk.dim, 100)
        assert torch.equal(operator.dense(), expected)

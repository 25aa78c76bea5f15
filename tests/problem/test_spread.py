"""Models with `fully_shard`: exact products of parameters that no process holds as a whole."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import hessium as hs
from hessium.curvature.finite_difference import CentralDifference
from hessium.errors import SelfCheckWarning
from support.risk_cases import draw
from support.worker_processes import answers_of

CASES = ["dense", "deep", "tied", "attention", "checkpointed", "frozen", "partly"]
Answers = list[dict[str, Any]]


@pytest.fixture(
    scope="module", params=[2, pytest.param(4, marks=pytest.mark.slow)], ids=["2 ranks", "4 ranks"]
)
def answers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Answers:
    return answers_of("support.spread_worker", request.param, tmp_path_factory.mktemp("spread"))


@pytest.mark.parametrize("name", CASES)
def test_numbers_are_those_of_the_plain_model_in_one_process(answers: Answers, name: str) -> None:
    for one in (answer[name] for answer in answers):
        mine, whole, same_names = one["dims"]
        assert mine == whole
        assert same_names
        assert max(one["errors"].values()) < 1e-12, one["errors"]
        assert one["untouched"]
        assert one["route"] == "graphs rebuilt, one vector after the other"


def test_parameters_are_never_gathered_all_at_once(answers: Answers) -> None:
    """At most three of fifteen layers: exchanges may hold the last ones for a moment."""
    for one in answers:
        assert 1 / 18 < one["deep"]["peak"] <= 3 / 15 + 1e-9


def test_differences_of_gradients_are_close(answers: Answers) -> None:
    for one in (answer["differences"] for answer in answers):
        assert 0 < max(one["errors"].values()) < 1e-8
        assert one["route"].startswith("differences of gradients")
        assert one["untouched"]


def test_a_risk_keeps_its_parameters_while_fsdp_trains(answers: Answers) -> None:
    for refreshed, old, trains, again in (answer["training"] for answer in answers):
        assert refreshed < 1e-12
        assert old < 1e-12
        assert trains == 1.0
        assert again < 1e-12


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("no group", "InputError: process_group: None, and fully_shard was applied"),
        ("tensor parallel", "InputError: model: parameter '0.weight' is a DTensor, as of tensor"),
        ("both", "InputError: model: '0.weight' is a DTensor with placements"),
        ("second dimension", "InputError: model: '0.weight' is a DTensor with placements"),
        ("uneven", "InputError: data: 1, 2"),
        ("gauss-newton", "InputError: risk: its parameters are spread over processes"),
        ("gram", "InputError: risk: its parameters are spread over processes"),
        ("theta", "InputError: risk: its parameters are spread over processes"),
        ("slice", "InputError: risk: its "),
        ("path", "InputError: risk: its data are shared"),
        ("names", "no error"),
        ("critical point", "InputError: risk: its "),
        ("sum", "InputError: terms: '0' has parameters that are spread"),
        ("route", "InputError: route: 'traced'; of parameters that are spread"),
        ("wrong", "SelfCheckError: Hessian(15 x 15, torch.float64, 18 samples): products"),
        ("by differences", "no error"),
    ],
)  # fmt: skip
def test_what_does_not_work_is_refused_in_one_sentence(
    answers: Answers, name: str, told: str
) -> None:
    for one in (answer["refusals"] for answer in answers):
        assert one[name].startswith(told)
        assert "\n" not in one[name]


def kinked(slope: float) -> hs.EmpiricalRisk:
    """A loss whose gradient jumps where the first parameter passes 0.1, by a multiple of slope."""

    class Kink(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.tensor([0.1 + 1e-9, 0.5, -0.3], dtype=torch.float64))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            bend = slope * torch.relu(self.w[:1] - 0.1)
            return (x * self.w).square().sum(dim=1, keepdim=True) + bend

    data = draw(8, 3), torch.zeros(8, 1, dtype=torch.float64)
    return hs.EmpiricalRisk(Kink(), hs.SquaredError(reduction="mean"), data)


def test_a_kink_between_the_points_of_a_difference_is_noticed(
    recwarn: pytest.WarningsRecorder,
) -> None:
    away = torch.tensor([0.0, 0.6, 0.8], dtype=torch.float64)
    along = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)
    for slope, expected in ((1.0, 1), (0.0, 0)):
        recwarn.clear()
        difference = CentralDifference(kinked(slope), away)
        difference(away)
        assert not recwarn.list
        assert difference.error < 1e-6
        error = difference(along) - hs.Hessian(kinked(slope), check=False) @ along
        kinks = [one for one in recwarn.list if issubclass(one.category, SelfCheckWarning)]
        assert len(kinks) == expected
        if expected:
            assert "jumps" in str(kinks[0].message)
            assert 0.3 < difference.jump / float(error.norm()) < 3  # of the size of the error
        else:
            assert difference.jump + float(error.norm()) < 1e-3

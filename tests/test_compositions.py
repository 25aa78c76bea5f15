"""Random compositions beside their oracle, and mistakes made on purpose that it must notice.

Nothing here is random: seeds are fixed, so a failure is a defect.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import hessium as hs
from composed.generator import build
from compositions import VERDICTS, examine, table

DEFECTS = ("raw error", "damage", "silent wrong")
# some of every layout, container, precision and kind of loss, none of which takes long
FEW = (
    4,
    7,
    8,
    9,
    11,
    12,
    13,
    15,
    16,
    18,
    19,
    20,
    21,
    22,
    23,
    24,
    25,
    26,
    28,
    29,
    30,
    34,
    35,
    36,
    39,
)
PLAIN = 15  # nothing unusual: every number is right


@pytest.mark.sampled
@pytest.mark.parametrize("seed", FEW)
def test_no_number_is_wrong_without_a_word(seed: int) -> None:
    outcome = examine(seed)
    assert outcome.verdict not in DEFECTS, outcome


@pytest.mark.slow
@pytest.mark.parametrize("first", range(10_000, 10_200, 20))
def test_no_number_of_many_is_wrong_without_a_word(first: int) -> None:
    outcomes = [examine(seed) for seed in range(first, first + 20)]
    assert not [o for o in outcomes if o.verdict in DEFECTS]
    # a library that refuses everything is never wrong
    assert sum(o.verdict == "right" for o in outcomes) >= 8


def test_a_seed_gives_the_same_composition_every_time() -> None:
    one, other = build(PLAIN), build(PLAIN)
    assert one.features == other.features
    assert torch.equal(one.whole(), other.whole())


def test_the_table_counts_every_verdict() -> None:
    outcome = examine(PLAIN)
    assert outcome.verdict == "right"
    assert all(verdict in table([outcome]) for verdict in VERDICTS)


def a_block_of_zeros(matrix: Tensor) -> Tensor:
    matrix = matrix.clone()
    matrix[:3, -3:] = matrix[-3:, :3] = 0
    return matrix


def one_part_in_a_thousand(matrix: Tensor) -> Tensor:
    return matrix * 1.001


@pytest.mark.parametrize("mistake", [a_block_of_zeros, one_part_in_a_thousand])
def test_a_wrong_hessian_is_noticed(
    mistake: Callable[[Tensor], Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    dense = hs.Hessian.dense
    monkeypatch.setattr(hs.Hessian, "dense", lambda self: mistake(dense(self)))
    assert wrong_checks() == {"Hessian"}


def test_a_wrong_product_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    product = hs.Hessian.__matmul__

    def shifted(self: hs.Hessian, block: Tensor) -> Tensor:
        # the self-check of the library multiplies by one or two vectors
        wide = block.dim() == 2 and block.shape[1] == 3
        return product(self, block) + (1e-3 * block if wide else 0)

    monkeypatch.setattr(hs.Hessian, "__matmul__", shifted)
    assert "Hessian products" in wrong_checks()


def test_a_wrong_denominator_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    right = inspect.getattr_static(hs.EmpiricalRisk, "denominator").fget
    wrong = property(lambda self: right(self) + 1)
    monkeypatch.setattr(hs.EmpiricalRisk, "denominator", wrong)
    assert {"value", "denominator", "gradient", "Hessian"} <= wrong_checks()


def test_a_gradient_with_a_missing_part_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    gradient = hs.EmpiricalRisk.gradient

    def cut(self: hs.EmpiricalRisk) -> Tensor:
        found = gradient(self)
        found[self.layout.slice(self.names[-1])] = 0
        return found

    monkeypatch.setattr(hs.EmpiricalRisk, "gradient", cut)
    assert "gradient" in {f.check for f in examine(PLAIN).findings}


@pytest.mark.parametrize("what", ["parameter", "generator", "attribute", "mode"])
def test_damage_is_noticed(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    value = hs.EmpiricalRisk.value

    def careless(self: hs.EmpiricalRisk) -> float:
        parameter = next(self.model.parameters())
        if what == "parameter":
            parameter.grad = torch.full_like(parameter, 7.0)
        elif what == "generator":
            torch.rand(1)
        elif what == "attribute":
            self.model.left_behind = parameter.detach()
        else:
            self.model.train()
        return value(self)

    monkeypatch.setattr(hs.EmpiricalRisk, "value", careless)
    assert examine(PLAIN).verdict == "damage"


def wrong_checks() -> set[str]:
    return {f.check for f in examine(PLAIN).findings if f.verdict == "silent wrong"}

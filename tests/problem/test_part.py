"""The first samples of batches of several kinds."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from hessium.problem.containers import tensors
from hessium.problem.part import FEWEST, shortened


def sizes(batch: Any, share: float | None = 0.125) -> list[tuple[int, ...]]:
    return [tuple(t.shape) for one in shortened([batch], share) for t in tensors(one)]


def zeros(*shape: int) -> Tensor:
    return torch.zeros(shape)


def test_tensors_mappings_and_tuples_are_cut_alike() -> None:
    assert sizes((zeros(800, 3), zeros(800))) == [(100, 3), (100,)]
    inputs = {"ids": zeros(800, 7), "mask": zeros(800, 7), "temperature": zeros()}
    assert sizes((inputs, zeros(800))) == [(100, 7), (100, 7), (), (100,)]
    assert sizes(((zeros(800, 2), [zeros(800)]), None)) == [(100, 2), (100,)]
    assert sizes((zeros(800, 3), zeros(800)), None) == [(800, 3), (800,)]


def test_few_samples_stay_together() -> None:
    assert sizes((zeros(FEWEST, 3), zeros(FEWEST)))[0][0] == FEWEST
    assert sizes((zeros(20, 3), zeros(20)))[0][0] == FEWEST


def test_few_samples_with_many_entries_are_a_part() -> None:
    assert sizes((zeros(8, 64), zeros(8, 64))) == [(2, 64), (2, 64)]
    assert sizes((zeros(8, 3, 32, 32), zeros(8)))[0][0] == 2  # one would have no variance
    assert sizes((zeros(14, 16), zeros(14)))[0][0] == 8


@pytest.mark.parametrize(
    "batch",
    [
        ({"x": zeros(100, 3), "edges": zeros(2, 300)}, zeros(100)),  # a graph
        (zeros(50, 100, 3), zeros(100)),  # time first
        (None, None),
        (torch.eye(100).to_sparse(), zeros(100)),
    ],
)
def test_batches_of_other_kinds_stay_whole(batch: Any) -> None:
    assert sizes(batch) == [tuple(t.shape) for t in tensors(batch)]


def test_inputs_that_are_differentiated_still_are() -> None:
    x = zeros(100, 2).requires_grad_()
    ((part, _),) = shortened([(x, None)], 0.5)
    assert part.requires_grad
    assert part.is_leaf
    assert x.grad is None

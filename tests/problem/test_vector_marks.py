"""Numbers by which processes notice that their vectors differ."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from hessium.errors import InputError
from hessium.problem.vector_marks import marks_of, require_same_marks


def told_apart(one: Tensor, other: Tensor) -> bool:
    marks = torch.tensor([marks_of(one), marks_of(other)], dtype=torch.float64)
    try:
        require_same_marks(marks, one.dtype, "work")
    except InputError:
        return True
    return False


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("n", [1, 3, 64, 200])
def test_vectors_with_equal_norms_and_sums_are_told_apart(n: int, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(n)
    vector = torch.randn(n, generator=generator, dtype=torch.float64).to(dtype)
    assert not told_apart(vector, vector.clone())
    assert not told_apart(vector, vector * (1 + 4 * torch.finfo(dtype).eps))  # rounded otherwise
    assert told_apart(vector, -vector)
    assert told_apart(vector, vector * (1 + 2e-3))
    unit = torch.eye(n, dtype=dtype)
    assert all(told_apart(unit[0], other) for other in unit[1:])
    if n > 1:
        assert told_apart(vector, vector.roll(1))


def test_blocks_of_any_layout_have_the_same_marks() -> None:
    block = torch.randn(130, 3, dtype=torch.float64)
    other = block.mT.contiguous().mT
    assert not told_apart(block, other)
    assert told_apart(block, block[:, [1, 0, 2]])
    assert marks_of(block[:, :0]) == [0.0, 0.0, 0.0]

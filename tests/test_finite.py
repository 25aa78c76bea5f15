"""NaN and infinite entries are found, also where sums overflow."""

from __future__ import annotations

import math

import pytest
import torch

from hessium._finite import all_finite


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
def test_one_entry_is_found(bad: float, dtype: torch.dtype) -> None:
    tensor = torch.ones(7, 5, dtype=dtype)
    assert all_finite(tensor)
    tensor[3, 2] = bad
    assert not all_finite(tensor)
    tensor[1, 1] = -bad
    assert not all_finite(tensor)


def test_a_sum_that_overflows_is_no_entry_that_does() -> None:
    large = torch.full((3,), 3e38)
    assert not math.isfinite(float(large.sum()))
    assert all_finite(large)
    assert all_finite(torch.ones(0))

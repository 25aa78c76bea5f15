"""Eigenpairs from vectors of a nearby operator."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import hessium as hs
from hessium.errors import InputError


def pair() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(300, 300, generator=generator, dtype=torch.float64) for _ in range(2))
    return a @ a.mT / 300, a @ a.mT / 300 + 2e-3 * (b + b.mT)


def test_warm_vectors_save_products_and_find_the_same() -> None:
    before, now = pair()
    known = hs.eigenpairs(before, 3, which="LA").vectors
    cold = hs.eigenpairs(now, 3, which="LA", tol=1e-3)
    warm = hs.eigenpairs(now, 3, which="LA", tol=1e-3, start=known)
    np.testing.assert_allclose(warm.values, cold.values, rtol=1e-5)
    assert warm.num_matvecs < 0.7 * cold.num_matvecs


def test_a_start_without_the_wanted_vector_finds_it() -> None:
    matrix = torch.diag(torch.arange(50.0, dtype=torch.float64))
    start = torch.eye(50, dtype=torch.float64)[:, 10]
    assert hs.eigenpairs(matrix, 1, which="LA", start=start).values[0] == pytest.approx(49)


@pytest.mark.parametrize(
    "start", [torch.ones(3), torch.zeros(4), torch.full((4,), torch.nan), torch.ones(4).double()]
)
def test_bad_starts(start: object) -> None:
    with pytest.raises(InputError, match="start"):
        hs.eigenpairs(torch.eye(4), 1, start=start)  # type: ignore[arg-type]

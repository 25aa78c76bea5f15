"""Random vectors by global index, and sums over many entries."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from hessium.linalg import vectors
from hessium.linalg.operator import SymmetricOperator
from hessium.linalg.shares import Pieces, Shares
from support.fixed_shares import FixedShares


class Elsewhere(SymmetricOperator):
    """The identity, of which this process holds some coordinates."""

    def __init__(self, by_process: list[Pieces], number: int) -> None:
        self._shares = FixedShares(by_process, number)

    @property
    def shape(self) -> tuple[int, int]:
        return (self._shares.dim, self._shares.dim)

    @property
    def dtype(self) -> torch.dtype:
        return torch.float64

    @property
    def device(self) -> torch.device:
        return torch.device("cpu")

    @property
    def shares(self) -> Shares:
        return self._shares

    def _matmat(self, block: Tensor) -> Tensor:
        return block


@pytest.mark.parametrize("dim", [1, 15, 16, 17, 100, 16 * 7 + 3, 16 * 8, 16 * 8 + 15])
def test_drawing_in_parts_gives_the_numbers_of_one_draw(
    dim: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed = int(np.random.default_rng(3).integers(2**63))
    expected = torch.randn(dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    monkeypatch.setattr(vectors, "_DRAWN", 16)
    whole = vectors.gaussian(Elsewhere([((0, dim),)], 0), np.random.default_rng(3))
    assert torch.equal(whole, expected)
    cuts = [0, dim // 3, dim // 2, dim]
    pieces: list[Pieces] = [((cuts[0], cuts[1]), (cuts[2], cuts[3])), ((cuts[1], cuts[2]),)]
    for number, mine in enumerate(pieces):
        share = vectors.gaussian_share(Elsewhere(pieces, number), np.random.default_rng(3))
        assert torch.equal(share, torch.cat([expected[a:b] for a, b in mine]))


@pytest.mark.parametrize("n", [2**14, 2**14 + 1, 2_000_003])
def test_lengths_and_inner_products_of_long_vectors_are_exact_to_rounding(n: int) -> None:
    """Kernels of torch lose five digits at 10^7 entries: their sums round with every entry."""
    rng = torch.Generator().manual_seed(0)
    rows = torch.rand(3, n, generator=rng) + 0.5
    rows[1] *= 1e-30  # squares underflow
    exact = rows.double() @ rows.double().mT
    lengths = exact.diagonal().sqrt()
    assert float((vectors.norm(rows) / lengths - 1).abs().max()) < 3e-7
    assert float(vectors.norm(rows[0]) / lengths[0] - 1) < 3e-7
    block = vectors.inner(rows[::2], rows[::2])
    assert block.dtype == torch.float32
    assert float((block / exact[::2, ::2] - 1).abs().max()) < 3e-7
    assert torch.equal(vectors.inner(rows[::2], rows[0]), vectors.inner(rows[::2], rows[:1])[:, 0])


def test_projections_of_long_vectors_leave_nothing_behind() -> None:
    n = 1_000_000
    row = torch.rand(1, n, generator=torch.Generator().manual_seed(0)) + 0.5
    unit = row / row.double().norm().float()
    left = unit[0].clone()
    assert abs(float(vectors.subtract_projection_(left, unit)) - 1) < 3e-7
    assert float(left.double().norm()) < 3e-7

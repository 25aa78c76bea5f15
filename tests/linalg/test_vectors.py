"""Random vectors by global index: any process draws its part of the numbers of one."""

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

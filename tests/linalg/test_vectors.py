"""Random vectors by global index, and shares of vectors held by one process."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hessium.linalg import vectors
from hessium.linalg.operator import SymmetricOperator
from hessium.linalg.shares import Shares, Undivided


class Elsewhere(SymmetricOperator):
    """An operator of which this process holds some coordinates."""

    def __init__(self, by_process: list[tuple[tuple[int, int], ...]], number: int) -> None:
        self._shares = Undivided(1)
        Shares.__init__(self._shares, by_process, number)

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

    def _matmat(self, block: torch.Tensor) -> torch.Tensor:
        return block


@pytest.mark.parametrize("dim", [1, 15, 16, 17, 100, 16 * 7 + 3, 16 * 8, 16 * 8 + 15])
def test_drawing_in_parts_gives_the_numbers_of_one_draw(
    dim: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(3)
    seed = int(np.random.default_rng(3).integers(2**63))
    expected = torch.randn(dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    monkeypatch.setattr(vectors, "_DRAWN", 16)
    assert torch.equal(vectors.gaussian(Elsewhere([((0, dim),)], 0), rng), expected)
    cuts = [0, dim // 3, dim // 2, dim]
    pieces = [((cuts[0], cuts[1]), (cuts[2], cuts[3])), ((cuts[1], cuts[2]),)]
    for number, mine in enumerate(pieces):
        share = vectors.gaussian_share(Elsewhere(pieces, number), np.random.default_rng(3))
        assert torch.equal(share, torch.cat([expected[a:b] for a, b in mine]))

"""A process group of one process: `python -m support.one_rank BACKEND DEVICE FILE`.

It writes the relative differences from the same numbers without a group.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

import hessium as hs
from hessium.problem.rank_shares import RankShares
from hessium.problem.ranks import Ranks
from support.rank_worker import Attention, numbers
from support.risk_cases import classes, draw, seeded


def measured(device: str, **options: Any) -> dict[str, Tensor]:
    data = [(draw(n, 3, 4, seed=n), classes(n, 3, high=5, seed=n)) for n in (2, 3)]
    batches = [(x.to(device), y.to(device)) for x, y in data]
    model = seeded(Attention()).to(device)
    risk = hs.EmpiricalRisk(model, nn.CrossEntropyLoss(), batches, **options)
    return numbers(risk, draw(risk.dim, 9, seed=3).to(device))


def main() -> None:
    backend, device, file = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    torch.set_num_threads(1)
    store = f"file://{file.with_suffix('.store')}"
    dist.init_process_group(backend, init_method=store, rank=0, world_size=1)
    expected, found = measured(device), measured(device, process_group=dist.group.WORLD)
    errors = {
        key: float((found[key] - expected[key]).norm() / (expected[key].norm() or 1.0))
        for key in expected
    }
    shares = RankShares(Ranks(dist.group.WORLD), [((0, 7), (7, 20))])
    rows = draw(3, 20).to(device)
    for key, one in (
        ("whole", shares.whole(rows)),
        ("summed", shares.added(lambda: rows, "test")),
        ("part", shares.part(rows)),
        ("sum", shares.sum(rows)),
    ):
        errors[key] = float((one - rows).abs().max())
    file.write_text(json.dumps(errors))
    dist.destroy_process_group()


if __name__ == "__main__":
    main()

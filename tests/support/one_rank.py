"""A process group of one process: `python -m support.one_rank BACKEND DEVICE FILE`.

It writes the relative differences from the same numbers without a group.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
import torch.distributed as dist

from support.rank_worker import differences_of_one_process


def main() -> None:
    backend, device, file = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    torch.set_num_threads(1)
    store = f"file://{file.with_suffix('.store')}"
    dist.init_process_group(backend, init_method=store, rank=0, world_size=1)
    file.write_text(json.dumps(differences_of_one_process(device, dist.group.WORLD)))
    dist.destroy_process_group()


if __name__ == "__main__":
    main()

"""Workers of torch.distributed on this machine: one process a rank, their answers as JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist

TESTS = Path(__file__).parents[1]
Group = TypeVar("Group")


def environment() -> dict[str, str]:
    """For a process that imports this package and the helpers of the tests, on one thread."""
    path = os.pathsep.join([str(TESTS), str(TESTS.parent / "src")])
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}


def answers_of(module: str, size: int, folder: Path) -> list[dict[str, Any]]:
    """What each of `size` processes that run `module` found."""
    command = [sys.executable, "-m", module, str(folder)]
    processes = [
        subprocess.Popen(
            [*command, str(rank), str(size)], env=environment(), stderr=subprocess.PIPE
        )
        for rank in range(size)
    ]
    errors = [process.communicate(timeout=600)[1].decode() for process in processes]
    assert not any(process.returncode for process in processes), "\n".join(errors)
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(size)]


def answer(checks: Mapping[str, Callable[[Group], Any]], group_of: Callable[[int], Group]) -> None:
    """The process of one rank, with arguments FOLDER RANK SIZE [CHECK,...].

    Args:
        checks: what to answer, by name.
        group_of: number of processes -> the argument of every check.
    """
    folder, rank, size = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    chosen = sys.argv[4].split(",") if len(sys.argv) > 4 else list(checks)
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    dist.init_process_group(
        "gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=size,
        timeout=timedelta(seconds=200),
    )  # fmt: skip
    group = group_of(size)
    answers = {name: check(group) for name, check in checks.items() if name in chosen}
    (folder / f"{rank}.json").write_text(json.dumps(answers))
    dist.destroy_process_group()

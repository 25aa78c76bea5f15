"""Workers of torch.distributed on this machine: one process a rank, their answers as JSON."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import traceback
import warnings
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist

import hessium as hs

TESTS = Path(__file__).parents[1]
# what torch and hessium import when they first need it
LATE = ("torch._dynamo", "scipy.stats", "hessium.curvature.gram_target", "hessium.curvature.places")
Group = TypeVar("Group")


def environment() -> dict[str, str]:
    """For a process that imports this package and the helpers of the tests, on one thread."""
    path = os.pathsep.join([str(TESTS), str(TESTS.parent / "src")])
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}


def answers_of(module: str, size: int, folder: Path) -> list[dict[str, Any]]:
    """What each of `size` processes that run `module` found."""
    command = [sys.executable, "-m", module, str(folder), str(size)]
    done = subprocess.run(
        command, env=environment(), stderr=subprocess.PIPE, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, done.stderr
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(size)]


def answer(checks: Mapping[str, Callable[[Group], Any]], group_of: Callable[[int], Group]) -> None:
    """The command FOLDER SIZE [CHECK,...]: one process for each rank.

    This process has imported everything and forks the ranks, so that they cost no import each.

    Args:
        checks: what to answer, by name.
        group_of: number of processes -> the argument of every check.
    """
    folder, size = Path(sys.argv[1]), int(sys.argv[2])
    names = sys.argv[3].split(",") if len(sys.argv) > 3 else list(checks)
    chosen = {name: checks[name] for name in names}
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    for module in LATE:
        importlib.import_module(module)
    for name in dir(hs):
        getattr(hs, name)
    children = []
    for rank in range(size):
        child = os.fork()
        if not child:
            status = 1
            try:
                _rank(chosen, group_of, folder, rank, size)
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(status)
        children.append(child)
    sys.exit(max(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0 for child in children))


def _rank(
    checks: Mapping[str, Callable[[Group], Any]],
    group_of: Callable[[int], Group],
    folder: Path,
    rank: int,
    size: int,
) -> None:
    dist.init_process_group(
        "gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=size,
        timeout=timedelta(seconds=200),
    )  # fmt: skip
    group = group_of(size)
    answers = {name: check(group) for name, check in checks.items()}
    (folder / f"{rank}.json").write_text(json.dumps(answers))
    dist.destroy_process_group()

"""The processes that torchrun, or srun, starts for one command."""

from __future__ import annotations

import os
import signal
import threading
import time
import warnings

import torch
import torch.distributed as dist

from hessium.problem.ranks import Ranks

_NEEDED = {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"}
_LOOK = 1.0  # seconds between two looks at the launcher
_PATIENCE = 20.0  # seconds from SIGTERM until a process that waits for others ends itself


def joined() -> Ranks:
    """The processes that were started together; this one alone without a launcher.

    The default group of torch.distributed is made from the environment variables of the launcher,
    unless the user's file has made it. It uses nccl where every process has a GPU of its own, else
    gloo. Processes other than the first show no warnings.
    """
    if not dist.is_available():
        return Ranks()
    if not dist.is_initialized():
        if not os.environ.keys() >= _NEEDED or int(os.environ["WORLD_SIZE"]) < 2:
            return Ranks()
        local, here = (int(os.environ.get(f"LOCAL_{n}", 0)) for n in ("RANK", "WORLD_SIZE"))
        gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if gpus and gpus >= max(1, here):
            torch.cuda.set_device(local)
            dist.init_process_group("nccl")
        else:
            dist.init_process_group("gloo")
    ranks = Ranks(dist.group.WORLD)
    if "TORCHELASTIC_RUN_ID" in os.environ:  # torchrun stays until its processes have ended
        threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    if ranks.rank:
        warnings.simplefilter("ignore")
    return ranks


def _end_with(launcher: int) -> None:
    """End this process soon after its launcher, which cannot do so where it was killed."""
    while os.getppid() == launcher:
        time.sleep(_LOOK)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_PATIENCE)
    os._exit(128 + signal.SIGTERM)


def left() -> None:
    """End the group, if there is one."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()

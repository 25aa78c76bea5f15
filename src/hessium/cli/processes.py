"""The processes that torchrun starts for one command."""

from __future__ import annotations

import os
import warnings

import torch
import torch.distributed as dist

from hessium.problem.ranks import Ranks

_NEEDED = {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"}


def joined() -> Ranks:
    """The processes that were started together; this one alone without a launcher.

    The default group of torch.distributed is made from the environment variables of the launcher,
    unless the user's file has made it. It uses nccl where every process has a GPU of its own, else
    gloo. Processes other than the first show no warnings.
    """
    if not dist.is_available():
        return Ranks()
    if not dist.is_initialized():
        # torchrun of one process makes a group too: the same file serves any number
        fewest = 1 if "TORCHELASTIC_RUN_ID" in os.environ else 2
        if not os.environ.keys() >= _NEEDED or int(os.environ["WORLD_SIZE"]) < fewest:
            return Ranks()
        local, here = (int(os.environ.get(f"LOCAL_{n}", 0)) for n in ("RANK", "WORLD_SIZE"))
        gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if gpus and gpus >= max(1, here):
            torch.cuda.set_device(local)
            dist.init_process_group("nccl")
        else:
            dist.init_process_group("gloo")
    ranks = Ranks(dist.group.WORLD)
    if ranks.rank:
        warnings.simplefilter("ignore")
    return ranks


def left() -> None:
    """End the group, if there is one."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()

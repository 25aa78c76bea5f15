"""What must be the same in all processes of a risk, and what they learn from each other."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import torch

from hessium.errors import InputError
from hessium.problem.data import Batches, check_batch, global_randomness_kept
from hessium.problem.graph_checks import GraphChecks

if TYPE_CHECKING:
    from hessium.problem.risk import EmpiricalRisk


def require_same_model(risk: EmpiricalRisk) -> None:
    """Check that all processes hold the same parameters and buffers, bit by bit.

    Raises:
        InputError: if a process holds others than the first one.
    """
    if risk.ranks.alone or risk.spread is not None:
        return
    mark = hashlib.blake2b(repr((risk.names, risk.layout.shapes, risk.dtype)).encode())
    for name, tensor in risk.held().items():
        mark.update(name.encode())
        mark.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    marks = risk.ranks.gathered(mark.hexdigest())
    other = next((rank for rank, one in enumerate(marks) if one != marks[0]), None)
    if other is not None:
        msg = (
            f"model: parameters or buffers of rank {other} differ from those of rank 0; load the "
            "same state on every rank (the same seed, or one file)"
        )
        raise InputError(msg)


def require_equal_batches(risk: EmpiricalRisk, batches: Batches) -> None:
    """Check that all processes have as many batches, and those of each are sound.

    They gather each parameter together, so that none can tell the others of an error then.

    Raises:
        InputError: if they do not.
    """
    own = 0
    with risk.ranks.together("counting batches"), global_randomness_kept(batches, always=True):
        for own, (inputs, targets) in enumerate(batches, start=1):
            check_batch(inputs, targets, own - 1, risk.device)
    found = risk.ranks.gathered(own)
    if len(set(found)) > 1:
        msg = (
            f"data: {', '.join(map(str, found))} batches on the ranks; where parameters are spread "
            "over processes (fully_shard), each rank needs the same number of batches"
        )
        raise InputError(msg)


def join_reach(risk: EmpiricalRisk, looks: GraphChecks) -> None:
    """Know which parameters the loss depends on in the data of the other processes."""
    if not risk.ranks.alone:
        mine = [sorted(looks.reached), sorted(looks.read_by_loss)]
        for reached, read_by_loss in risk.ranks.gathered(mine):
            looks.add_reach(reached, read_by_loss)

"""What must be the same in all processes of a risk, and what they learn from each other."""

from __future__ import annotations

import functools
import hashlib
import sys
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from hessium.errors import InputError, SharedDataWarning
from hessium.problem.containers import tensors
from hessium.problem.data import Batch, Batches, check_batch, global_randomness_kept
from hessium.problem.graph_checks import GraphChecks

if TYPE_CHECKING:
    from hessium.problem.risk import EmpiricalRisk

_SETTINGS = (bool, int, float, str, type(None))
_READ = (*_SETTINGS, Tensor)


def require_same_model(risk: EmpiricalRisk) -> None:
    """Check that all processes hold the same parameters, buffers and loss, bit by bit.

    Of a loss that is not one of torch or hessium only the name is compared.

    Raises:
        InputError: if a process holds others than the first one.
    """
    if risk.ranks.alone:
        return
    parts: dict[str, dict[str, str]] = {}
    if risk.spread is None:
        shapes = {"": _mark(repr((risk.names, risk.layout.shapes, str(risk.dtype))))}
        parts["model: names, shapes or dtype of the parameters"] = shapes
        held = {name: _mark(tensor) for name, tensor in risk.held().items()}
        parts["model: parameters or buffers"] = held
    given, reduction = risk._given
    told = {"reduction": reduction, "num_samples": risk._num_samples, **_settings(given)}
    parts["loss: settings"] = {name: _mark(one) for name, one in told.items()}
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=16).hexdigest()
    found = risk.ranks.gathered(digest)
    other = next((rank for rank, one in enumerate(found) if one != found[0]), None)
    if other is not None:
        raise InputError(_difference(risk.ranks.gathered(parts), other))


def _difference(parts: Sequence[Mapping[str, Mapping[str, str]]], other: int) -> str:
    """What is different in another process than in the first, in a sentence."""
    what = next(one for one in parts[0] if parts[0][one] != parts[other][one])
    mine, theirs = parts[0][what], parts[other][what]
    names = [name for name in {**mine, **theirs} if mine.get(name) != theirs.get(name)]
    which = f" (first {names[0]!r})" if names and names[0] else ""
    remedy = "give the same on every rank"
    if what.startswith("model"):
        remedy = "load the same state on every rank (one seed, one file, or a broadcast)"
    return f"{what} of rank {other} differ from those of rank 0{which}; {remedy}"


def _mark(value: Any) -> str:
    """A hash of a tensor or of a setting; of other objects of their name."""
    found = hashlib.blake2b(digest_size=16)
    if isinstance(value, Tensor):
        found.update(repr((tuple(value.shape), str(value.dtype))).encode())
        flat = value.detach().cpu().contiguous().reshape(-1)
        found.update(flat.view(torch.uint8).numpy().data)
    elif isinstance(value, _SETTINGS):
        found.update(repr(value).encode())
    else:
        found.update(str(getattr(value, "__qualname__", type(value).__qualname__)).encode())
    return found.hexdigest()


def _settings(loss: Any) -> dict[str, Any]:
    """What a loss of torch or of hessium depends on; of others the name."""
    found: dict[str, Any] = {}
    if isinstance(loss, functools.partial):
        found |= {key: one for key, one in loss.keywords.items() if isinstance(one, _READ)}
        loss = loss.func
    if type(loss).__module__.startswith(("torch.nn.", "hessium.")):
        found |= {key: one for key, one in vars(loss).items() if isinstance(one, _READ)}
    if isinstance(loss, nn.Module):
        found |= dict(loss.named_buffers())
    return {**found, "function": loss}


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


def warn_of_padding(risk: EmpiricalRisk, batches: Batches) -> None:
    """Warn if a sampler for training repeats samples, or leaves some out, for equal parts."""
    sampler = getattr(batches.source, "sampler", None)
    module = sys.modules.get("torch.utils.data.distributed")
    if risk.ranks.alone or module is None or not isinstance(sampler, module.DistributedSampler):
        return
    held, read = len(sampler.dataset), sampler.total_size
    if held != read:
        does = f"repeats {read - held}" if read > held else f"leaves out {held - read}"
        warnings.warn(
            f"data: DistributedSampler {does} of {held} samples, so that all ranks have as many, "
            "and the risk is that of these samples; for all samples once give each rank "
            "torch.utils.data.Subset(dataset, range(rank, len(dataset), size))",
            SharedDataWarning,
            stacklevel=5,
        )


def mark_of_batch(batch: Batch) -> float:
    """A number that other data have otherwise: of their first batch."""
    found = 0.0
    for tensor in tensors(batch):
        try:
            found = 3 * found + float(tensor.detach().sum(dtype=torch.float64))
        except Exception:  # nested, of eight bits: others tell the data apart
            continue
    return found


def warn_of_equal_data(marks: Sequence[Any]) -> None:
    """Warn if processes hold the same data.

    Args:
        marks: of each process: the first batch, and the loss of each batch.
    """
    for rank, mine in enumerate(marks):
        first = marks.index(mine)
        if mine[0] and first != rank:
            warnings.warn(
                f"data: ranks {first} and {rank} hold the same samples, which count twice; give "
                "each rank its own part, such as inputs[rank::size]",
                SharedDataWarning,
                stacklevel=6,
            )
            return

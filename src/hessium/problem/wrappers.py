"""Models wrapped for training on many processes: what is inside, or why it cannot be used."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

from torch import nn

from hessium.errors import InputError
from hessium.problem.ranks import Ranks

if TYPE_CHECKING:
    from hessium.problem.spread import Spread

_DDP = "torch.nn.parallel.distributed", "DistributedDataParallel"
_COMPILED = "torch._dynamo.eval_frame", "OptimizedModule"
_FSDP1 = "torch.distributed.fsdp", "FullyShardedDataParallel"
_FSDP2 = "torch.distributed.fsdp", "FSDPModule"
_REMEDY = (
    "; no Hessian of it is supported: apply fully_shard (FSDP2), or load the parameters into a "
    "plain module, and give process_group= for data on several processes"
)


def unwrapped(model: nn.Module, ranks: Ranks) -> tuple[nn.Module, Spread | None]:
    """The module inside a wrapper; a copy of it and the shares of its parameters if sharded.

    Args:
        model: plain, in DistributedDataParallel, or with `fully_shard` applied to it.
        ranks: the processes that hold the data.

    Raises:
        InputError: if a part of it is wrapped in another way, or its parameters are DTensors of
            tensor parallelism.
    """
    sharded = _loaded(*_FSDP2)
    if sharded is None or not any(isinstance(module, sharded) for module in model.modules()):
        return _without_wrapper(model), None
    if not ranks.grouped:
        msg = (
            "process_group: None, and fully_shard was applied to the model; give the processes "
            "over which it is sharded (torch.distributed.group.WORLD)"
        )
        raise InputError(msg)
    spread: tuple[nn.Module, Spread] = importlib.import_module(
        "hessium.problem.spread"
    ).spread_copy(model, ranks)
    return spread


def _without_wrapper(model: nn.Module) -> nn.Module:
    ddp, compiled = _loaded(*_DDP), _loaded(*_COMPILED)
    if ddp is not None:
        inside: Any = model
        if compiled is not None and isinstance(model, compiled):
            inside = model._orig_mod
        if isinstance(inside, ddp):
            model = inside.module
    for name, module in model.named_modules():
        where = f"'{name}'" if name else "the model"
        if ddp is not None and isinstance(module, ddp):
            msg = (
                f"model: its part {where} is in DistributedDataParallel, whose backward pass "
                "cannot be differentiated; give the model without it, and process_group= for data "
                "on several processes"
            )
            raise InputError(msg)
        sharded = _loaded(*_FSDP1)
        if sharded is not None and isinstance(module, sharded):
            msg = f"model: {where} is in FullyShardedDataParallel (FSDP1)"
            raise InputError(msg + _REMEDY)
    tensor = _loaded("torch.distributed.tensor", "DTensor")
    for name, parameter in model.named_parameters() if tensor is not None else ():
        if isinstance(parameter, tensor):
            msg = f"model: parameter '{name}' is a DTensor, as of tensor parallelism"
            raise InputError(msg + _REMEDY)
    return model


def _loaded(module: str, name: str) -> Any:
    """A class of torch, if its module has been imported: else nothing is an instance of it."""
    return getattr(sys.modules.get(module), name, None)

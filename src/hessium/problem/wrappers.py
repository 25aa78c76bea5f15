"""Models wrapped for training on many processes: what is inside, or why it cannot be used."""

from __future__ import annotations

import sys
from typing import Any

from torch import nn

from hessium.errors import InputError

_DDP = "torch.nn.parallel.distributed", "DistributedDataParallel"
_SHARDED = (
    ("torch.distributed.fsdp", "FullyShardedDataParallel"),
    ("torch.distributed.fsdp", "FSDPModule"),
)


def without_wrapper(model: nn.Module) -> nn.Module:
    """The module inside DistributedDataParallel, or the module itself.

    Raises:
        InputError: if a part of it is wrapped, or parameters are sharded over processes (FSDP,
            DTensor).
    """
    ddp = _loaded(*_DDP)
    if ddp is not None and isinstance(model, ddp):
        inner: nn.Module = model.module
        model = inner
    for name, module in model.named_modules():
        where = f"'{name}'" if name else "the model"
        if ddp is not None and isinstance(module, ddp):
            msg = (
                f"model: its part {where} is in DistributedDataParallel, whose backward pass "
                "cannot be differentiated; give the model without it, and process_group= for data "
                "on several processes"
            )
            raise InputError(msg)
        for place, kind in _SHARDED:
            sharded = _loaded(place, kind)
            if sharded is not None and isinstance(module, sharded):
                raise InputError(_whole(f"{where} is a {kind}"))
    tensor = _loaded("torch.distributed.tensor", "DTensor")
    for name, parameter in model.named_parameters() if tensor is not None else ():
        if isinstance(parameter, tensor):
            raise InputError(_whole(f"parameter '{name}' is a DTensor"))
    return model


def _whole(what: str) -> str:
    return (
        f"model: {what}, whose parameters are spread over processes; every process needs all "
        "parameters here: load them into a plain module, and give process_group= for data on "
        "several processes"
    )


def _loaded(module: str, name: str) -> Any:
    """A class of torch, if its module has been imported: else nothing is an instance of it."""
    return getattr(sys.modules.get(module), name, None)

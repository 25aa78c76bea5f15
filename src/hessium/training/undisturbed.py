"""A measurement that leaves no trace in the training."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from hessium._arithmetic import full_precision
from hessium.training.companions import buffers_kept


@contextmanager
def undisturbed(
    modules: Sequence[nn.Module], companions: Sequence[nn.Module] = (), *, evaluation: bool
) -> Iterator[None]:
    """Context that restores modes and global random states, also after an exception.

    Inside it gradients are on and arithmetic is in full precision, whatever the caller has set.

    Args:
        modules: whose modes are kept, with everything inside.
        companions: modules whose modes and buffers are kept, without those inside.
        evaluation: whether they are in evaluation mode inside.
    """
    parts = [part for module in modules for part in module.modules()] + list(companions)
    modes = [part.training for part in parts]
    numpy_state = np.random.get_state()  # noqa: NPY002 - the training draws from the global one
    python_state = random.getstate()
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else []
    with (
        full_precision(),
        torch.random.fork_rng(devices=list(devices)),
        torch.enable_grad(),
        buffers_kept(companions),
    ):
        try:
            if evaluation:
                for part in parts:  # not by `eval`, which models override
                    part.training = False
            yield
        finally:
            for part, mode in zip(parts, modes, strict=True):
                part.training = mode
            np.random.set_state(numpy_state)  # noqa: NPY002
            random.setstate(python_state)

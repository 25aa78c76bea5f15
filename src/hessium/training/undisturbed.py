"""A measurement that leaves no trace in the training."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn


@contextmanager
def undisturbed(modules: Sequence[nn.Module], *, evaluation: bool) -> Iterator[None]:
    """Context that restores modes and global random states, also after an exception.

    Args:
        modules: whose modes are kept, with everything inside.
        evaluation: whether they are in evaluation mode inside.
    """
    parts = [part for module in modules for part in module.modules()]
    modes = [part.training for part in parts]
    numpy_state = np.random.get_state()  # noqa: NPY002 - the training draws from the global one
    python_state = random.getstate()
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices=list(devices)), torch.enable_grad():
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

"""Data as a re-iterable of (inputs, targets) batches, read without touching any global state."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.data import DataLoader, Dataset

from hessium.errors import InputError

Batch: TypeAlias = tuple[Any, Any]


def as_batches(data: Any) -> Iterable[Batch]:
    """Check the container and make one batch of a pair of tensors.

    Args:
        data: a tuple (inputs, targets) with a tensor of targets, or a re-iterable of such pairs
            (list, DataLoader, an object of your own with `__iter__`).

    Raises:
        InputError: for a generator (it can be read only once), a Dataset (it has no batches), or
            something that is not iterable.
    """
    if isinstance(data, tuple) and len(data) == 2 and isinstance(data[1], Tensor):
        return [data]
    if isinstance(data, tuple) and len(data) == 2 and all(isinstance(d, tuple) for d in data):
        msg = (
            "data: a tuple of two tuples may be one pair or two batches; write [(inputs, targets)] "
            "for one batch, a list for several"
        )
        raise InputError(msg)
    if isinstance(data, Dataset):
        msg = f"data: {type(data).__name__} yields single samples; wrap it in a DataLoader"
        raise InputError(msg)
    if isinstance(data, Tensor) or not isinstance(data, Iterable):
        msg = (
            f"data: {type(data).__name__}; a pair (inputs, targets) or batches of such is required"
        )
        raise InputError(msg)
    if isinstance(data, Iterator):
        msg = (
            f"data: {type(data).__name__} can be read only once; "
            "give a list or a DataLoader, which can be read again for every product"
        )
        raise InputError(msg)
    return data


def iterate(batches: Iterable[Batch], dtype: torch.dtype | None = None) -> Iterator[Batch]:
    """One pass over the data.

    Args:
        batches: pairs.
        dtype: what floating-point tensors become, if given.

    Raises:
        InputError: if a batch is no pair.
    """
    for number, batch in enumerate(batches):
        if not isinstance(batch, (tuple, list)) or len(batch) != 2:
            msg = (
                f"data: batch {number} is a {type(batch).__name__}, not a pair (inputs, targets) "
                "of tensors; one batch alone is the tuple (inputs, targets)"
            )
            raise InputError(msg)
        inputs = batch[0]
        # a mapping that is no dict (a tokeniser's) hides its tensors from what walks over inputs
        plain = isinstance(inputs, Mapping) and not isinstance(inputs, dict)
        pair = (dict(inputs) if plain else inputs), batch[1]
        if dtype is not None or any(_inferred(leaf) for leaf in tree_leaves(pair)):
            pair = tree_map(lambda leaf: _ordinary(converted(leaf, dtype)), pair)
        yield pair


def _inferred(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_inference()


def _ordinary(value: Any) -> Any:
    """A copy of what was made under inference_mode, which autograd does not save."""
    return value.clone() if _inferred(value) else value


def converted(value: Any, dtype: torch.dtype | None) -> Any:
    """A floating-point tensor in that dtype, if any; anything else as it is."""
    if dtype is None or not isinstance(value, Tensor) or not value.is_floating_point():
        return value
    return value.to(dtype)


@contextmanager
def global_randomness_kept(
    batches: Iterable[Batch], *, seed: int | None = None, always: bool = False
) -> Iterator[None]:
    """Leave the global generators as they were, though a loader draws from them.

    A list of tensors draws nothing, so nothing is saved for it.

    Args:
        batches: what is about to be read.
        seed: start the generators here, so that every pass shuffles alike.
        always: also for a list, because the model may draw.
    """
    if isinstance(batches, (list, tuple)) and not always:
        yield
        return
    numpy_state = np.random.get_state()  # noqa: NPY002 - it is the global one that must be kept
    python_state = random.getstate()
    own = getattr(batches, "generator", None) if isinstance(batches, DataLoader) else None
    own_state = own.get_state() if own is not None else None
    with torch.random.fork_rng():
        try:
            if seed is not None:
                torch.manual_seed(seed)
                np.random.seed(seed)  # noqa: NPY002
                random.seed(seed)
                if own is not None:
                    own.manual_seed(seed)
            yield
        finally:
            np.random.set_state(numpy_state)  # noqa: NPY002
            random.setstate(python_state)
            if own is not None and own_state is not None:
                own.set_state(own_state)


def tensors_in(value: Any) -> list[Tensor]:
    """The tensors in a nested container."""
    return [leaf for leaf in tree_leaves(value) if isinstance(leaf, Tensor)]


def num_samples(inputs: Any) -> int | None:
    """Size of the first dimension of the first tensor in a (nested) input, None without tensors."""
    for leaf in tree_leaves(inputs):
        if isinstance(leaf, Tensor):
            return leaf.shape[0] if leaf.dim() else 1
    return None


def check_batch(inputs: Any, targets: Any, number: int, device: torch.device) -> None:
    """Every tensor of a batch is finite and lies where the model lies.

    Raises:
        InputError: naming the batch, the tensor and what is wrong with it.
    """
    for what, part in (("inputs", inputs), ("targets", targets)):
        for leaf in tree_leaves(part):
            if not isinstance(leaf, Tensor):
                continue
            if leaf.device != device:
                msg = (
                    f"data: {what} of batch {number} are on {leaf.device}, the model's parameters "
                    f"on {device}; move one of them"
                )
                raise InputError(msg)
            if leaf.is_complex():
                msg = f"data: {what} of batch {number} are complex; real numbers are required"
                raise InputError(msg)
            if leaf.is_floating_point() and not bool(torch.isfinite(leaf).all()):
                bad = int((~torch.isfinite(leaf)).sum())
                msg = (
                    f"data: {what} of batch {number} have {bad} of {leaf.numel()} entries "
                    "that are NaN or infinite"
                )
                raise InputError(msg)

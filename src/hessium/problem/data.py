"""Data as a re-iterable of (inputs, targets) batches, read without side effects."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves
from torch.utils.data import DataLoader, Dataset

from hessium._finite import all_finite
from hessium.errors import InputError
from hessium.problem.containers import entries, first_tensor, replaced, tensors

Batch: TypeAlias = tuple[Any, Any]
Targets: TypeAlias = str | Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Batches:
    """The user's batches, each read as a pair (inputs, targets).

    Attributes:
        source: the iterable, iterated once for every pass.
        targets: location of the targets in a batch, None if batches are pairs.
        alone: whether a batch that is not a pair holds only inputs, for `forward=`.
        dtype: dtype to which floating-point tensors are converted in a copy, if given.
        may_be_empty: whether batches without samples are skipped instead of refused.
    """

    source: Iterable[Any]
    targets: Targets | None = None
    alone: bool = False
    dtype: torch.dtype | None = None
    may_be_empty: bool = False

    def __iter__(self) -> Iterator[Batch]:
        for number, batch in enumerate(self.source):
            pair = self._pair(batch, number)
            if self.may_be_empty and _without_samples(pair):
                continue
            yield replaced(pair, lambda tensor: _ordinary(converted(tensor, self.dtype)))

    def _pair(self, batch: Any, number: int) -> Batch:
        if self.targets is None:
            if isinstance(batch, (tuple, list)) and len(batch) == 2:
                return batch[0], batch[1]
            if self.alone and not isinstance(batch, (tuple, list, Tensor)):
                return batch, None
            raise InputError(_not_a_pair(batch, number))
        try:
            if callable(self.targets):
                return batch, self.targets(batch)
            if isinstance(batch, Mapping):
                rest = {key: value for key, value in batch.items() if key != self.targets}
                return rest, batch[self.targets]
            return batch, getattr(batch, self.targets)
        except Exception as error:
            msg = (
                f"targets: {self.targets!r} gave no targets of batch {number}, a {_kind(batch)} "
                f"({type(error).__name__}: {error}); the name of a key or an attribute, or a "
                "function of the batch, is required"
            )
            raise InputError(msg) from error


def as_batches(
    data: Any,
    targets: Targets | None = None,
    *,
    alone: bool = False,
    dtype: torch.dtype | None = None,
    empty: bool = False,
) -> Batches:
    """Check the container; a pair or a mapping becomes one batch.

    Args:
        data: a pair (inputs, targets), or a re-iterable of such (list, DataLoader, any object with
            `__iter__`); with `targets` or `alone`, also one mapping, or a re-iterable of mappings
            or objects.
        targets: the key or attribute of a batch that holds its targets, or a function of the batch.
        alone: as in `Batches`.
        dtype: as in `Batches`.
        empty: whether batches without samples are skipped.

    Raises:
        InputError: for a generator (it can be read only once), a Dataset (it has no batches), a
            container that can be read in two ways, or something that is not iterable.
    """
    if targets is not None and not isinstance(targets, str) and not callable(targets):
        msg = f"targets: {targets!r}; the name of a key or attribute, or a function, is required"
        raise InputError(msg)
    return Batches(_source(data, targets, alone), targets, alone, dtype, empty)


def _source(data: Any, targets: Targets | None, alone: bool) -> Iterable[Any]:
    if isinstance(data, Mapping):
        if targets is None and not alone:
            msg = (
                f"data: a {_kind(data)} does not tell its targets; specify "
                "their key, for example targets='labels'"
            )
            raise InputError(msg)
        return [data]
    if isinstance(data, tuple) and len(data) == 2 and targets is None and _one_pair(data, alone):
        return [data]
    if isinstance(data, Dataset):
        msg = f"data: {type(data).__name__} yields single samples; wrap it in a DataLoader"
        raise InputError(msg)
    if isinstance(data, (Tensor, str)) or not isinstance(data, Iterable):
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


def _one_pair(data: tuple[Any, Any], alone: bool) -> bool:
    """Whether a tuple of two is (inputs, targets) and not two batches.

    Raises:
        InputError: if it is ambiguous.
    """
    if isinstance(data[1], Tensor):
        return True
    # a named tuple or a packed sequence is one object
    groups = [type(part) in (tuple, list) for part in data]
    batches = alone and data[1] is not None and type(data[0]) is type(data[1])
    if all(groups) or batches:
        one, other = (type(part).__name__ for part in data)
        kinds = f"two {one}s" if one == other else f"a {one} and a {other}"
        msg = (
            f"data: a tuple of {kinds} may be one pair, two batches, or inputs and targets by "
            "batch; write [(inputs, targets)] for one batch, a list such as "
            "list(zip(inputs, targets)) for several"
        )
        raise InputError(msg)
    return not groups[0] or len(data[0]) != 2


def _not_a_pair(batch: Any, number: int) -> str:
    if isinstance(batch, Mapping):
        keys = ", ".join(repr(key) for key in list(batch)[:4])
        return (
            f"data: batch {number} is a {_kind(batch)} with the keys {keys}, not a pair (inputs, "
            "targets); give the key of the targets, for example targets='labels', or, for a model "
            "that returns its loss, forward=lambda model, batch: model(**batch).loss"
        )
    if isinstance(batch, (tuple, list)):
        return (
            f"data: batch {number} is a {_kind(batch)}, not a pair (inputs, targets); use for "
            "example targets=lambda batch: batch[1:] with forward=lambda model, batch: "
            "model(batch[0]); the loss then gets all of these targets"
        )
    if isinstance(batch, (Tensor, str)):
        return (
            f"data: batch {number} is a {_kind(batch)}, not a pair (inputs, targets) "
            "of tensors; one batch alone is the tuple (inputs, targets)"
        )
    return (
        f"data: batch {number} is a {_kind(batch)}, not a pair (inputs, targets); give "
        "the attribute with the targets, for example targets='y'"
    )


def _kind(batch: Any) -> str:
    name = type(batch).__name__
    return f"{name} of {len(batch)}" if isinstance(batch, (tuple, list)) else name


def _ordinary(tensor: Tensor) -> Tensor:
    """A copy of an inference tensor, which autograd cannot save."""
    return tensor.clone() if tensor.is_inference() else tensor


def converted(value: Any, dtype: torch.dtype | None) -> Any:
    """A floating-point tensor converted to `dtype`, if given; other values unchanged."""
    if dtype is None or not isinstance(value, Tensor) or not value.is_floating_point():
        return value
    # of a leaf that requires gradients: a leaf again
    return value.detach().to(dtype).requires_grad_(value.requires_grad)


@contextmanager
def global_randomness_kept(
    batches: Batches, *, seed: int | None = None, always: bool = False
) -> Iterator[None]:
    """Restore the states of the global generators after a loader has drawn from them.

    Nothing is saved for a list of tensors, which draws nothing.

    Args:
        batches: the batches to be read.
        seed: seed of the generators, so that every pass has the same order.
        always: also for a list, since the model may draw.
    """
    source = batches.source
    if isinstance(source, (list, tuple)) and not always:
        yield
        return
    numpy_state = np.random.get_state()  # noqa: NPY002 - it is the global one that must be kept
    python_state = random.getstate()
    own = [(generator, generator.get_state()) for generator in _generators(source)]
    with torch.random.fork_rng():
        try:
            if seed is not None:
                torch.manual_seed(seed)
                np.random.seed(seed)  # noqa: NPY002
                random.seed(seed)
                for generator, _ in own:
                    generator.manual_seed(seed)
            yield
        finally:
            np.random.set_state(numpy_state)  # noqa: NPY002
            random.setstate(python_state)
            for generator, state in own:
                generator.set_state(state)


def _without_samples(pair: Batch) -> bool:
    found = [tensor.numel() for tensor in tensors(pair)]
    return bool(found) and not any(found)


def _generators(source: Any) -> list[torch.Generator]:
    """Those of a loader and of its samplers, each once."""
    if not isinstance(source, DataLoader):
        return []
    batched = source.batch_sampler
    owners = (source, source.sampler, batched, getattr(batched, "sampler", None))
    found = {id(g): g for g in (getattr(owner, "generator", None) for owner in owners)}
    return [g for g in found.values() if isinstance(g, torch.Generator)]


def num_samples(inputs: Any) -> int | None:
    """Size of the first dimension of the first tensor in the inputs, None without tensors.

    A guess, since time steps may come first; see `hessium.problem.samples`.
    """
    leaf = first_tensor(inputs)
    return None if leaf is None else leaf.shape[0] if leaf.dim() else 1


def check_batch(inputs: Any, targets: Any, number: int, device: torch.device) -> None:
    """Check that every tensor of a batch is finite and on the device of the model.

    Raises:
        InputError: with the batch, the tensor and the violated rule.
    """
    for what, part in (("inputs", inputs), ("targets", targets)):
        if isinstance(part, np.ndarray) or (
            isinstance(part, Tensor) and part.layout is not torch.strided and not part.is_nested
        ):
            kind = "a NumPy array" if isinstance(part, np.ndarray) else f"a tensor of {part.layout}"
            remedy = "torch.from_numpy" if isinstance(part, np.ndarray) else "to_dense()"
            msg = (
                f"data: {what} of batch {number} are {kind}; a dense tensor is required ({remedy})"
            )
            raise InputError(msg)
        if isinstance(part, Tensor) and part.is_nested and part.layout is torch.strided:
            msg = (
                f"data: {what} of batch {number} are a nested tensor of strided layout; "
                "layout=torch.jagged is required"
            )
            raise InputError(msg)
        found = tensors(part)
        elsewhere = [leaf for leaf in found if leaf.device != device]
        # objects may keep tables for themselves, on another device than the data
        outside = {id(leaf) for leaf in tree_leaves(part)}
        if elsewhere and (
            len(elsewhere) == len(found) or any(id(leaf) in outside for leaf in elsewhere)
        ):
            msg = (
                f"data: {what} of batch {number} are on {elsewhere[0].device}, the model's "
                f"parameters on {device}; move one of them"
            )
            raise InputError(msg)
        for leaf in map(entries, found):
            if leaf.is_complex():
                msg = f"data: {what} of batch {number} are complex; real numbers are required"
                raise InputError(msg)
            if leaf.is_floating_point() and not all_finite(leaf):
                bad = int((~torch.isfinite(leaf)).sum())
                msg = (
                    f"data: {what} of batch {number} have {bad} of {leaf.numel()} entries "
                    "that are NaN or infinite; if they stand for missing values, replace them by a "
                    "number and give the loss a mask together with the targets"
                )
                raise InputError(msg)

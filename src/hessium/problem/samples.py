"""Number of samples of a batch, from its outputs and targets and the denominator of the loss.

The first dimension of the inputs may be time, or the nodes of a graph. The number follows from the
rows of outputs and targets, and from the layers: a recurrent or attention layer defines which
dimension of its inputs are the sequences.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor
from torch.overrides import TorchFunctionMode

from hessium import _arguments
from hessium.errors import InputError, SampleAxisWarning
from hessium.problem.containers import tensors
from hessium.problem.losses import CallableLoss, Loss

NumSamples: TypeAlias = int | Callable[[Any, Any], int]

ASK = "pass num_samples=lambda inputs, targets: ... (samples, or tokens, of the mean)"


class SequenceWatch(TorchFunctionMode):
    """Records the numbers of sequences in recurrent and attention layers.

    Attributes:
        sizes: all numbers found in one forward pass.
        packed: numbers of packed sequences, which no shape of the inputs shows.
    """

    def __init__(self) -> None:
        super().__init__()
        self.sizes: set[int] = set()
        self.packed: set[int] = set()

    def sequences(self, inputs: Any) -> int | None:
        """The number of sequences, if there is one and the inputs have it as a dimension."""
        if len(self.sizes) != 1:
            return None
        shown = {size for t in tensors(inputs) for size in t.shape[:2]} | self.packed
        (size,) = self.sizes
        return size if size in shown else None

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Forward every call."""
        if func in _RECURRENT and len(args) == 9:
            if isinstance(args[3], bool):  # the last argument is batch_first
                self.sizes.add(args[0].shape[0 if args[8] else 1])
            else:  # of packed sequences, with the sizes of all steps
                self.sizes.add(int(args[1][0]))
                self.packed.add(int(args[1][0]))
        elif (
            (func in _CELLS and args[0].dim() == 2)
            or (func in _CONVOLUTIONS and args and args[0].dim() == args[1].dim())
            or (func is F.scaled_dot_product_attention and args and args[0].dim() > 2)
        ):
            self.sizes.add(args[0].shape[0])
        elif func is F.multi_head_attention_forward and args and args[0].dim() == 3:
            self.sizes.add(args[0].shape[1])
        return func(*args, **(kwargs or {}))


_CONVOLUTIONS = (F.conv1d, F.conv2d, F.conv3d)
_RECURRENT = (torch.lstm, torch.gru, torch.rnn_tanh, torch.rnn_relu)
_CELLS = (torch.lstm_cell, torch.gru_cell, torch.rnn_tanh_cell, torch.rnn_relu_cell)


@dataclass(frozen=True, slots=True)
class Shapes:
    """Shapes of one batch.

    Attributes:
        outputs: shape of the outputs.
        targets: sizes of the first dimensions of the tensors in the targets.
        sequences: numbers found by `SequenceWatch`.
        said: value of `num_samples`, if that is a function.
    """

    outputs: tuple[int, ...]
    targets: frozenset[int]
    sequences: int | None
    said: int | None

    @property
    def axes(self) -> frozenset[int]:
        """Candidates for the sample dimension of the outputs, from this batch."""
        sizes = self.targets
        if self.sequences is not None and self.sequences in self.outputs:
            sizes = frozenset([self.sequences])
        elif not sizes or (self.outputs and self.outputs[0] in sizes):
            return frozenset([0])
        return frozenset(axis for axis, size in enumerate(self.outputs) if size in sizes)


def shapes_of(
    outputs: Tensor,
    inputs: Any,
    targets: Any,
    sequences: int | None,
    num_samples: NumSamples | None,
    number: int,
) -> Shapes:
    """Look at one batch.

    Raises:
        InputError: if `num_samples` fails or does not return a count.
    """
    said = count_by(num_samples, inputs, targets, number) if callable(num_samples) else None
    first = [t.shape[0] for t in tensors(targets) if t.dim()]
    return Shapes(tuple(outputs.shape), frozenset(first), sequences, said)


def count_by(function: Callable[[Any, Any], int], inputs: Any, targets: Any, number: int) -> int:
    """Samples of one batch by the user's function.

    Raises:
        InputError: if it fails or does not return a count.
    """
    try:
        value = function(inputs, targets)
    except Exception as error:
        msg = (
            f"num_samples: failed on batch {number} ({type(error).__name__}: {error}); a function "
            "(inputs, targets) -> samples of that batch is required"
        )
        raise InputError(msg) from error
    if isinstance(value, Tensor) and value.numel() == 1:
        value = value.item()
    return _arguments.count(f"num_samples of batch {number}", value, at_least=0)


@dataclass(frozen=True, slots=True)
class Counts:
    """The samples of all batches.

    Attributes:
        axis: the sample dimension of the outputs.
        each: samples of every batch, in order.
        total: samples of all batches; None if unknown.
        doubt: the reason if unknown.
    """

    axis: int
    each: tuple[int, ...]
    total: int | None
    doubt: str = ""


def count(batches: Sequence[Shapes], loss: Loss, num_samples: NumSamples | None) -> Counts:
    """Count the samples of all batches.

    Raises:
        InputError: if a mean over samples depends on an unknown count.
    """
    shared = frozenset.intersection(*(b.axes for b in batches))
    axis = min(shared, default=0)
    each = tuple(b.outputs[axis] if b.outputs else 1 for b in batches)
    doubt = _doubt(batches, loss, shared)
    total = None if doubt else sum(each)
    if num_samples is None and not loss.samples_first:
        _warn_if_open(batches, shared)
    elif isinstance(num_samples, int) and len(batches) == 1:
        sizes = batches[0].outputs
        axis = sizes.index(num_samples) if sizes.count(num_samples) == 1 else axis
    if callable(num_samples):
        each = tuple(b.said or 0 for b in batches)
        return Counts(axis, each, sum(each))
    if num_samples is not None:
        if isinstance(loss, CallableLoss) and loss.by_samples and len(batches) > 1:
            _require_agreement(num_samples, total, doubt or _unequal(batches, axis))
        return Counts(axis, each, num_samples)
    if loss.by_samples:
        _require_known(batches, loss, axis, doubt)
    return Counts(axis, each, total, doubt)


def _warn_if_open(batches: Sequence[Shapes], shared: frozenset[int]) -> None:
    """Warn if the first dimension is taken as the samples by convention alone."""
    several = [b for b in batches if len(b.outputs) > 2]
    untold = [b for b in several if b.sequences is None or len(shared) > 1]
    if untold:
        warnings.warn(
            f"outputs have shape {untold[0].outputs}, and neither the targets nor a recurrent, "
            "attention or convolution layer determines the sample dimension: the first one is "
            "used (num_samples= gives the number of samples)",
            SampleAxisWarning,
            stacklevel=8,
        )


def _doubt(batches: Sequence[Shapes], loss: Loss, shared: frozenset[int]) -> str:
    """Reason why the samples cannot be counted, or an empty string."""
    if not isinstance(loss, CallableLoss):  # all others have made sure of the shapes
        if _timed(batches) and all(b.sequences is None for b in batches):
            return (
                f"the first dimension of the outputs is {batches[0].outputs[0]} in every batch and "
                "another one differs, so either may be the samples"
            )
        return ""
    for number, batch in enumerate(batches):
        if not batch.outputs:
            return f"the model returns one number for batch {number}, which has no sample dimension"
        if not batch.axes:
            rows = " and ".join(str(size) for size in sorted(batch.targets))
            return (
                f"outputs of batch {number} have shape {batch.outputs}, its targets {rows} rows, "
                "which is not a dimension of the outputs"
            )
    return "" if shared else "no dimension of the outputs matches the samples in every batch"


def _timed(batches: Sequence[Shapes]) -> bool:
    """Whether all batches have one first dimension, but differ in another one."""
    return len({b.outputs[:1] for b in batches}) == 1 and bool(_unequal(batches, 0))


def _unequal(batches: Sequence[Shapes], axis: int) -> str:
    """Difference between the outputs per sample in two batches, or an empty string."""
    shapes = [b.outputs[:axis] + b.outputs[axis + 1 :] for b in batches]
    for number, shape in enumerate(shapes):
        if shape != shapes[0]:
            return (
                f"outputs have shape {batches[0].outputs} in batch 0 and {batches[number].outputs} "
                f"in batch {number}, so they differ in more than the number of samples"
            )
    return ""


def _require_known(batches: Sequence[Shapes], loss: Loss, axis: int, doubt: str) -> None:
    if isinstance(loss, CallableLoss):
        if len(batches) == 1:  # the mean of one batch is the mean of all data
            return
        why = doubt or _unequal(batches, axis)
        if why:
            msg = (
                f"data: {why}, and reduction='mean' over {len(batches)} batches needs the weight "
                f"of each; {ASK}, or reduction= as a function of the targets"
            )
            raise InputError(msg)
        return
    if axis or _timed(batches):
        where = (
            f"in the layers of the model samples are dimension {axis}"
            if axis
            else "only another one differs between the batches"
        )
        msg = (
            f"loss: {loss!r} is a mean over dimension 0 of the outputs, of shape "
            f"{batches[0].outputs}, but {where}; {ASK}"
        )
        raise InputError(msg)


def _require_agreement(num_samples: int, total: int | None, why: str) -> None:
    if why or total != num_samples:
        msg = (
            f"num_samples: {num_samples}, of all batches together, while "
            f"{why or f'the outputs have {total} rows'}; with reduction='mean' and several batches "
            "a function (inputs, targets) -> samples of that batch is required"
        )
        raise InputError(msg)


def check_num_samples(num_samples: Any) -> NumSamples | None:
    """Check that `num_samples` is None, a function, or a positive integer.

    Raises:
        InputError: for anything else.
    """
    if num_samples is None or callable(num_samples):
        return num_samples
    return _arguments.count("num_samples", num_samples)


def denominator_of(loss: Loss, counts: Counts, denominators: Sequence[float]) -> float:
    """D: 1 for a sum; the number of samples, or the denominator of the loss.

    Raises:
        InputError: if it is zero.
    """
    if loss.reduction == "sum":
        return 1.0
    if loss.by_samples:
        told = not isinstance(loss, CallableLoss) and counts.total is not None
        total = float(counts.total) if told and counts.total else float(sum(counts.each))
    else:
        total = math.fsum(denominators)
    if not total > 0:
        msg = (
            f"data: the mean is over {total:g} targets (all ignored or of weight zero); "
            "at least one must count"
        )
        raise InputError(msg)
    return total

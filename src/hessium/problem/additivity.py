"""Checks whether a user's loss is additive over batches, and whether it couples samples.

With several batches the risk is a sum over batches, so the loss must not depend on the split into
batches. A mean over tokens declared as a mean over samples, a contrastive loss and a partial
likelihood are not additive and would silently define another function.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from hessium.errors import InputError
from hessium.problem.losses import CallableLoss, Counted

_Part: TypeAlias = tuple[Tensor, Any]
_FEW = 8  # number of samples of the first batch that are joined to later ones


class Additivity:
    """Checks of the loss of every batch in one pass over the data.

    The loss of a batch is compared with those of its two parts, and the loss of the batch joined
    with some samples of the first one with those of the two. If the loss fails or is not finite on
    a part, the check is inconclusive.

    Args:
        loss: the user's.

    Attributes:
        found: data on which it is not additive.
        batches: number of checked batches.
        decided: whether the loss could be evaluated on parts at all.
    """

    def __init__(self, loss: CallableLoss) -> None:
        self._loss = loss
        self._first: _Part | None = None
        self.batches = 0
        self.decided = False
        self.found: str | None = None

    def at_batch(self, outputs: Tensor, targets: Any, axis: int | None) -> None:
        """Check one batch.

        Args:
            outputs: without a graph.
            targets: of the batch.
            axis: sample dimension of the outputs, None if unknown.

        Raises:
            InputError: if the loss broadcasts targets against outputs of as many entries.
        """
        self.batches += 1
        if _look_alike(outputs, targets) and self._splits((outputs, targets), 0):
            msg = (
                f"data: targets have shape {tuple(targets.shape)}, outputs "
                f"{tuple(outputs.shape)}, and the loss broadcasts them against each other; "
                "they must be equal"
            )
            raise InputError(msg)
        if axis is None or outputs.dim() <= axis or self.found is not None:
            return
        batch = (outputs, targets)
        few = _rows(batch, axis, slice(0, min(outputs.shape[axis], _FEW)))
        if self._first is None:
            self._loss = self._loss.along(axis)
            self._first = few or batch
        else:
            self.found = self._joins(self._first, batch, axis)
        self.found = self.found or self._splits(batch, axis)
        if few is not None and self.found is None:
            # a hinge that is inactive everywhere is additive here, but not elsewhere
            moved = _moved(few, seed=0)
            self.found = self._splits(moved, axis) or self._joins(
                _moved(self._first, seed=1), moved, axis
            )

    def _splits(self, batch: _Part, axis: int) -> str | None:
        size = batch[0].shape[axis]
        for cut in (size // 3 or 1, size // 2, size - 1):
            parts = [_rows(batch, axis, part) for part in (slice(0, cut), slice(cut, size))]
            if not 0 < cut < size or None in parts:
                return None
            values = self._values(batch, *(part for part in parts if part is not None))
            if values is not None:
                return _message(
                    values, f"over {size} samples", f"its first {cut} and the other {size - cut}"
                )
        return None

    def _joins(self, first: _Part, batch: _Part, axis: int) -> str | None:
        both = _joined(first, batch, axis)
        values = None if both is None else self._values(both, first, batch)
        if values is None:
            return None
        return _message(values, "over samples of two batches", "those of the one and of the other")

    def _values(self, whole: _Part, *parts: _Part) -> tuple[float, float, float] | None:
        """The loss of the batch, the sum over its parts, and the tolerance for rounding."""
        try:
            with torch.no_grad():
                total, *each = (float(self._loss.total(f.clone(), y)) for f, y in (whole, *parts))
        except torch.OutOfMemoryError:
            raise
        except Exception:  # the loss cannot be evaluated on parts: inconclusive
            return None
        self.decided = True
        scale = abs(total) + sum(abs(part) for part in each)
        if not math.isfinite(scale):
            return None
        return total, sum(each), torch.finfo(whole[0].dtype).eps ** 0.5 * scale


def require_additive(probes: Sequence[Additivity], batches: int, of_all: int) -> None:
    """Check that the loss is additive along a dimension that can be the samples in all batches.

    Args:
        probes: of the batches of this process.
        batches: number of these batches.
        of_all: number of batches of all processes.

    Raises:
        InputError: with the data on which it is not.
    """
    told = [probe.found for probe in probes if probe.batches == batches and probe.decided]
    if of_all > 1 and told and None not in told:
        raise InputError(told[0])


_MUST = (
    "with several batches it must add up (reduction= may be a function of the targets that returns "
    "the denominator of its mean)"
)


def _message(values: tuple[float, float, float], where: str, parts: str) -> str | None:
    total, apart, allowed = values
    if abs(total - apart) <= allowed:
        return None
    return f"loss: {where} it is {total:.6g} in all, over {parts} {apart:.6g}; {_MUST}"


def couples_samples(total: Callable[[Tensor], Tensor], outputs: Tensor) -> bool:
    """Whether the gradient of a loss at one sample depends on the outputs of another.

    Args:
        total: the loss as a function of outputs (samples, ...).
        outputs: at which to check.

    Cost: two gradients of the loss alone.
    """
    samples = outputs.shape[0] if outputs.dim() else 1
    if samples < 2:
        return False
    half = (samples + 1) // 2
    moved = torch.cat([outputs.detach()[:half], _moved((outputs.detach(), None), seed=0)[0][half:]])

    def slope(at: Tensor) -> Tensor:
        point = at.detach().clone().requires_grad_()
        with torch.enable_grad():
            value = total(point)
        if not value.requires_grad:
            return torch.zeros_like(point)
        return torch.autograd.grad(value, point, materialize_grads=True)[0]

    before, after = slope(outputs)[:half], slope(moved)[:half]
    allowed = torch.finfo(outputs.dtype).eps ** 0.5 * float(before.norm() + after.norm())
    return bool((before - after).norm() > allowed)


def _moved(part: _Part, seed: int) -> _Part:
    """The same samples with other outputs."""
    f = part[0]
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(f.shape, generator=generator, dtype=torch.float64, device="cpu")
    return f + 3 * noise.to(f) * (1 + f.abs()), part[1]


def _rows(batch: _Part, axis: int, part: slice) -> _Part | None:
    """Some samples of a batch, or None if its targets are not rows of samples."""
    outputs, targets = batch
    size = outputs.shape[axis]
    if isinstance(targets, Counted):
        plain = _rows((outputs, targets.targets), axis, part)
        if targets.samples != size or plain is None:
            return None
        return plain[0], Counted(plain[1], plain[0].shape[axis])
    if not _is_rows(targets, axis, size):
        return None

    def cut(tensor: Any, along: int) -> Any:
        return tensor[(slice(None),) * along + (part,)]

    rows = tree_map(lambda t: t if t is None else cut(t, _dimension(t, axis, size)), targets)
    return cut(outputs, axis), rows


def _joined(one: _Part, other: _Part, axis: int) -> _Part | None:
    """The samples of two batches as one, or None if they do not fit together."""
    (f, y), (g, z) = one, other
    if isinstance(y, Counted) and isinstance(z, Counted):
        plain = _joined((f, y.targets), (g, z.targets), axis)
        return None if plain is None else (plain[0], Counted(plain[1], y.samples + z.samples))
    size = g.shape[axis]
    if not _is_rows(z, axis, size):
        return None
    try:
        targets = tree_map(
            lambda a, b: b if b is None else torch.cat([a, b], dim=_dimension(b, axis, size)), y, z
        )
        return torch.cat([f, g], dim=axis), targets
    except (RuntimeError, ValueError, TypeError):  # for example padded to different lengths
        return None


def _is_rows(targets: Any, axis: int, size: int) -> bool:
    """Whether targets are tensors, possibly in a container, with one row for each sample."""
    return all(
        leaf is None or (isinstance(leaf, Tensor) and size in (_size(leaf, axis), _size(leaf, 0)))
        for leaf in tree_leaves(targets)
    )


def _dimension(tensor: Tensor, axis: int, size: int) -> int:
    return axis if _size(tensor, axis) == size else 0


def _size(tensor: Tensor, axis: int) -> int | None:
    return tensor.shape[axis] if tensor.dim() > axis else None


def _look_alike(outputs: Tensor, targets: Any) -> bool:
    """Whether outputs and targets have equal sizes but different shapes, a sign of broadcasting."""
    return (
        isinstance(targets, Tensor)
        and outputs.dim() > 0
        and targets.shape != outputs.shape
        and targets.numel() == outputs.numel()
    )

"""Checks that every pass over the data gives the batches and samples of the first one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from hessium.errors import InputError
from hessium.problem.containers import tensors
from hessium.problem.data import Batch

_AGAIN = "every pass must give the same batches (make the risk again for other data)"


@dataclass(frozen=True, slots=True)
class Passes:
    """Record of the pass in which the risk was created.

    Attributes:
        batches: their number.
        rows: `leading_size` of all batches together; None if that is not their number of samples
            (with padded sequences it may vary between passes).
        held: tensors stored in the data, with their versions, which count in-place writes.
    """

    batches: int
    rows: int | None
    held: tuple[tuple[Tensor, int], ...]

    @classmethod
    def of(cls, source: Any, rows: Sequence[int], samples: Sequence[int]) -> Passes:
        """Record of the first pass.

        Args:
            source: the user's data.
            rows: `leading_size` of each batch.
            samples: of each batch.
        """
        same = list(rows) == list(samples)
        held = tuple((t, _version(t)) for t in _lasting(source))
        return cls(len(rows), sum(rows) if same else None, held)

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        # versions of copied tensors count from zero
        return _of_copies, (self.batches, self.rows, tuple(t for t, _ in self.held))

    def compared(self, source: Any, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Yield the batches of a later pass, with checks.

        Raises:
            InputError: if the number of batches or samples differs, or tensors were written to.
        """
        now = _lasting(source)
        # a change of their number shows in the number of batches
        if len(now) == len(self.held) and any(
            t is not held or _version(t) != version
            for t, (held, version) in zip(now, self.held, strict=True)
        ):
            msg = f"data: a tensor was written to or replaced since the risk was made; {_AGAIN}"
            raise InputError(msg)
        count = rows = 0
        for batch in batches:
            count += 1
            if count > self.batches:
                break
            rows += leading_size(batch)
            yield batch
        if count != self.batches:
            found = f"more than {self.batches}" if count > self.batches else str(count)
            msg = (
                f"data: {found} batches in this pass, {self.batches} when the risk was made; "
                f"{_AGAIN}"
            )
            raise InputError(msg)
        if self.rows is not None and rows != self.rows:
            msg = f"data: {rows} samples in this pass, {self.rows} when the risk was made; {_AGAIN}"
            raise InputError(msg)


def _of_copies(batches: int, rows: int | None, held: tuple[Tensor, ...]) -> Passes:
    return Passes(batches, rows, tuple((t, _version(t)) for t in held))


def leading_size(batch: Batch) -> int:
    """First dimension of the first tensor of the targets, or else of the inputs."""
    inputs, targets = batch
    return next((t.shape[0] for t in [*tensors(targets), *tensors(inputs)] if t.dim()), 0)


def _lasting(source: Any) -> list[Tensor]:
    if isinstance(source, (list, tuple)):
        return tensors(source)
    dataset = source.dataset if isinstance(source, DataLoader) else None
    return list(dataset.tensors) if isinstance(dataset, TensorDataset) else []


def _version(tensor: Tensor) -> int:
    return 0 if tensor.is_inference() else tensor._version

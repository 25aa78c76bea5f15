"""Processes that each hold a part of the data: their sums, and agreement about errors.

All communication of hessium between processes is in this file. Numbers are added in the order of
the ranks, entry by entry, so that all ranks get the same bits, in every run.
"""

from __future__ import annotations

import json
import math
import os
import re
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from hessium import errors
from hessium.errors import InputError, LostProcessError, SharedDataWarning
from hessium.problem.vector_marks import marks_of, require_same_marks

ON_ALL_RANKS = "the other ranks raise this exception as well"
_SMALL = 4096  # entries up to which each rank gets all summands: one collective instead of two
# one function under two names, in versions of torch
_all_gather: Any = getattr(dist, "all_gather_single", None) or getattr(
    dist, "all_gather_into_tensor", None
)
_NAMED = {
    kind.__name__: kind
    for kind in (
        errors.InputError,
        errors.NonFiniteInputError,
        errors.SelfCheckError,
        errors.NonFiniteError,
        errors.ConvergenceError,
        torch.OutOfMemoryError,
    )
}


class Ranks:
    """The processes of a group, or this process alone.

    Every method that communicates must be called by all ranks in the same order. Without a group
    nothing is sent or copied.

    Args:
        group: a process group of torch.distributed; None for this process alone.

    Raises:
        InputError: if `group` is not a process group, or does not contain this process.

    Attributes:
        rank: of this process in the group.
        size: number of processes.
        bytes_sent: payload that this process has sent.
        exchanges: number of collective operations, in each of which it waits for the others.
    """

    def __init__(self, group: Any = None) -> None:
        self._group = group
        self.rank, self.size = 0, 1
        self.bytes_sent = self.exchanges = 0
        self._device = torch.device("cpu")
        if group is None:
            _warn_without_group()
            return
        if dist.is_available() and group == dist.GroupMember.NON_GROUP_MEMBER:
            msg = "process_group: this process does not belong to it; call hessium in its members"
            raise InputError(msg)
        if not dist.is_available() or not isinstance(group, dist.ProcessGroup):
            msg = (
                f"process_group: {type(group).__name__}; a process group of torch.distributed is "
                "required (torch.distributed.init_process_group(), then process_group="
                "torch.distributed.group.WORLD)"
            )
            raise InputError(msg)
        self.rank, self.size = dist.get_rank(group), dist.get_world_size(group)
        if dist.get_backend(group) == "nccl":
            self._device = torch.device("cuda", torch.cuda.current_device())

    @property
    def alone(self) -> bool:
        """Whether there is one process."""
        return self.size == 1

    @property
    def grouped(self) -> bool:
        """Whether a process group was given, be it of one process."""
        return self._group is not None

    def are(self, numbers: Sequence[int]) -> bool:
        """Whether these are the processes, by their numbers in the default group, in this order."""
        return self.grouped and dist.get_process_group_ranks(self._group) == list(numbers)

    def same_as(self, other: Ranks) -> bool:
        """Whether both are the processes of one group."""
        return self._group is other._group

    def require_alone(self) -> None:
        """Check that all data are in this process.

        Raises:
            InputError: if other processes hold a part.
        """
        if not self.alone:
            msg = (
                f"risk: its data are shared by {self.size} processes, and this function needs all "
                "of them in one; make the risk without process_group="
            )
            raise InputError(msg)

    def __deepcopy__(self, memo: dict[int, Any]) -> Ranks:
        # the connections of a process cannot be copied
        return self

    @contextmanager
    def together(self, work: str, *inputs: Tensor, in_step: bool = False) -> Iterator[list[float]]:
        """Context of the work that each rank does on its own data, without communication.

        Args:
            work: its name, the same on all ranks.
            inputs: vectors that must be the same on all ranks, at most two.
            in_step: whether the work gathers parameters. Then an exception of one rank is raised
                there alone, since the others wait for a parameter and cannot be told; they see a
                lost connection when that rank ends.

        Yields:
            A list, to which work without inputs may append one number of this rank. On return it
            holds the numbers of all ranks.

        Raises:
            InputError: if the ranks do different work, or with different inputs.
            LostProcessError: if a process has ended, or has not answered within the timeout of the
                group (`timeout=` of torch.distributed.init_process_group).
            Exception: the exception of the first rank that raised one, on all ranks; its message
                names the rank, unless all have the same one.
        """
        notes: list[float] = []
        if self._group is None:
            yield notes
            return
        failure: Exception | None = None
        try:
            yield notes
        except Exception as error:
            if in_step:
                raise
            failure = error
        facts = [float(zlib.crc32(work.encode())), float(failure is not None)]
        for vector in inputs:
            facts += marks_of(vector)
        facts += notes[:1]
        facts += [0.0] * (8 - len(facts))
        mine = torch.tensor(facts, dtype=torch.float64)
        all_facts = torch.stack(self.every(mine))
        if bool(all_facts[:, 1].any()):
            self._raise(failure)
        if bool((all_facts[:, 0] != all_facts[0, 0]).any()):
            self._raise_different(work)
        if inputs:
            require_same_marks(all_facts[:, 2:], inputs[0].dtype, work)
        elif notes:
            notes[:] = all_facts[:, 2].tolist()

    @torch.no_grad()
    def all_sum(self, tensor: Tensor) -> Tensor:
        """The sum over all ranks, in place; entry by entry in the order of the ranks.

        Bytes: each rank sends 2 (R - 1) / R times the tensor, in one reduce-scatter and one gather.
        """
        if self._group is None:
            return tensor
        flipped = tensor.dim() == 2 and not tensor.is_contiguous()
        place = tensor.mT if flipped else tensor
        place.copy_(self._summed(place.reshape(-1)).view(place.shape))
        return tensor

    def all_fsum(self, numbers: Sequence[float]) -> list[float]:
        """The sum over all ranks of each number, rounded once."""
        if self._group is None:
            return list(numbers)
        parts = self.every(torch.tensor(list(numbers), dtype=torch.float64))
        return [math.fsum(column) for column in torch.stack(parts).T.tolist()]

    def agree(self, flag: bool) -> bool:
        """Whether the flag is true on all ranks."""
        return self.smallest(int(flag)) == 1

    def smallest(self, number: int) -> int:
        """The smallest of the numbers of all ranks."""
        if self._group is None:
            return number
        mine = torch.tensor([float(number)], dtype=torch.float64)
        return int(torch.cat(self.every(mine)).min())

    def scattered_sum(self, parts: Tensor) -> Tensor:
        """The sum over all ranks of that part (R, ...) which belongs to this rank.

        Bytes: each rank sends (R - 1) parts.
        """
        if self._group is None:
            return parts[0].clone()
        sent = parts.detach().to(self._device).contiguous()
        received = torch.empty_like(sent)
        with _connected():
            dist.all_to_all_single(received, sent, group=self._group)
        self._count(sent[0].nbytes)
        return _in_order(received.unbind(0)).to(parts.device)

    def every(self, tensor: Tensor, out: Tensor | None = None) -> list[Tensor]:
        """The tensor of each rank, in the order of the ranks; all have one shape.

        Args:
            tensor: of this rank. Bytes: it is sent (R - 1) times.
            out: memory for the result, shape (R, ...).
        """
        if self._group is None:
            return [tensor]
        mine = tensor.detach().to(self._device).contiguous()
        if out is None or out.device != self._device:
            out = mine.new_empty(self.size, *mine.shape)
        with _connected():
            _all_gather(out.view(-1), mine.view(-1), group=self._group)
        self._count(mine.nbytes)
        return list(out.to(tensor.device).unbind(0))

    def from_first(self, tensor: Tensor) -> Tensor:
        """The tensor of the first rank, on all; all have one shape. Bytes: the first sends them."""
        if self._group is None:
            return tensor
        sent = tensor.detach().to(self._device).clone(memory_format=torch.contiguous_format)
        with _connected():
            dist.broadcast(sent, dist.get_global_rank(self._group, 0), group=self._group)
        self._count(sent.nbytes if self.rank == 0 else 0)
        return sent.to(tensor.device)

    def gathered(self, value: Any) -> list[Any]:
        """A value of each rank that JSON can hold, in the order of the ranks."""
        if self._group is None:
            return [value]
        text = torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)
        lengths = self.every(torch.tensor([len(text)], dtype=torch.int64))
        longest = max(int(length) for length in lengths)
        padded = torch.zeros(longest, dtype=torch.uint8)
        padded[: len(text)] = text
        parts = self.every(padded)
        return [
            json.loads(bytes(part[: int(length)].tolist()))
            for part, length in zip(parts, lengths, strict=True)
        ]

    def _summed(self, flat: Tensor) -> Tensor:
        """The sum of a vector over all ranks."""
        if len(flat) <= _SMALL:
            return _in_order(self.every(flat))
        each = -(-len(flat) // self.size)
        sent = flat.new_zeros(self.size, each)
        sent.view(-1)[: len(flat)] = flat
        whole = self.every(self.scattered_sum(sent), out=sent)
        joined = sent if whole[0].data_ptr() == sent.data_ptr() else torch.stack(whole)
        return joined.view(-1)[: len(flat)]

    def _count(self, nbytes: int) -> None:
        self.bytes_sent += (self.size - 1) * nbytes
        self.exchanges += 1

    def _raise(self, failure: Exception | None) -> None:
        """Raise the error of the first rank that has one."""
        mine = None if failure is None else [type(failure).__name__, str(failure)]
        found = self.gathered(mine)
        if failure is not None and all(one == mine for one in found):
            raise failure
        rank = next(number for number, one in enumerate(found) if one is not None)
        name, text = found[rank]
        kind = _NAMED.get(name, RuntimeError)
        msg = f"rank {rank}: {text if name in _NAMED else f'{name}: {text}'}"
        told = kind(msg)
        told.add_note(ON_ALL_RANKS)
        raise told from failure

    def _raise_different(self, work: str) -> None:
        found = self.gathered(work)
        other = next(number for number, one in enumerate(found) if one != found[0])
        msg = (
            f"process_group: rank 0 is at {found[0]!r}, rank {other} at {found[other]!r}; all "
            "ranks must call the same functions with the same arguments, in the same order"
        )
        raise InputError(msg)


@contextmanager
def _connected() -> Iterator[None]:
    """Context of one exchange; a lost process is one sentence."""
    try:
        yield
    except RuntimeError as error:
        # gloo adds its source before what happened and general advice behind it
        told = str(error).partition(". This is typically")[0].strip()
        lines = re.sub(r"^\[\S+\.cc:\d+\] ", "", told).splitlines()
        lines = lines or [type(error).__name__]
        msg = (
            "process_group: another process has ended, or has not answered within the timeout of "
            f"the group ({lines[0]})"
        )
        raise LostProcessError(msg) from error


def _in_order(parts: Sequence[Tensor]) -> Tensor:
    total = parts[0].clone()
    for part in parts[1:]:
        total += part
    return total


def _warn_without_group() -> None:
    """Warn where several processes were launched together, and none has made their group."""
    launched = os.environ.get("WORLD_SIZE", "1")
    several = launched.isdecimal() and int(launched) > 1
    if several and dist.is_available() and not dist.is_initialized():
        warnings.warn(
            f"process_group: none, and {launched} processes were started together; each measures "
            "its own data alone (torch.distributed.init_process_group() must come before "
            "torch.distributed.group.WORLD, which is None until then)",
            SharedDataWarning,
            stacklevel=5,
        )

"""Models whose parameters are spread over processes (`fully_shard`): gathered one at a time.

A copy of the module tree without the hooks of FSDP holds the share of every parameter, flat. An
access to a parameter in the forward pass gathers it, and autograd keeps the share instead of the
gathered tensor, which is gathered again where a backward pass needs it. Gathering and its adjoint
(sum over ranks, scattered) are linear and each other's derivative, so second derivatives are exact.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor
from torch.multiprocessing.reductions import StorageWeakRef

from hessium.errors import InputError
from hessium.problem.rank_shares import RankShares
from hessium.problem.ranks import Ranks

_FSDP = "torch.distributed.fsdp"
_HOOKS = (
    "_forward_hooks", "_forward_hooks_with_kwargs", "_forward_hooks_always_called",
    "_forward_pre_hooks", "_forward_pre_hooks_with_kwargs",
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class _Place:
    """A parameter: its whole shape, and the entries of each rank in the flattened tensor."""

    shape: tuple[int, ...]
    shares: RankShares


class Spread:
    """The parameters of a model, each spread over the ranks by entries.

    Args:
        ranks: the processes.

    Attributes:
        places: where the entries of each parameter lie, by the name of the parameter.
        live_bytes: of the gathered parameters that exist now.
        peak_bytes: largest value of it so far.
    """

    def __init__(self, ranks: Ranks) -> None:
        self._ranks = ranks
        self.places: dict[str, _Place] = {}
        self._gathered: dict[int, tuple[StorageWeakRef, Tensor, _Place]] = {}
        self._shares: dict[tuple[str, ...], RankShares] = {}
        self.live_bytes = self.peak_bytes = 0

    def __deepcopy__(self, memo: dict[int, Any]) -> Spread:
        return self  # like the ranks, whose connections cannot be copied

    def shares(self, names: Sequence[str]) -> RankShares:
        """Shares of the flat vector of these parameters, in the order of the whole ones."""
        key = tuple(names)
        if key not in self._shares:
            by_rank: list[list[tuple[int, int]]] = [[] for _ in range(self._ranks.size)]
            offset = 0
            for name in key:
                place = self.places[name]
                for mine, pieces in zip(by_rank, place.shares.by_process, strict=True):
                    mine += [(offset + start, offset + stop) for start, stop in pieces]
                offset += prod(place.shape)
            shares = RankShares(self._ranks, [tuple(pieces) for pieces in by_rank])
            shares.whole_in_products = False  # parameter by parameter
            self._shares[key] = shares
        return self._shares[key]

    def gather(self, share: Tensor, place: _Place) -> Tensor:
        """A whole parameter, differentiable in its share."""
        whole: Tensor = _Gather.apply(share, place)  # type: ignore[no-untyped-call]
        self._remember(whole, share.detach(), place)
        return whole

    @contextmanager
    def saving_shares(self) -> Iterator[None]:
        """Context in which graphs keep shares instead of gathered parameters."""
        with saved_tensors_hooks(self._packed, self._unpacked):
            yield

    def _remember(self, whole: Tensor, share: Tensor, place: _Place) -> None:
        gone = [key for key, (storage, _, _) in self._gathered.items() if storage.expired()]
        for key in gone:
            del self._gathered[key]
        storage = StorageWeakRef(whole.untyped_storage())
        self._gathered[storage.cdata] = storage, share, place
        self.live_bytes = sum(
            s.dtype.itemsize * p.shares.dim for _, s, p in self._gathered.values()
        )
        self.peak_bytes = max(self.peak_bytes, self.live_bytes)

    def _packed(self, tensor: Tensor) -> Any:
        if tensor.layout is torch.strided:
            # the weak reference keeps the key from being used again
            known = self._gathered.get(StorageWeakRef(tensor.untyped_storage()).cdata)
            if known is not None:
                where = tensor.size(), tensor.stride(), tensor.storage_offset()
                return known[1], known[2], where
        return tensor

    def _unpacked(self, packed: Any) -> Tensor:
        if isinstance(packed, Tensor):
            return packed
        share, place, where = packed
        whole = place.shares.whole(share[None])[0]
        self._remember(whole, share, place)
        return whole.as_strided(*where)


class _Gather(torch.autograd.Function):
    """A whole parameter from its shares."""

    @staticmethod
    def forward(ctx: Any, share: Tensor, place: _Place) -> Tensor:
        ctx.place = place
        return place.shares.whole(share[None])[0].view(place.shape)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _Scatter.apply(gradient, ctx.place), None  # type: ignore[no-untyped-call]


class _Scatter(torch.autograd.Function):
    """The share of the sum over ranks of whole tensors."""

    @staticmethod
    def forward(ctx: Any, whole: Tensor, place: _Place) -> Tensor:
        ctx.place = place
        return place.shares.summed(whole.reshape(1, -1))[0]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _Gather.apply(gradient, ctx.place), None  # type: ignore[no-untyped-call]


class _Parameters(dict[str, Any]):
    """The registry of a module: looking a parameter up gathers it, listing them does not."""

    places: dict[str, _Place]
    spread: Spread

    def __getitem__(self, name: str) -> Any:
        share = super().__getitem__(name)
        place = self.places.get(name)
        return share if place is None or share is None else self.spread.gather(share, place)


def spread_copy(model: nn.Module, ranks: Ranks) -> tuple[nn.Module, Spread]:
    """The module tree without the hooks of FSDP, and the shares of its parameters.

    Parameters outside of FSDP are divided among the ranks as well.

    Args:
        model: with `fully_shard` applied to it or to parts of it.
        ranks: those over which it is sharded.

    Raises:
        InputError: if a parameter is spread in another way than by `fully_shard` along its first
            dimension over these ranks, or a module keeps parameters outside of its registry.
    """
    spread = Spread(ranks)
    copies = {id(module): _bare(module) for module in model.modules()}
    shares: dict[int, tuple[nn.Parameter, _Place]] = {}
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()  # a forward pass may have left whole parameters
    inside = {
        id(parameter)
        for module in model.modules()
        if isinstance(module, FSDPModule)
        for parameter in module.parameters()
    }
    for name, parameter in model.named_parameters():
        local, pieces = _own_entries(name, parameter, ranks, sharded=id(parameter) in inside)
        place = _Place(tuple(parameter.shape), RankShares(ranks, [(piece,) for piece in pieces]))
        spread.places[name] = place
        shares[id(parameter)] = nn.Parameter(local, parameter.requires_grad), place
    for name, module in model.named_modules():
        if isinstance(module, nn.RNNBase):
            msg = f"model: '{name}' is a {type(module).__name__}, which keeps its parameters in a "
            raise InputError(msg + "list; with fully_shard no Hessian of it is supported")
        copy = copies[id(module)]
        registry = _Parameters()
        registry.spread, registry.places = spread, {}
        for key, parameter in module._parameters.items():
            registry[key] = parameter
            if parameter is not None:
                registry[key], registry.places[key] = shares[id(parameter)]
        copy.__dict__["_parameters"] = registry
        copy.__dict__["_buffers"] = dict(module._buffers)
        for key, value in module.__dict__.items():
            if key not in ("_parameters", "_buffers"):
                copy.__dict__[key] = _copied(value, copies)
        for hooks in (module._forward_hooks, module._forward_pre_hooks):
            for key in [key for key, hook in hooks.items() if _of_fsdp(hook)]:
                for registry_of_hooks in _HOOKS:
                    copy.__dict__[registry_of_hooks].pop(key, None)
    return copies[id(model)], spread


def _own_entries(
    name: str, parameter: nn.Parameter, ranks: Ranks, *, sharded: bool
) -> tuple[Tensor, list[tuple[int, int]]]:
    """The entries of this rank, flat, in the memory of the model, and where those of all lie."""
    if not isinstance(parameter, DTensor):
        pieces = _chunks(parameter.numel(), 1, ranks.size)
        start, stop = pieces[ranks.rank]
        return parameter.detach().reshape(-1)[start:stop], pieces
    mesh, placements = parameter.device_mesh, parameter.placements
    where = f"model: '{name}' is a DTensor with placements {placements}"
    if not sharded or mesh.ndim != 1 or not placements[0].is_shard(0):
        msg = (
            f"{where} on a mesh of {mesh.ndim} dimension(s); only fully_shard over one dimension "
            "of processes, along the first dimension of a tensor, is supported: no tensor or "
            "pipeline parallelism and no replicated groups (load the parameters into a plain "
            "module, and give process_group= for data on several processes)"
        )
        raise InputError(msg)
    if not ranks.are(mesh.mesh.flatten().tolist()):
        msg = f"{where} on other processes than those of process_group; the same are required"
        raise InputError(msg)
    rows, width = parameter.shape[0], prod(parameter.shape[1:])
    pieces = _chunks(rows, width, ranks.size)
    local = parameter.to_local().detach().reshape(-1)
    start, stop = pieces[ranks.rank]
    if len(local) != stop - start:
        msg = f"{where}, of which this process holds {len(local)} entries and not {stop - start}"
        raise InputError(msg)
    return local, pieces


def _chunks(rows: int, width: int, size: int) -> list[tuple[int, int]]:
    """Entries of each rank where rows are divided as `torch.chunk` does."""
    each = -(-rows // size)
    ends = [width * min(rows, each * number) for number in range(size + 1)]
    return list(pairwise(ends))


def _bare(module: nn.Module) -> nn.Module:
    """An empty instance of the class of a module, without that of FSDP."""
    kind = type(module)
    if isinstance(module, FSDPModule):  # FSDPLinear, FSDPModule, Linear
        kind = kind.__mro__[2]
    return object.__new__(kind)


def _copied(value: Any, copies: dict[int, nn.Module]) -> Any:
    """An attribute, with copies in place of the modules in it."""
    if isinstance(value, nn.Module):
        return copies.get(id(value), value)
    if isinstance(value, (list, tuple)) and type(value) in (list, tuple):
        return type(value)(_copied(item, copies) for item in value)
    if type(value) in (dict, OrderedDict):
        return type(value)((key, _copied(item, copies)) for key, item in value.items())
    return value


def _of_fsdp(hook: Any) -> bool:
    return str(getattr(hook, "__module__", "")).startswith(_FSDP)

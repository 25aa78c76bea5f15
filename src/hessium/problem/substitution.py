"""Temporary substitution of the parameters and buffers of a module.

`torch.func.functional_call` replaces tensors by name, so it misses parameters of a module reachable
under two names, and it restores the module's tensors before the backward pass. Here every
occurrence is replaced, for a duration chosen by the caller.
"""

from __future__ import annotations

import copy
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from torch import Tensor, nn

from hessium.errors import InputError

_CONTAINERS = (dict, list, set, deque)
_OF_EVERY_MODULE = frozenset(vars(nn.Module()))
_LARGEST = 1000  # entries of an attribute that is restored if the forward pass adds to it


class Substitution:
    """All attributes of a module that hold parameters and buffers, and a lock on the module.

    While tensors are substituted, no other thread can substitute tensors in any of the same
    modules. Afterwards every attribute of every module refers to the object that it referred to
    before, including those set by the forward pass (computed weights, cached activations), and
    lists, dicts, sets and deques among them have the entries that they had.

    Args:
        model: the module.
        beside: another module that may share parameters, such as a loss.
    """

    def __init__(self, model: nn.Module, beside: nn.Module | None = None) -> None:
        self._model, self._beside = model, beside
        self._modules = _modules_of(model, beside)
        self._locks = _locks_of(self._modules)
        self._held: tuple[Tensor, ...] | None = None
        with self.undisturbed():
            self._find_places(model)

    def _find_places(self, model: nn.Module) -> None:
        # (container, key) of every place, by the name of the tensor: several where it is shared
        self._places: dict[str, list[tuple[MutableMapping[str, Any], str]]] = {}
        names: dict[int, str] = {}
        for prefix, module in model.named_modules():
            for container in (module._parameters, module._buffers):
                for key, tensor in container.items():
                    if tensor is not None:
                        name = names.setdefault(id(tensor), f"{prefix}.{key}" if prefix else key)
                        self._places.setdefault(name, []).append((container, key))
        self._count = sum(len(places) for places in self._places.values())
        self._others = self._modules[len(list(model.modules())) :]
        for module in self._others:
            for key, tensor in module._parameters.items():
                if id(tensor) in names:
                    self._places[names[id(tensor)]].append((module._parameters, key))

    @property
    def beside(self) -> nn.Module | None:
        """The other module."""
        return self._beside

    def __reduce__(self) -> tuple[type[Substitution], tuple[nn.Module, nn.Module | None]]:
        return Substitution, (self._model, self._beside)

    @contextmanager
    def undisturbed(self) -> Iterator[None]:
        """Context in which no other thread substitutes tensors in these modules."""
        with ExitStack() as stack:
            for lock in self._locks:
                stack.enter_context(lock)
            yield

    def holds(self, tensors: Sequence[Tensor]) -> bool:
        """Whether this thread has the tensors of `key` substituted now."""
        held = self._held
        return (
            held is not None
            and all(lock.mine() for lock in self._locks)
            and len(held) == len(tensors)
            and all(a is b for a, b in zip(held, tensors, strict=True))
        )

    @contextmanager
    def hold(self, tensors: Mapping[str, Tensor], key: Sequence[Tensor]) -> Iterator[None]:
        """Substitute tensors by name; restore the module's own at the end.

        Args:
            tensors: by name. Names as in `named_parameters` and `named_buffers`, shared ones once.
            key: identifies the tensors for `holds`.
        """
        with self.undisturbed():
            outer, self._held = self._held, tuple(key)
            kept = [(part, copy.copy(part)) for module in self._modules for part in _parts(module)]
            own = [
                (container, name, container[name])
                for places in (self._places.get(name, ()) for name in tensors)
                for container, name in places
                if not isinstance(container, dict)  # of a scripted module
            ]
            try:
                for name, tensor in tensors.items():
                    for container, slot in self._places[name]:
                        container[slot] = tensor
                for module in self._others:  # which may write to their buffers
                    for slot, buffer in module._buffers.items():
                        if not isinstance(module._buffers, dict):
                            break  # of a scripted module, which nothing would restore
                        module._buffers[slot] = None if buffer is None else buffer.clone()
                yield
            finally:
                self._held = outer
                steps = [partial(_put, *place) for place in reversed(own)]
                _all(steps + [partial(_restore, *pair) for pair in reversed(kept)])

    def require_places(self) -> None:
        """Check that the locations of all parameters and buffers are unchanged.

        Raises:
            InputError: if a module, a parameter or a buffer has been added or removed.
        """
        modules = _modules_of(self._model, self._beside)
        same = len(modules) == len(self._modules) and all(
            a is b for a, b in zip(modules, self._modules, strict=True)
        )
        count = sum(
            tensor is not None
            for module in self._model.modules()
            for container in (module._parameters, module._buffers)
            for tensor in container.values()
        )
        if not same or count != self._count:
            msg = (
                "model: modules, parameters or buffers have been added, replaced or removed since "
                "the risk was made; make a new hessium.EmpiricalRisk"
            )
            raise InputError(msg)


def _modules_of(model: nn.Module, beside: nn.Module | None) -> list[nn.Module]:
    modules = list(model.modules())
    known = {id(module) for module in modules}
    others = [] if beside is None else beside.modules()
    return modules + [module for module in others if id(module) not in known]


def _parts(module: nn.Module) -> Iterator[Any]:
    """The attributes of a module, and those that are containers, among them its registries."""
    yield module.__dict__
    registries = (module._parameters, module._buffers, module._modules)
    yield from (part for part in registries if isinstance(part, dict))
    for name, part in list(module.__dict__.items()):
        if name not in _OF_EVERY_MODULE and isinstance(part, _CONTAINERS) and len(part) <= _LARGEST:
            yield part


def _all(steps: Sequence[Callable[[], None]]) -> None:
    """Run every step; then raise the first exception, if any."""
    raised: BaseException | None = None
    for step in steps:
        for _ in range(2):  # an interrupt may occur: try again
            try:
                step()
                break
            except BaseException as error:
                raised = raised or error
    if raised is not None:
        raise raised


def _put(container: MutableMapping[str, Any], slot: str, tensor: Any) -> None:
    container[slot] = tensor


def _restore(live: Any, before: Any) -> None:
    if isinstance(live, list):
        live[:] = before
    elif isinstance(live, deque):
        live.clear()
        live.extend(before)
    elif isinstance(live, set):
        if live != before:
            live.clear()
            live.update(before)
    else:
        if list(live) != list(before):
            live.clear()
        live.update(before)


class _Lock:
    """A reentrant lock that knows whether the current thread holds it."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._owner: int | None = None
        self._depth = 0

    def mine(self) -> bool:
        return self._owner == threading.get_ident()

    def __enter__(self) -> None:
        self._lock.acquire()
        self._owner = threading.get_ident()
        self._depth += 1

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if self._depth == 0:
            self._owner = None
        self._lock.release()


_REGISTRY = threading.Lock()
_LOCKS: dict[int, tuple[weakref.ref[nn.Module], _Lock]] = {}


def _locks_of(modules: Sequence[nn.Module]) -> list[_Lock]:
    """The distinct locks of some modules in one global order; new modules share a new lock.

    Models that share a module (an actor and a critic) thereby share its lock.
    """
    with _REGISTRY:
        fresh = _Lock()
        found = {}
        for module in modules:
            entry = _LOCKS.get(id(module))
            if entry is None or entry[0]() is not module:
                entry = _LOCKS[id(module)] = (weakref.ref(module), fresh)
                weakref.finalize(module, _LOCKS.pop, id(module), None)
            found[id(entry[1])] = entry[1]
        return [found[key] for key in sorted(found)]

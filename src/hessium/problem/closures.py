"""Closures as optimisers take them: without arguments, with `backward()`, over loose tensors."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from hessium.errors import InputError
from hessium.problem.forward import Forward, require_takes_module
from hessium.problem.losses import as_number

Closure = Callable[..., Any]


class Loose(nn.Module):
    """Tensors that belong to no module, as parameters beside a module.

    Args:
        tensors: leaves that require gradients, by name. The parameters share their memory.
        model: a module, or None.

    Raises:
        InputError: if a name or a tensor cannot be a parameter.
    """

    def __init__(self, tensors: Mapping[str, Any], model: nn.Module | None = None) -> None:
        super().__init__()
        self.model = model
        self._loose = dict(tensors)
        for name, tensor in tensors.items():
            free = isinstance(tensor, Tensor) and tensor.is_leaf and tensor.requires_grad
            if not free:
                msg = (
                    f"parameters: {name!r}, a {type(tensor).__name__}, is not a free parameter; a "
                    "leaf with requires_grad=True is required"
                )
                raise InputError(msg)
            if not isinstance(name, str) or not name.isidentifier() or hasattr(self, name):
                msg = f"parameters: the name {name!r} cannot be used; letters, digits and _ are"
                raise InputError(msg + " required, and no name of nn.Module or 'model'")
            own = isinstance(tensor, nn.Parameter)
            self.register_parameter(name, tensor if own else nn.Parameter(tensor.detach()))

    def present(self) -> dict[int, Tensor]:
        """The parameters of now, by the identity of the user's tensors."""
        return {id(t): getattr(self, name) for name, t in self._loose.items()}


def forward_of_closure(
    model: Any,
    closure: Any,
    parameters: Mapping[str, Tensor] | None,
    dtype: torch.dtype | None,
) -> tuple[nn.Module, Forward]:
    """The module with all free parameters, and the function that evaluates the closure.

    Raises:
        InputError: if the closure takes several arguments, or a tensor cannot be a parameter.
    """
    module: Any = model
    if isinstance(model, Mapping):
        module = Loose({**model, **(parameters or {})})
    elif parameters:
        if not isinstance(model, nn.Module):
            msg = f"model: {type(model).__name__}; a torch.nn.Module is required"
            raise InputError(msg)
        module = Loose(parameters, model)
    alone = _takes_nothing(closure)
    if not alone:
        require_takes_module(closure)
    if not alone and module is model and dtype is None:
        return module, lambda given, _: as_number("closure", closure(given))

    def forward(given: nn.Module, _: Any) -> Tensor:
        loose = given.present() if isinstance(given, Loose) else {}
        argument = model if isinstance(model, nn.Module) else given
        with Evaluated(loose, dtype):
            value = closure() if alone else closure(argument)
            return as_number("closure", value)

    return module, forward


def _takes_nothing(closure: Any) -> bool:
    """Whether a function can be called without arguments, and not with one."""
    if not callable(closure):
        return False
    try:
        parameters = inspect.signature(closure).parameters.values()
    except (TypeError, ValueError):
        return False
    return not any(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters) and (
        not any(p.kind is p.VAR_POSITIONAL for p in parameters)
    )


class Evaluated(TorchFunctionMode):
    """One evaluation of a closure: its graph is kept, and no gradient is written.

    `backward()` and all access to `.grad` do nothing, so that a closure of an optimiser may call
    `zero_grad()` and `backward()`. Loose tensors are replaced by the parameters of the risk, and
    captured tensors by copies in the dtype of the computation.

    Args:
        replacements: by the identity of a tensor.
        dtype: to which floating-point tensors are converted, if given.
    """

    def __init__(self, replacements: Mapping[int, Tensor], dtype: torch.dtype | None) -> None:
        super().__init__()
        self._made = dict(replacements)
        self._dtype = dtype
        self._seen: list[Tensor] = []  # identities are those of living tensors

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Forward the call with replaced tensors, or ignore it."""
        if func in _IGNORED:
            return None
        return func(*self._changed(args), **self._changed(kwargs or {}))

    def _changed(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            return self._tensor(value)
        if type(value) in (tuple, list):
            return type(value)(self._changed(item) for item in value)
        if type(value) is dict:
            return {key: self._changed(item) for key, item in value.items()}
        return value

    def _tensor(self, tensor: Tensor) -> Tensor:
        found = self._made.get(id(tensor))
        if found is not None:
            return found
        if self._dtype in (None, tensor.dtype) or not tensor.is_floating_point():
            return tensor
        if not tensor.is_leaf:
            return tensor.to(self._dtype)
        # one copy for each captured tensor, so that derivatives in it are found
        found = tensor.detach().to(self._dtype).requires_grad_(tensor.requires_grad)
        self._made[id(tensor)] = found
        self._seen.append(tensor)
        return found


_GRAD: Any = Tensor.grad  # a descriptor
_IGNORED = (Tensor.backward, _GRAD.__get__, _GRAD.__set__)

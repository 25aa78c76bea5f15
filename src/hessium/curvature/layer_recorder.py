"""Records the uses of parameters in a forward pass and adds offsets to their results.

A linear layer computes z = W a + b for each sample, so the loss depends on its parameters only
through z. An additive offset of zeros at every z makes z a leaf of the graph. The forward pass is
intercepted; the model is not modified. The same holds for the layers of `layer_taps` and for any
function of single entries of a parameter and of the data (x w, x + w, w^x).

Tensors are of four kinds: free parameters; tensors computed from them alone (views, products of two
of them), which are used as parameters are; data, that is the inputs and what is computed from them;
and constants. A parameter that meets data in another way is noted as one without a closed form.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary

from hessium.curvature.layer_ops import Call, Elementwise
from hessium.curvature.layer_taps import LAYERS, PRODUCTS
from hessium.problem.containers import tensors

_ENTRY_BY_ENTRY = {
    "add", "radd", "sub", "rsub", "subtract", "mul", "rmul", "multiply", "div", "rdiv", "truediv",
    "rtruediv", "divide", "true_divide", "pow", "rpow", "where", "maximum", "minimum", "lerp",
    "addcmul", "addcdiv", "atan2", "hypot", "logaddexp", "clamp", "clamp_min", "clamp_max",
}  # fmt: skip
_COPIES = {"expand", "expand_as", "repeat", "broadcast_to", "tile"}
_SHAPES = {"view_as", "expand_as", "reshape_as", "type_as", "to", "broadcast_to"}


class TapRecorder(TorchFunctionMode):
    """Intercepts a forward pass: adds an offset after each layer, notes any other use.

    Args:
        leaves: the free parameters.
        inputs: of the batch.
        samples: number of samples, a guess.

    Attributes:
        calls: in order.
        tensors: the leaves, then the tensors computed from them alone.
        behind: for each of these the leaves that it depends on.
        unknown: leaves that meet data in an unknown way.
        differentiates: whether the forward pass takes a derivative of its own.
        counted: whether the number of samples was used.
    """

    def __init__(self, leaves: Sequence[Tensor], inputs: Any, samples: int | None) -> None:
        super().__init__()
        self.tensors = list(leaves)
        self.behind = [frozenset([position]) for position in range(len(leaves))]
        self._keys = {id(leaf): position for position, leaf in enumerate(leaves)}
        self._data: Any = WeakIdKeyDictionary()
        for tensor in tensors(inputs):
            self._data[tensor] = True
        self._samples = samples
        self.calls: list[Call] = []
        self.unknown: set[int] = set()
        self.differentiates = self.counted = False

    def key(self, tensor: object) -> int | None:
        """Number of a parameter, or of a tensor computed from some; None of any other."""
        return self._keys.get(id(tensor))

    def reads(self, tensor: Tensor) -> bool:
        """Whether a tensor is data."""
        return tensor in self._data

    def samples(self) -> int | None:
        """Number of samples."""
        self.counted = True
        return self._samples

    def turned(self, weight: Tensor) -> Tensor | None:
        """The matrix whose transpose the weight is, if that is a leaf."""
        if (key := self.key(weight)) is None or len(self.behind[key]) != 1:
            return None
        (leaf,) = self.behind[key]
        matrix = self.tensors[leaf]
        if key == leaf or weight.data_ptr() != matrix.data_ptr() or matrix.dim() != 2:
            return None
        found = (weight.shape[::-1], weight.stride()[::-1])
        return matrix if found == (matrix.shape, matrix.stride()) else None

    def offset(self, result: Tensor) -> Tensor:
        """Zeros to be added to the result."""
        return torch.zeros_like(result, requires_grad=True)

    def add(self, call: Call, result: Tensor) -> Tensor:
        """The result with the offset of its call."""
        self.calls.append(call)
        return result + call.offset

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Forward every call; add the offset to calls of layers."""
        keywords = kwargs or {}
        found = [leaf for leaf in tree_leaves((args, keywords)) if isinstance(leaf, Tensor)]
        keys = [key for t in found if (key := self.key(t)) is not None]
        of_data = any(t in self._data for t in found)
        if func is torch.autograd.grad:
            self.differentiates = True
        real = not any(t.is_complex() for t in found)
        if keys and real and (result := self._tapped(func, args, keywords, of_data)) is not None:
            self._note(tree_leaves(result))
            return result
        result = func(*args, **keywords)
        made = [t for t in tree_leaves(result) if isinstance(t, Tensor)]
        written = _written(func, args, keywords)
        if of_data:
            self._note([*made, *written])
            name = getattr(func, "__name__", "")
            used = any(t.requires_grad for t in [*made, *written])
            if keys and used and not (name in _SHAPES and self.key(args[0]) is None):
                self.unknown.update(*(self.behind[key] for key in keys))
        elif keys:
            if (copied := self._copied(func, args, result)) is not None:
                return copied
            leaves = frozenset().union(*(self.behind[key] for key in keys))
            for tensor in [*(t for t in made if self.key(t) is None), *written]:
                if tensor.requires_grad and not tensor.is_leaf:
                    self._keys[id(tensor)] = len(self.tensors)
                    self.tensors.append(tensor)
                    self.behind.append(leaves)
        return result

    def _note(self, found: Sequence[Any]) -> None:
        for tensor in found:
            if isinstance(tensor, Tensor):
                self._data[tensor] = True

    def _tapped(
        self,
        func: Callable[..., Any],
        args: tuple[Any, ...],
        keywords: dict[str, Any],
        of_data: bool,
    ) -> Any:
        """The result of a call that is recorded; None if it is of no known kind."""
        first = 1 if func is torch.addmm else 0
        plain = len(args) <= first or self.key(args[first]) is None
        # a constant matrix times a parameter is a weight; a layer may have constant inputs
        if func in LAYERS and plain and (of_data or func not in PRODUCTS):
            found = LAYERS[func](self, *args, **keywords)
            if found is not None:
                return found
        if not of_data:
            return None
        if (inside := _inside(func)) is not None:
            with self:
                return inside(*args, **keywords)
        if getattr(func, "__name__", "").strip("_") in _ENTRY_BY_ENTRY and not _in_place(func):
            return self._entry_by_entry(func, args, keywords)
        return None

    def _entry_by_entry(
        self, func: Callable[..., Any], args: tuple[Any, ...], keywords: dict[str, Any]
    ) -> Tensor | None:
        """A function of single entries of parameters, which are broadcast, and of data."""
        free = [at for at, arg in enumerate(args) if self.key(arg) is not None]
        result = func(*args, **keywords)
        if not isinstance(result, Tensor) or len(free) < len(
            [t for t in tree_leaves((args, keywords)) if self.key(t) is not None]
        ):
            return None
        calls = []
        for at in free:
            slope = _slope(func, args, keywords, at, result)
            if slope is None:
                return None
            calls.append(self._elementwise(args[at], slope, result))
        offset = calls[0].offset
        self.calls += [_at(call, offset) for call in calls]
        return result + offset

    def _copied(
        self, func: Callable[..., Any], args: tuple[Any, ...], result: Any
    ) -> Tensor | None:
        """A parameter copied for each sample, with an offset: data from here on."""
        samples = self._samples
        if getattr(func, "__name__", "") not in _COPIES or not isinstance(result, Tensor):
            return None
        source = args[0]
        more = result.dim() - source.dim()
        sizes = list(zip((1,) * more + tuple(source.shape), result.shape, strict=True))
        # which of the dimensions holds the samples is found later
        if any(s not in (1, r) for s, r in sizes) or (1, samples) not in sizes:
            return None
        self.counted = True
        one = torch.ones((), dtype=result.dtype, device=result.device)
        found = self.add(self._elementwise(source, one, result), result)
        self._note([found])
        return found

    def _elementwise(self, weight: Tensor, slope: Tensor, result: Tensor) -> Elementwise:
        more = result.dim() - weight.dim()
        entries = tuple(more + axis for axis, size in enumerate(weight.shape) if size != 1)
        return Elementwise(
            weight=self.key(weight), bias=None, inputs=slope, offset=self.offset(result),
            width=weight.numel(), entries=entries, units=weight.shape[0] if weight.dim() else 1,
        )  # fmt: skip


def _at(call: Elementwise, offset: Tensor) -> Elementwise:
    return Elementwise(**{**call.__dict__, "offset": offset})


def _slope(
    func: Callable[..., Any],
    args: tuple[Any, ...],
    keywords: dict[str, Any],
    at: int,
    result: Tensor,
) -> Tensor | None:
    """Derivative of every entry of the result in the entry of one argument that it depends on."""
    if getattr(func, "__name__", "").strip("_") in ("add", "radd") and not keywords:
        return torch.ones((), dtype=result.dtype, device=result.device)
    point = args[at].detach().expand(result.shape).requires_grad_()
    others = [a.detach() if isinstance(a, Tensor) else a for a in args]
    others[at] = point
    with torch.enable_grad():
        value = func(*others, **keywords)
        if value.shape != result.shape or not value.requires_grad:
            return None
        (slope,) = torch.autograd.grad(value.sum(), point)
    return slope


def _in_place(func: Callable[..., Any]) -> bool:
    name = getattr(func, "__name__", "")
    if name.startswith("__"):
        return name == "__setitem__" or name.startswith("__i")
    return name.endswith("_")


def _written(
    func: Callable[..., Any], args: tuple[Any, ...], keywords: dict[str, Any]
) -> list[Tensor]:
    """Tensors that a call writes to."""
    into = [keywords["out"]] if isinstance(keywords.get("out"), Tensor) else []
    if _in_place(func) and args and isinstance(args[0], Tensor):
        into.append(args[0])
    return into


@functools.cache
def _inside(func: Callable[..., Any]) -> Callable[..., Any] | None:
    """A function of torch written in Python, as it is behind its own dispatch; None for others."""
    if not isinstance(func, types.FunctionType) or not func.__module__.startswith("torch."):
        return None
    gates = [n for n in func.__code__.co_names if n.startswith("has_torch_function")]
    if not gates:
        return None
    space = {**func.__globals__, **dict.fromkeys(gates, _never)}
    copy = types.FunctionType(
        func.__code__, space, func.__name__, func.__defaults__, func.__closure__
    )
    copy.__kwdefaults__ = func.__kwdefaults__
    return copy


def _never(*_: object) -> bool:
    return False

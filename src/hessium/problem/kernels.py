"""Replaces fused kernels without second derivatives by differentiable ones."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

from hessium._arithmetic import full_precision
from hessium._threads import ProcessSetting
from hessium.problem.kernel_sizes import KernelSizes


@contextmanager
def twice_differentiable(device_type: str, dtype: torch.dtype | None = None) -> Iterator[None]:
    """Kernels with second derivatives, in full precision.

    Attention is computed by matrix products and recurrence step by step, because the fused kernels
    cannot be differentiated twice; weight normalisation by its formula, because the second
    derivative of its kernel is wrong. A nested context has no effect.

    Args:
        device_type: of the parameters.
        dtype: if given, casts to a lower precision are omitted.
    """
    if getattr(_ACTIVE, "dtype", _NONE) == dtype:
        yield
        return
    outer = getattr(_ACTIVE, "dtype", _NONE)
    with ExitStack() as stack:
        stack.enter_context(full_precision())
        stack.enter_context(_PLAIN_KERNELS.held())
        if device_type == "cuda":
            stack.enter_context(StepwiseRecurrence())
        stack.enter_context(WeightNormByFormula())
        stack.enter_context(at_least(dtype))
        if "torch._dynamo" in sys.modules:  # otherwise nothing can have been compiled
            stack.enter_context(_EAGER.held())
        _ACTIVE.dtype = dtype
        stack.callback(setattr, _ACTIVE, "dtype", outer)
        yield


@contextmanager
def for_values(dtype: torch.dtype | None = None) -> Iterator[None]:
    """The kernels of `twice_differentiable` for values alone: without a check of each call.

    Args:
        dtype: if given, casts to a lower precision are omitted.
    """
    with full_precision(), _PLAIN_KERNELS.held(), at_least(dtype):
        yield


_NONE = object()
_ACTIVE = threading.local()


def _plain_kernels(stack: ExitStack) -> None:
    stack.callback(
        torch.backends.mha.set_fastpath_enabled, torch.backends.mha.get_fastpath_enabled()
    )
    torch.backends.mha.set_fastpath_enabled(False)
    stack.enter_context(sdpa_kernel(SDPBackend.MATH))


def _run_eagerly(stack: ExitStack) -> None:
    # run compiled modules eagerly: their backward pass cannot be differentiated
    stack.enter_context(torch.compiler.set_stance("force_eager"))


_PLAIN_KERNELS = ProcessSetting(_plain_kernels)
_EAGER = ProcessSetting(_run_eagerly)


def at_least(dtype: torch.dtype | None) -> AbstractContextManager[object]:
    """Omit casts below `dtype`; no effect if it is None."""
    return nullcontext() if dtype is None else AtLeast(dtype)


class AtLeast(TorchFunctionMode):
    """Omits casts to lower precision: `x.float()`, `softmax(x, dtype=...)`, autocast.

    Many networks cast to a fixed dtype in the forward pass.

    Args:
        dtype: lowest precision of floating-point tensors.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self._dtype = dtype

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Replace low-precision dtypes among the arguments, and suspend autocast."""
        if func in _CASTS and self._raised(_CASTS[func]) is self._dtype:
            return args[0].to(self._dtype)
        keywords = {name: self._raised(value) for name, value in (kwargs or {}).items()}
        arguments = [self._raised(a) for a in args]
        if torch.is_autocast_enabled("cpu") or torch.is_autocast_enabled("cuda"):
            with full_precision():  # the forward pass has entered autocast by itself
                return func(*arguments, **keywords)
        return func(*arguments, **keywords)

    def _raised(self, argument: Any) -> Any:
        if not isinstance(argument, torch.dtype):
            return argument
        if argument.is_complex and argument.itemsize < 2 * self._dtype.itemsize:
            return self._dtype.to_complex()
        low = argument.is_floating_point and argument.itemsize < self._dtype.itemsize
        return self._dtype if low else argument


_CASTS: dict[Any, torch.dtype] = {
    Tensor.float: torch.float32,
    Tensor.half: torch.float16,
    Tensor.bfloat16: torch.bfloat16,
}


class StepwiseRecurrence(TorchFunctionMode):
    """Keeps recurrent layers off cuDNN, whose kernels have no second derivative."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Disable cuDNN for recurrent calls; convolutions keep it."""
        if func not in _RECURRENT:
            return func(*args, **(kwargs or {}))
        enabled = torch.backends.cudnn.enabled
        torch.backends.cudnn.enabled = False
        try:
            return func(*args, **(kwargs or {}))
        finally:
            torch.backends.cudnn.enabled = enabled


_RECURRENT = (torch.lstm, torch.gru, torch.rnn_tanh, torch.rnn_relu)


class WeightNormByFormula(TorchFunctionMode):
    r"""$w = g\, v / \|v\|$ for `torch.nn.utils.weight_norm`, old and new."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Forward every other call."""
        if func is torch._weight_norm:
            return _weight_norm(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def _weight_norm(v: Tensor, g: Tensor, dim: int = 0) -> Tensor:
    return v * (g / torch.norm_except_dim(v, 2, dim))


class ForwardWatch(TorchFunctionMode):
    """Records properties of a forward pass.

    Args:
        sizes: counts the multiply-adds of its kernels, if given.

    Attributes:
        attention: whether it calls fused attention.
        differentiated_in: tensors in which it takes derivatives by `torch.autograd.grad`.
    """

    def __init__(self, sizes: KernelSizes | None = None) -> None:
        super().__init__()
        self._sizes = sizes
        self.attention = False
        self.differentiated_in: list[Tensor] = []

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Forward every call."""
        if func in (F.scaled_dot_product_attention, F.multi_head_attention_forward):
            self.attention = True
        elif func is torch.autograd.grad:
            inputs = (kwargs or {}).get("inputs", args[1] if len(args) > 1 else ())
            self.differentiated_in += [inputs] if isinstance(inputs, Tensor) else list(inputs)
        result = func(*args, **(kwargs or {}))
        if self._sizes is not None:
            self._sizes.add(func, args, kwargs or {}, result)
        return result

"""Kernels that have second derivatives, in place of the fused ones that have none."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

from hessium._arithmetic import full_precision


@contextmanager
def twice_differentiable(device_type: str, dtype: torch.dtype | None = None) -> Iterator[None]:
    """Kernels with second derivatives, in full precision.

    Attention goes by plain matrix products and recurrence step by step, because the fused kernels
    cannot be differentiated twice; weight normalisation by its formula, because the second
    derivative of its kernel is wrong.

    Args:
        device_type: of the parameters.
        dtype: if given, casts to a lower precision are left out.
    """
    fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with ExitStack() as stack:
            stack.enter_context(full_precision())
            stack.enter_context(sdpa_kernel(SDPBackend.MATH))
            if device_type == "cuda":
                stack.enter_context(StepwiseRecurrence())
            stack.enter_context(WeightNormByFormula())
            stack.enter_context(at_least(dtype))
            if "torch._dynamo" in sys.modules:  # else nothing can have been compiled
                # compiled modules run as they were written: their backward has no backward
                stack.enter_context(torch.compiler.set_stance("force_eager"))
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)


def at_least(dtype: torch.dtype | None) -> AbstractContextManager[object]:
    """Casts below `dtype` are left out; none is without one."""
    return nullcontext() if dtype is None else AtLeast(dtype)


class AtLeast(TorchFunctionMode):
    """Leaves out what would lower the precision: `x.to(torch.float32)`, `softmax(x, dtype=...)`.

    Many networks round inside, to a fixed dtype and whatever that of their parameters is.

    Args:
        dtype: the lowest that floating-point numbers may have.
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
        """Replace every dtype among the arguments that is too low."""
        if func in _CASTS and self._raised(_CASTS[func]) is self._dtype:
            return args[0].to(self._dtype)
        keywords = {name: self._raised(value) for name, value in (kwargs or {}).items()}
        return func(*(self._raised(a) for a in args), **keywords)

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
        """Switch cuDNN off for this one call; convolutions keep it."""
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
        """Pass every other call on."""
        if func is torch._weight_norm:
            return _weight_norm(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def _weight_norm(v: Tensor, g: Tensor, dim: int = 0) -> Tensor:
    return v * (g / torch.norm_except_dim(v, 2, dim))


class AttentionWatch(TorchFunctionMode):
    """Notes whether a forward pass asks for fused attention.

    Attributes:
        seen: True after the first call.
    """

    seen = False

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Pass every call on."""
        if func in (F.scaled_dot_product_attention, F.multi_head_attention_forward):
            self.seen = True
        return func(*args, **(kwargs or {}))

"""Kernels that have second derivatives, in place of the fused ones that have none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode


@contextmanager
def twice_differentiable(device_type: str) -> Iterator[None]:
    """Attention by plain matrix products, weight normalisation by its formula, in full precision.

    The fused kernels of attention cannot be differentiated twice, that of weight normalisation is
    wrong when it is, and autocast would round inside.
    """
    fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with (
            torch.autocast(device_type, enabled=False),
            sdpa_kernel(SDPBackend.MATH),
            _WeightNormByFormula(),
        ):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)


class _WeightNormByFormula(TorchFunctionMode):
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

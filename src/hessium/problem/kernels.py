"""Kernels that have second derivatives, in place of the fused ones that have none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode


@contextmanager
def twice_differentiable(device_type: str) -> Iterator[None]:
    """Attention by plain matrix products, in full precision.

    The fused kernels cannot be differentiated twice, and autocast would round inside.
    """
    fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.autocast(device_type, enabled=False), sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)


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

"""Full precision and graphs, whatever a caller has switched on around the call."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from hessium._threads import ProcessSetting

_DEVICES = ("cpu", "cuda")
# where torch may multiply float32 numbers of fewer digits: convolutions on CUDA do so by default
_BACKENDS: Any = torch.backends
_SWITCHES = (
    _BACKENDS.cuda.matmul,
    _BACKENDS.cudnn.conv,
    _BACKENDS.cudnn.rnn,
    _BACKENDS.mkldnn.matmul,
    _BACKENDS.mkldnn.conv,
    _BACKENDS.mkldnn.rnn,
)
_FULL = "ieee"


def _multiply_in_full(stack: ExitStack) -> None:
    for switch in _SWITCHES:
        precision = switch.fp32_precision
        if precision != _FULL:
            switch.fp32_precision = _FULL
            stack.callback(setattr, switch, "fp32_precision", precision)


_FULL_PRODUCTS = ProcessSetting(_multiply_in_full)


@contextmanager
def full_precision() -> Iterator[None]:
    """No autocast, no TF32 or bfloat16 inside float32 products, no inference mode.

    Also a decorator. Spectra would be those of rounded products under the first two, and zero under
    the third, in which torch records no graph.
    """
    with ExitStack() as stack:
        if torch.is_inference_mode_enabled():
            stack.enter_context(torch.inference_mode(mode=False))
        for device in _DEVICES:
            if torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        stack.enter_context(_FULL_PRODUCTS.held())
        yield

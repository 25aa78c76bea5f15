"""The functions of torch that are replaced by closed forms, and where."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.overrides import TorchFunctionMode

from hessium.curvature.closed_forms.convolution import Convolution, Geometry
from hessium.curvature.closed_forms.native import Use
from hessium.curvature.closed_forms.normalisation import (
    Normalisation,
    group_rows,
    layer_rows,
    rms_rows,
)
from hessium.curvature.closed_forms.pointwise import Activation
from hessium.problem import EmpiricalRisk

_SMALLEST = 2**12  # entries: below, calls of Python cost more than passes over memory


class ClosedForms(TorchFunctionMode):
    """Replaces activations and normalisations where that makes products faster.

    It must be active in forward passes only, and not where activations are recomputed.

    Args:
        linear: whether gradients will be differentiated in their cotangents only, not in the
            parameters, as for products with a Jacobian.
        share: of the samples that are read; smaller inputs are replaced then, so that a check on a
            part of the samples uses all forms that all samples use.
    """

    def __init__(self, *, linear: bool = False, share: float = 1.0) -> None:
        super().__init__()
        self._smallest = share * _SMALLEST
        self._use = Use(linear=linear)

    def __enter__(self) -> ClosedForms:
        """A forward pass begins."""
        self._use.forward = True
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: Any) -> None:
        """It ends."""
        self._use.forward = False
        super().__exit__(*error)  # type: ignore[no-untyped-call]

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Forward every other call."""
        form = _FORMS.get(func)
        if form is not None and args and _fits(args[0], self._smallest):
            found = form(self._use, *args, **(kwargs or {}))
            if found is not None:
                return found
        return func(*args, **(kwargs or {}))


def closed_forms(risk: EmpiricalRisk, *, linear: bool = False) -> AbstractContextManager[object]:
    """The mode for forward passes of a risk; no effect where a backward pass recomputes them.

    Args:
        risk: the risk.
        linear: as in `ClosedForms`.
    """
    if risk.survey.recomputes or not risk.surveyed:
        return nullcontext()
    return ClosedForms(linear=linear, share=risk.share)


def _fits(x: Any, smallest: float) -> bool:
    return (
        type(x) in (Tensor, nn.Parameter)
        and x.numel() >= smallest
        and x.requires_grad
        and x.dtype in (torch.float32, torch.float64)
        and torch.is_grad_enabled()
        and not torch._C._are_functorch_transforms_active()
        and forward_ad._current_level < 0
    )


def _pointwise(function: Callable[..., Tensor]) -> Callable[..., Tensor | None]:
    def form(use: Use, x: Tensor, *args: Any, **keywords: Any) -> Tensor | None:
        # in place, or with other tensors as arguments: torch's own
        if any(isinstance(one, Tensor) for one in (*args, *keywords.values())):
            return None
        if keywords.pop("inplace", False):
            return None
        call = functools.partial(_called, function, args, keywords)
        return Activation.apply(  # type: ignore[no-untyped-call]
            x, call, use
        )

    return form


def _called(
    function: Callable[..., Tensor], args: Sequence[Any], keywords: dict[str, Any], x: Tensor
) -> Tensor:
    return function(x, *args, **keywords)


def _layer_norm(
    use: Use,
    x: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    cudnn_enable: bool = True,
) -> Tensor | None:
    if not _plain(x, weight, bias):
        return None
    return Normalisation.apply(  # type: ignore[no-untyped-call]
        x, weight, bias, layer_rows(x, normalized_shape, eps), use
    )


def _group_norm(
    use: Use,
    x: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    cudnn_enabled: bool = True,
) -> Tensor | None:
    if not _plain(x, weight, bias):
        return None
    return Normalisation.apply(  # type: ignore[no-untyped-call]
        x, weight, bias, group_rows(x, num_groups, eps), use
    )


def _rms_norm(
    use: Use,
    x: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    eps: float | None = None,
) -> Tensor | None:
    if not _plain(x, weight):
        return None
    return Normalisation.apply(  # type: ignore[no-untyped-call]
        x, weight, None, rms_rows(x, normalized_shape, eps), use
    )


def _batch_norm(
    use: Use,
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor | None:
    """With fixed statistics: a scale and a shift of each channel."""
    if training or running_mean is None or running_var is None or weight is None:
        return None
    if not running_mean.dtype is running_var.dtype is weight.dtype is x.dtype:
        return None
    channels = (1, -1, *(1 for _ in x.shape[2:]))
    scale = weight * (running_var + eps).rsqrt()
    shift = -running_mean * scale if bias is None else bias - running_mean * scale
    return torch.addcmul(shift.view(channels), x, scale.view(channels))


def _convolution(dims: int) -> Callable[..., Tensor | None]:
    def form(
        use: Use,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: int | Sequence[int] = 1,
        padding: int | Sequence[int] | str = 0,
        dilation: int | Sequence[int] = 1,
        groups: int = 1,
    ) -> Tensor | None:
        if isinstance(padding, str) or x.dim() != dims + 2 or not weight.requires_grad:
            return None
        geometry = Geometry(
            stride=_repeated(stride, dims),
            padding=_repeated(padding, dims),
            dilation=_repeated(dilation, dims),
            groups=groups,
        )
        return Convolution.apply(  # type: ignore[no-untyped-call]
            x, weight, bias, geometry, use
        )

    return form


def _repeated(size: int | Sequence[int], dims: int) -> list[int]:
    return [size] * dims if isinstance(size, int) else list(size) * (dims // len(size))


def _plain(x: Tensor, *others: Tensor | None) -> bool:
    return x.is_contiguous() and all(
        t is None or (t.dtype is x.dtype and t.is_contiguous()) for t in others
    )


# not tanh, sigmoid and ReLU: torch composes their second derivatives of two or three kernels
_FORMS: dict[Any, Callable[..., Tensor | None]] = {
    **{function: _pointwise(function) for function in (F.gelu, F.silu, F.softplus, F.mish)},
    F.conv1d: _convolution(1),
    F.conv2d: _convolution(2),
    F.conv3d: _convolution(3),
    **dict.fromkeys((F.layer_norm, torch.layer_norm), _layer_norm),
    **dict.fromkeys((F.group_norm, torch.group_norm), _group_norm),
    **dict.fromkeys((F.rms_norm, torch.rms_norm), _rms_norm),
    F.batch_norm: _batch_norm,
}

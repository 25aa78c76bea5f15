"""The calls of torch that use parameters in a known way: how each is recorded.

Every function gets the recorder and the arguments of the call. It returns the result with an offset
added, or None where the call is of another kind; then the recorder treats it as an unknown one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from hessium.curvature.layer_ops import Elementwise, Grouped, Kernel, Outer, Swapped, Transposed
from hessium.curvature.recurrent_taps import RECURRENT

if TYPE_CHECKING:
    from hessium.curvature.layer_recorder import TapRecorder


def linear(
    to: TapRecorder, input: Tensor, weight: Tensor, bias: Tensor | None = None
) -> Tensor | None:
    """W a + beta."""
    if input.dim() < 2 or weight.dim() != 2:
        return None
    if (turned := to.turned(weight)) is not None:
        return product(to, input, turned, bias, F.linear(input, weight, bias))
    return outer(to, input, weight, bias, F.linear(input, weight, bias))


def outer(
    to: TapRecorder, input: Tensor, weight: Tensor, bias: Tensor | None, result: Tensor
) -> Tensor:
    """A linear layer whose weight has a row for each unit."""
    call = Outer(
        weight=to.key(weight), bias=to.key(bias), inputs=input, offset=to.offset(result),
        width=weight.shape[0], entries=(result.dim() - 1,),
    )  # fmt: skip
    return to.add(call, result)


def product(
    to: TapRecorder, input: Tensor, weight: Tensor, bias: Tensor | None, result: Tensor
) -> Tensor:
    """A linear layer whose weight has a column for each unit."""
    call = Swapped(
        weight=to.key(weight), bias=to.key(bias), inputs=input, offset=to.offset(result),
        width=weight.shape[1], entries=(result.dim() - 1,),
    )  # fmt: skip
    return to.add(call, result)


def matmul(to: TapRecorder, input: Tensor, weight: Tensor) -> Tensor | None:
    """A W."""
    if input.dim() < 2 or weight.dim() != 2:
        return None
    if (turned := to.turned(weight)) is not None:
        return outer(to, input, turned, None, input @ weight)
    return product(to, input, weight, None, input @ weight)


def addmm(
    to: TapRecorder,
    bias: Tensor,
    input: Tensor,
    weight: Tensor,
    *,
    beta: float = 1,
    alpha: float = 1,
) -> Tensor | None:
    """Beta + a W."""
    if bias.dim() != 1 or (beta, alpha) != (1, 1):
        return None
    result = torch.addmm(bias, input, weight)
    if (turned := to.turned(weight)) is not None:
        return outer(to, input, turned, bias, result)
    return product(to, input, weight, bias, result)


def bilinear(
    to: TapRecorder, one: Tensor, other: Tensor, weight: Tensor, bias: Tensor | None = None
) -> Tensor | None:
    """A linear layer on the products of the entries of two inputs."""
    if one.dim() < 2 or to.key(other) is not None:
        return None
    pairs = (one.detach()[..., :, None] * other.detach()[..., None, :]).flatten(-2)
    return outer(to, pairs, weight, bias, F.bilinear(one, other, weight, bias))


def embedding(
    to: TapRecorder,
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor | None:
    """Rows of a table."""
    if max_norm is not None or scale_grad_by_freq or sparse or input.dim() == 0:
        return None
    result = F.embedding(input, weight, padding_idx)
    if (samples := to.samples()) and input.shape[0] % samples:
        # positions that all samples share: each sample gets its own offset
        shared = result if result.dim() == 3 and len(result) == 1 else result[None]
        result = shared.expand(samples, *shared.shape[1:])
    call = Swapped(
        weight=to.key(weight), bias=None, inputs=input, offset=to.offset(result),
        width=weight.shape[1], entries=(result.dim() - 1,),
        ignored=None if padding_idx is None else padding_idx % weight.shape[0],
    )  # fmt: skip
    return to.add(call, result)


def convolution(
    to: TapRecorder,
    function: Callable[..., Tensor],
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor | None:
    """A linear layer on patches."""
    if input.dim() != weight.dim():
        return None
    result = function(input, weight, bias, stride, padding, dilation, groups)
    common: dict[str, Any] = {
        "weight": to.key(weight),
        "bias": to.key(bias),
        "inputs": input,
        "offset": to.offset(result),
        "width": weight.shape[0],
        "entries": (1,),
        "kernel": Kernel.of(weight.shape[2:], stride, padding, dilation),
    }
    return to.add(Outer(**common) if groups == 1 else Grouped(**common, groups=groups), result)


def transposed(
    to: TapRecorder,
    function: Callable[..., Tensor],
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Tensor | None:
    """A transposed convolution, and a sum with its bias."""
    if input.dim() != weight.dim():
        return None
    result = function(input, weight, None, stride, padding, output_padding, groups, dilation)
    if (w := to.key(weight)) is not None:
        call = Transposed(
            weight=w, bias=None, inputs=input, offset=to.offset(result),
            width=groups * weight[0].numel(), entries=(1,), groups=groups,
            kernel=Kernel.of(weight.shape[2:], stride, padding, dilation),
        )  # fmt: skip
        result = to.add(call, result)
    return result if bias is None else scaled(to, None, result, None, bias, (1,))


def layer_norm(
    to: TapRecorder,
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Layer normalisation."""
    plain = F.layer_norm(input, normalized_shape, None, None, eps)
    return scaled(to, plain, plain, weight, bias, last(plain, len(normalized_shape)))


def rms_norm(
    to: TapRecorder,
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    eps: float | None = None,
) -> Tensor:
    """Normalisation by the root of the mean square."""
    plain = F.rms_norm(input, normalized_shape, None, eps)
    return scaled(to, plain, plain, weight, None, last(plain, len(normalized_shape)))


def group_norm(
    to: TapRecorder,
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Group normalisation."""
    plain = F.group_norm(input, num_groups, None, None, eps)
    return scaled(to, plain, plain, weight, bias, (1,))


def instance_norm(
    to: TapRecorder,
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Instance normalisation."""
    plain = F.instance_norm(
        input, running_mean, running_var, None, None, use_input_stats, momentum, eps
    )
    return scaled(to, plain, plain, weight, bias, (1,))


def batch_norm(
    to: TapRecorder,
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor | None:
    """Batch normalisation by running statistics."""
    if training or running_mean is None or running_var is None:
        return None
    plain = F.batch_norm(input, running_mean, running_var, None, None, eps=eps)
    return scaled(to, plain, plain, weight, bias, (1,))


def prelu(to: TapRecorder, input: Tensor, weight: Tensor) -> Tensor | None:
    """A slope for negative entries, one or one for each channel."""
    if input.dim() < 2:
        return None
    entries = (1,) if weight.numel() > 1 else ()
    result = F.prelu(input, weight)
    return scaled(to, input.clamp(max=0), result, weight, None, entries, made=True)


def scaled(
    to: TapRecorder,
    factor: Tensor | None,
    plain: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    entries: tuple[int, ...],
    *,
    made: bool = False,
) -> Tensor:
    """`plain` times a weight plus a bias, which have the dimensions `entries` of it.

    Args:
        to: the recorder.
        factor: derivative of the result in the weight.
        plain: what is multiplied.
        weight: or None.
        bias: or None.
        entries: dimensions of the result.
        made: `plain` is the result already.
    """
    shape = [size if axis in entries else 1 for axis, size in enumerate(plain.shape)]
    result = plain
    if not made and weight is not None:
        result = result * weight.reshape(shape)
    if not made and bias is not None:
        result = result + bias.reshape(shape)
    offset = to.offset(result)
    width = torch.Size(shape).numel()
    one = torch.ones((), dtype=plain.dtype, device=plain.device)
    for tensor, inputs in ((weight, factor), (bias, one)):
        if tensor is not None and inputs is not None and (key := to.key(tensor)) is not None:
            units = tensor.shape[0] if tensor.dim() else 1
            call = Elementwise(
                weight=key, bias=None, inputs=inputs.detach(), offset=offset, width=width,
                entries=entries, units=units,
            )  # fmt: skip
            to.calls.append(call)
    return result + offset


def last(tensor: Tensor, count: int) -> tuple[int, ...]:
    """The last dimensions."""
    return tuple(range(tensor.dim() - count, tensor.dim()))


def _of(
    tap: Callable[..., Tensor | None], function: Callable[..., Tensor]
) -> Callable[..., Tensor | None]:
    return lambda to, *args, **kwargs: tap(to, function, *args, **kwargs)


PRODUCTS = (torch.matmul, torch.mm, Tensor.matmul, Tensor.mm, Tensor.__matmul__)
LAYERS: dict[Any, Callable[..., Any]] = {
    F.linear: linear,
    F.bilinear: bilinear,
    F.conv1d: _of(convolution, F.conv1d),
    F.conv2d: _of(convolution, F.conv2d),
    F.conv3d: _of(convolution, F.conv3d),
    F.conv_transpose1d: _of(transposed, F.conv_transpose1d),
    F.conv_transpose2d: _of(transposed, F.conv_transpose2d),
    F.conv_transpose3d: _of(transposed, F.conv_transpose3d),
    F.embedding: embedding,
    F.layer_norm: layer_norm,
    F.rms_norm: rms_norm,
    F.group_norm: group_norm,
    F.instance_norm: instance_norm,
    F.batch_norm: batch_norm,
    F.prelu: prelu,
    torch.addmm: addmm,
    **dict.fromkeys(PRODUCTS, matmul),
    **RECURRENT,
}

"""Records the layer calls of a forward pass and adds offsets to their results.

A linear layer computes z = W a + b for each sample, so the loss depends on its parameters only
through z. An additive offset of zeros at every z makes z a leaf of the graph. The forward pass is
intercepted; the model is not modified. The same holds for convolutions, embeddings and the affine
part of normalisations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from hessium.curvature.graph import differentiate
from hessium.curvature.layer_ops import Call, Grouped, Kernel, Outer, Scale, Swapped
from hessium.problem import EmpiricalRisk
from hessium.problem.data import num_samples
from hessium.problem.losses import rows


class TapRecorder(TorchFunctionMode):
    """Intercepts a forward pass: adds an offset after each layer, notes any other use.

    Args:
        leaves: the free parameters.
        samples: number of samples, from the shape of the inputs.

    Attributes:
        calls: in order.
        supported: False once a parameter is used outside of a known layer.
    """

    def __init__(self, leaves: Sequence[Tensor], samples: int | None) -> None:
        super().__init__()
        self._positions = {id(leaf): position for position, leaf in enumerate(leaves)}
        self._samples = samples
        self.calls: list[Call] = []
        self.supported = True

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Forward every call; add the offset to calls of layers."""
        keywords = kwargs or {}
        touched = any(id(leaf) in self._positions for leaf in tree_leaves((args, keywords)))
        if touched and func in _LAYERS:
            found = _LAYERS[func](self, *args, **keywords)
            if found is not None:
                return found
        result = func(*args, **keywords)
        # reading the shape or dtype of a parameter is not a use; a tensor computed from it is
        if touched and any(isinstance(leaf, Tensor) for leaf in tree_leaves(result)):
            self.supported = False
        return result

    def _free(self, *tensors: Tensor | None) -> list[int | None]:
        return [None if t is None else self._positions.get(id(t)) for t in tensors]

    def _offset(self, result: Tensor) -> Tensor:
        return torch.zeros_like(result, requires_grad=True)

    def _linear(self, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor | None:
        if input.dim() < 2 or id(input) in self._positions:
            return None
        result = F.linear(input, weight, bias)
        w, b = self._free(weight, bias)
        call = Outer(
            weight=w, bias=b, inputs=input, offset=self._offset(result), width=weight.shape[0]
        )
        return self._add(call, result)

    def _matmul(self, input: Tensor, weight: Tensor) -> Tensor | None:
        if input.dim() < 2 or id(input) in self._positions or weight.dim() != 2:
            return None
        return self._swapped(input, weight, None, input @ weight)

    def _addmm(
        self, bias: Tensor, input: Tensor, weight: Tensor, *, beta: float = 1, alpha: float = 1
    ) -> Tensor | None:
        if id(input) in self._positions or bias.dim() != 1 or (beta, alpha) != (1, 1):
            return None
        return self._swapped(input, weight, bias, torch.addmm(bias, input, weight))

    def _swapped(
        self, input: Tensor, weight: Tensor, bias: Tensor | None, result: Tensor
    ) -> Tensor:
        w, b = self._free(weight, bias)
        call = Swapped(
            weight=w, bias=b, inputs=input, offset=self._offset(result), width=weight.shape[1]
        )
        return self._add(call, result)

    def _embedding(
        self,
        input: Tensor,
        weight: Tensor,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
    ) -> Tensor | None:
        if max_norm is not None or scale_grad_by_freq or sparse or input.dim() == 0:
            return None
        result = F.embedding(input, weight, padding_idx)
        if self._samples is not None and input.shape[0] % self._samples:
            # positions that all samples share: each sample gets its own offset
            shared = result if result.dim() == 3 and len(result) == 1 else result[None]
            result = shared.expand(self._samples, *shared.shape[1:])
        ignored = None if padding_idx is None else padding_idx % weight.shape[0]
        call = Swapped(
            weight=self._free(weight)[0],
            bias=None,
            inputs=input,
            offset=self._offset(result),
            width=weight.shape[1],
            ignored=ignored,
        )
        return self._add(call, result)

    def _convolution(
        self,
        function: Callable[..., Tensor],
        input: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
    ) -> Tensor | None:
        if input.dim() != weight.dim() or id(input) in self._positions:
            return None
        result = function(input, weight, bias, stride, padding, dilation, groups)
        w, b = self._free(weight, bias)
        common: dict[str, Any] = {
            "weight": w,
            "bias": b,
            "inputs": input,
            "offset": self._offset(result),
            "width": weight.shape[0],
            "channels_first": True,
            "kernel": Kernel.of(weight.shape[2:], stride, padding, dilation),
        }
        return self._add(
            Outer(**common) if groups == 1 else Grouped(**common, groups=groups), result
        )

    def _layer_norm(
        self,
        input: Tensor,
        normalized_shape: Sequence[int],
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        eps: float = 1e-5,
    ) -> Tensor:
        plain = F.layer_norm(input, normalized_shape, None, None, eps)
        result = F.layer_norm(input, normalized_shape, weight, bias, eps)
        return self._scale(plain, result, weight, bias, tuple(normalized_shape))

    def _rms_norm(
        self,
        input: Tensor,
        normalized_shape: Sequence[int],
        weight: Tensor | None = None,
        eps: float | None = None,
    ) -> Tensor:
        plain = F.rms_norm(input, normalized_shape, None, eps)
        result = F.rms_norm(input, normalized_shape, weight, eps)
        return self._scale(plain, result, weight, None, tuple(normalized_shape))

    def _group_norm(
        self,
        input: Tensor,
        num_groups: int,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        eps: float = 1e-5,
    ) -> Tensor:
        plain = F.group_norm(input, num_groups, None, None, eps)
        result = F.group_norm(input, num_groups, weight, bias, eps)
        return self._scale(plain, result, weight, bias, (input.shape[1],), channels_first=True)

    def _batch_norm(
        self,
        input: Tensor,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        training: bool = False,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> Tensor | None:
        if training or running_mean is None or running_var is None:
            return None
        plain = F.batch_norm(input, running_mean, running_var, None, None, eps=eps)
        result = F.batch_norm(input, running_mean, running_var, weight, bias, eps=eps)
        return self._scale(plain, result, weight, bias, (input.shape[1],), channels_first=True)

    def _scale(
        self,
        plain: Tensor,
        result: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        shape: tuple[int, ...],
        channels_first: bool = False,
    ) -> Tensor:
        w, b = self._free(weight, bias)
        call = Scale(
            weight=w,
            bias=b,
            inputs=plain.detach(),
            offset=self._offset(result),
            width=torch.Size(shape).numel(),
            units=shape[0],
            channels_first=channels_first,
        )
        return self._add(call, result)

    def _add(self, call: Call, result: Tensor) -> Tensor:
        self.calls.append(call)
        return result + call.offset


def _convolution(function: Callable[..., Tensor]) -> Callable[..., Tensor | None]:
    return lambda recorder, *args, **kwargs: recorder._convolution(function, *args, **kwargs)


_LAYERS: dict[Any, Callable[..., Tensor | None]] = {
    F.linear: TapRecorder._linear,
    F.conv1d: _convolution(F.conv1d),
    F.conv2d: _convolution(F.conv2d),
    F.conv3d: _convolution(F.conv3d),
    F.embedding: TapRecorder._embedding,
    F.layer_norm: TapRecorder._layer_norm,
    F.rms_norm: TapRecorder._rms_norm,
    F.group_norm: TapRecorder._group_norm,
    F.batch_norm: TapRecorder._batch_norm,
    torch.addmm: TapRecorder._addmm,
    torch.matmul: TapRecorder._matmul,
    Tensor.matmul: TapRecorder._matmul,
    Tensor.__matmul__: TapRecorder._matmul,
}


@dataclass(frozen=True)
class TappedBatch:
    """The outputs of one batch with the calls of its forward pass.

    Attributes:
        outputs: f, part of the graph.
        calls: one for each layer with a free parameter.
        samples: N.
    """

    outputs: Tensor
    calls: list[Call]
    samples: int

    def output_rows(self, columns: Tensor, which: Sequence[int] | None = None) -> list[Tensor]:
        r"""For each call $\sum_c S_{s c r}\, \partial f_{s c}/\partial \varepsilon$, (r, ...).

        Args:
            columns: S with the column index first, shape (r, N, C).
            which: indices of the requested calls; all by default.
        """
        calls = self.calls if which is None else [self.calls[k] for k in which]
        offsets = [call.offset for call in calls]
        size = columns.shape[0]
        cotangents = columns.reshape(size, *self.outputs.shape)
        # on CPUs a convolution is twice as fast for one vector after the other as for many at once
        if self.outputs.device.type == "cpu" and any(c.channels_first for c in self.calls):
            found = [
                differentiate([self.outputs], offsets, [one], batched=False, like=offsets)
                for one in cotangents
            ]
            return [torch.stack(parts) for parts in zip(*found, strict=True)]
        like = [o.unsqueeze(0).expand(size, *o.shape) for o in offsets]
        return differentiate([self.outputs], offsets, [cotangents], batched=True, like=like)


def tap(risk: EmpiricalRisk, inputs: Any) -> TappedBatch | None:
    """Evaluate one batch with taps; None if parameters are used outside of known layers."""
    survey = risk.survey
    if survey.runs_python or survey.recomputes or survey.read_by_loss or risk.sample_axis != 0:
        return None
    leaves = risk.leaves()
    try:
        with TapRecorder(leaves, num_samples(inputs)) as recorder:
            f = risk.outputs(leaves, inputs)
    except torch.OutOfMemoryError:
        raise
    except Exception:
        # an argument that a layer here does not know, or a shape that had to stay as it was
        return None
    samples = rows(f).shape[0]
    calls = recorder.calls
    if not recorder.supported or not calls or not f.requires_grad:
        return None
    if not all(call.fits(samples) for call in calls):
        return None
    return TappedBatch(f, calls, samples)


def plain_layers(batch: TappedBatch | None) -> list[Outer] | None:
    """The calls, if all are linear layers on inputs (N, p) and use each parameter once."""
    if batch is None:
        return None
    plain = [
        call for call in batch.calls
        if isinstance(call, Outer) and call.kernel is None
        and call.inputs.shape[0] == batch.samples and call.inputs.dim() == 2
    ]  # fmt: skip
    places = [p for call in plain for p in (call.weight, call.bias) if p is not None]
    if len(plain) < len(batch.calls) or len(set(places)) < len(places):
        return None
    return plain

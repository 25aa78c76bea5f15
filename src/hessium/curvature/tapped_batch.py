"""The outputs of one batch with the recorded uses of its parameters."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hessium.curvature.graph import differentiate
from hessium.curvature.layer_ops import Call, Outer, Place
from hessium.curvature.layer_recorder import TapRecorder
from hessium.problem import EmpiricalRisk
from hessium.problem.data import num_samples
from hessium.problem.losses import num_rows

_OUTSIDE = (
    1e-6  # largest derivative at another sample, relative to that at its own, that is rounding
)


@dataclass(frozen=True)
class TappedBatch:
    """The outputs of one batch with the calls of its forward pass.

    Attributes:
        outputs: f, part of the graph.
        calls: one for each use of a free parameter.
        samples: N.
        inputs: of the batch.
        leaves: number of free parameters.
        tensors: these, then the tensors computed from them alone.
        behind: for each of these the parameters that it depends on.
        unknown: parameters without a closed form; their calls do not count.
    """

    outputs: Tensor
    calls: list[Call]
    samples: int
    inputs: Any
    leaves: int
    tensors: list[Tensor]
    behind: list[frozenset[int]]
    unknown: frozenset[int]

    def output_rows(self, columns: Tensor, which: Sequence[int] | None = None) -> list[Tensor]:
        r"""For each call $\sum_c S_{s c r}\, \partial f_{s c}/\partial \varepsilon$, (r, ...).

        Args:
            columns: S with the column index first, shape (r, N, C).
            which: indices of the requested calls; all by default.
        """
        calls = self.calls if which is None else [self.calls[k] for k in which]
        distinct = {id(call.offset): call.offset for call in calls}
        offsets = list(distinct.values())
        size = columns.shape[0]
        cotangents = columns.reshape(size, *self.outputs.shape)
        # on CPUs a convolution is twice as fast for one vector after the other as for many at once
        if self.outputs.device.type == "cpu" and any(_spatial(c) for c in self.calls):
            found = [
                differentiate([self.outputs], offsets, [one], batched=False, like=offsets)
                for one in cotangents
            ]
            stacked = [torch.stack(parts) for parts in zip(*found, strict=True)]
        else:
            like = [o.unsqueeze(0).expand(size, *o.shape) for o in offsets]
            stacked = differentiate([self.outputs], offsets, [cotangents], batched=True, like=like)
        by_offset = dict(zip(distinct, stacked, strict=True))
        return [by_offset[id(call.offset)] for call in calls]


def tap(risk: EmpiricalRisk, inputs: Any, *, rest: bool = False) -> TappedBatch | None:
    """Evaluate one batch with taps.

    Args:
        risk: the risk, at its parameters.
        inputs: of the batch.
        rest: parameters without a closed form are allowed, if some parameter has one.

    Returns:
        None where the taps do not apply.
    """
    survey = risk.survey
    if survey.runs_python or survey.recomputes or survey.read_by_loss or risk.sample_axis != 0:
        return None
    leaves, guess = risk.leaves(), num_samples(inputs)
    while True:
        recorder = TapRecorder(leaves, inputs, guess)
        try:
            with recorder:
                f = risk.outputs(leaves, inputs)
        except torch.OutOfMemoryError:
            raise
        except Exception:
            # an argument that a layer here does not know, or a shape that had to stay as it was
            return None
        if not recorder.counted or num_rows(f) == guess:
            break
        guess = num_rows(f)
    if not recorder.calls or not f.requires_grad or not recorder.reads(f):
        return None
    if recorder.differentiates:
        return None
    return _batch(recorder, f, inputs, rest)


def _batch(recorder: TapRecorder, f: Tensor, inputs: Any, rest: bool) -> TappedBatch | None:
    """The batch, with the place of the samples in every call."""
    samples = num_rows(f)
    if not samples:
        return None
    places = _places(f, recorder.calls, samples)
    unknown = set(recorder.unknown)
    for call, place in zip(recorder.calls, places, strict=True):
        if place is None:
            keys = [key for key in (call.weight, call.bias) if key is not None]
            unknown.update(*(recorder.behind[key] for key in keys))
    if unknown and not rest:
        return None

    def known(key: int | None) -> int | None:
        return None if key is None or recorder.behind[key] <= unknown else key

    calls = [
        dataclasses.replace(call, weight=w, bias=b, place=place or Place())
        for call, place in zip(recorder.calls, places, strict=True)
        for w, b in [(known(call.weight), known(call.bias))]
        if w is not None or b is not None
    ]
    if not calls:
        return None
    leaves = len(frozenset().union(*recorder.behind))
    return TappedBatch(
        f, calls, samples, inputs, leaves, recorder.tensors, recorder.behind, frozenset(unknown)
    )


def _places(f: Tensor, calls: Sequence[Call], samples: int) -> list[Place | None]:
    """Where the samples lie: by the shapes, or where those leave a choice, by a derivative.

    The derivative of the outputs of one sample is zero at all others. Cost: one gradient, or none.
    """
    choices = [call.places(samples) for call in calls]
    if all(len(found) == 1 for found in choices):
        return [found[0] for found in choices]
    cotangent = torch.zeros_like(f)
    one = cotangent[-1]
    one += torch.arange(1, one.numel() + 1, device=f.device).to(f).cos().view(one.shape)
    slopes = torch.autograd.grad(
        f, [call.offset for call in calls], cotangent, retain_graph=True, allow_unused=True
    )
    return [
        next((place for place in found if slope is None or _fits(slope, place, samples)), None)
        for found, slope in zip(choices, slopes, strict=True)
    ]


def _fits(slope: Tensor, place: Place, samples: int) -> bool:
    """Whether a derivative of the outputs of the last sample is at that sample alone."""
    each = place.first(slope, samples).reshape(samples, -1).abs().amax(dim=1)
    return bool((each[:-1] <= _OUTSIDE * each[-1]).all())


def _spatial(call: Call) -> bool:
    return getattr(call, "kernel", None) is not None


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
    return plain if max(places) < batch.leaves else None

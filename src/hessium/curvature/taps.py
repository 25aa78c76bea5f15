"""Where the parameters of a network act: at the outputs of its linear layers.

A linear layer computes z = W a + b for each sample, so its parameters reach the loss only through
z. An additive offset of zeros at every z makes that place a leaf of the graph, without touching the
model: the forward pass is watched, not rewritten.
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
from hessium.problem import EmpiricalRisk
from hessium.problem.losses import rows


@dataclass(frozen=True)
class Tap:
    """One call of a linear layer.

    Attributes:
        weight: position of its weight among the leaves, None if that is fixed.
        bias: likewise.
        inputs: a, shape (N, p), part of the graph.
        offset: epsilon, a leaf of zeros, shape (N, d).
    """

    weight: int | None
    bias: int | None
    inputs: Tensor
    offset: Tensor

    def extended_inputs(self) -> Tensor:
        """The inputs of the free parameters only: a for the weight, 1 for the bias."""
        a = self.inputs.detach()
        parts = [a] if self.weight is not None else []
        if self.bias is not None:
            parts.append(torch.ones_like(a[:, :1]))
        return torch.cat(parts, dim=1)


class TapRecorder(TorchFunctionMode):
    """Watches a forward pass, adds an offset after each linear layer, notes any other use.

    Args:
        leaves: the free parameters.

    Attributes:
        taps: in the order of the calls.
        supported: False as soon as a parameter is used in any other way than once, in one linear
            layer with inputs (N, p).
    """

    def __init__(self, leaves: Sequence[Tensor]) -> None:
        super().__init__()
        self._positions = {id(leaf): position for position, leaf in enumerate(leaves)}
        self._used: set[int] = set()
        self.taps: list[Tap] = []
        self.supported = True

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Let every call through; calls of linear layers get their offset."""
        keywords = kwargs or {}
        touched = any(id(leaf) in self._positions for leaf in tree_leaves((args, keywords)))
        if touched and func is F.linear:
            return self._linear(*args, **keywords)
        result = func(*args, **keywords)
        # asking a parameter for its shape or dtype is no use of it; a tensor made from it is
        if touched and any(isinstance(leaf, Tensor) for leaf in tree_leaves(result)):
            self.supported = False
        return result

    def _linear(self, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        output = F.linear(input, weight, bias)
        places = [self._positions.get(id(t)) for t in (weight, bias)]
        free = [place for place in places if place is not None]
        if input.dim() != 2 or id(input) in self._positions or self._used & set(free):
            self.supported = False
            return output
        self._used |= set(free)
        offset = torch.zeros_like(output, requires_grad=True)
        self.taps.append(Tap(places[0], places[1], input, offset))
        return output + offset


@dataclass(frozen=True)
class TappedBatch:
    """The outputs of one batch with the taps of its forward pass.

    Attributes:
        outputs: f, part of the graph.
        taps: one for each linear layer with a free parameter.
    """

    outputs: Tensor
    taps: list[Tap]

    def output_rows(self, columns: Tensor) -> list[Tensor]:
        r"""For each tap $\sum_c S_{s c r}\, \partial f_{s c}/\partial \varepsilon$, (r, N, d).

        Args:
            columns: S with the column index first, shape (r, N, C).
        """
        offsets = [tap.offset for tap in self.taps]
        size = columns.shape[0]
        like = [o.unsqueeze(0).expand(size, *o.shape) for o in offsets]
        cotangents = columns.reshape(size, *self.outputs.shape)
        return differentiate([self.outputs], offsets, [cotangents], batched=True, like=like)


def tap(risk: EmpiricalRisk, inputs: Any) -> TappedBatch | None:
    """Run one batch with taps; None where the network is not made of linear layers over samples."""
    leaves = risk.leaves()
    with TapRecorder(leaves) as recorder:
        f = risk.outputs(leaves, inputs)
    samples = rows(f).shape[0]
    if not recorder.supported or not recorder.taps or not f.requires_grad:
        return None
    if any(t.offset.shape[0] != samples for t in recorder.taps):
        return None
    return TappedBatch(f, recorder.taps)

r"""Convolutions $y = w * x + b$, whose gradient is bilinear in g and (x, w).

The function $\langle u, \partial_x\rangle + \langle v, \partial_w\rangle$ of the gradient
$(\partial_x, \partial_w)$ has the derivative $w * u + v * x$ in g, and in (x, w) it has the
gradient of $v * u$ for the cotangent g: one backward pass of the convolution.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hessium.curvature.closed_forms.native import Use, gradient_by_torch, through_torch


@dataclass(frozen=True, slots=True)
class Geometry:
    """Arguments of a convolution, as `torch.convolution` takes them."""

    stride: Sequence[int]
    padding: Sequence[int]
    dilation: Sequence[int]
    groups: int

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """W * x + b."""
        none = [0] * len(self.stride)
        return torch.convolution(
            x, weight, bias, self.stride, self.padding, self.dilation, False, none, self.groups
        )

    def without_bias(self, x: Tensor, weight: Tensor) -> Tensor:
        """W * x."""
        return self.forward(x, weight, None)

    def backward(self, g: Tensor, x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Derivatives in x and the weight."""
        none = [0] * len(self.stride)
        in_x, in_weight, _ = torch.ops.aten.convolution_backward(
            g, x, weight, None, self.stride, self.padding, self.dilation, False, none,
            self.groups, [True, True, False],
        )  # fmt: skip
        return in_x, in_weight


class Convolution(torch.autograd.Function):
    """w * x + b."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        geometry: Geometry,
        use: Use,
    ) -> Tensor:
        """By torch's kernel."""
        ctx.save_for_backward(x, weight)
        ctx.geometry, ctx.biased, ctx.use = geometry, bias is not None, use
        return geometry.forward(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        """By torch's kernel."""
        x, weight = ctx.saved_tensors
        (g,) = grads
        in_bias = g.sum(dim=(0, *range(2, g.dim()))) if ctx.biased else None
        if torch.is_grad_enabled():
            if ctx.use.forward:
                found = gradient_by_torch(ctx.geometry.without_bias, [x, weight], g)
                return (*found, in_bias, None, None)
            found = _Slope.apply(g, x, weight, ctx.geometry, ctx.use.linear)  # type: ignore[no-untyped-call]
            return (*found, in_bias, None, None)
        return (*ctx.geometry.backward(g, x, weight), in_bias, None, None)


class _Slope(torch.autograd.Function):
    """The derivatives of `Convolution` in x and the weight, as functions of g, x and the weight."""

    @staticmethod
    def forward(
        ctx: Any, g: Tensor, x: Tensor, weight: Tensor, geometry: Geometry, linear: bool
    ) -> Any:
        ctx.save_for_backward(g, x, weight)
        ctx.geometry, ctx.linear = geometry, linear
        return geometry.backward(g, x, weight)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        g, x, weight = ctx.saved_tensors
        geometry: Geometry = ctx.geometry
        if torch.is_grad_enabled():
            found = through_torch(geometry.without_bias, [x, weight], g, grads)
            return (*found, None, None)
        u, v = grads
        in_g = geometry.forward(u, weight, None).add_(geometry.forward(x, v, None))
        if ctx.linear:
            return in_g, None, None, None, None
        return (in_g, *geometry.backward(g, u, v), None, None)

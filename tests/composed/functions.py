"""Autograd functions as users write them: right, opaque, and with an adjoint of their own."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


class Swish(torch.autograd.Function):
    """x sigmoid(x) with a backward pass that torch can differentiate."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x * torch.sigmoid(x)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        s = torch.sigmoid(x)
        return slope * s * (1 + x * (1 - s))


class SwishUnderNoGrad(Swish):
    """The same, computed where autograd sees nothing: its second derivative is lost."""

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        with torch.no_grad():
            (x,) = ctx.saved_tensors
            s = torch.sigmoid(x)
            factor = s * (1 + x * (1 - s))
        return slope * factor


class SwishOfDetached(Swish):
    """The same with `.detach()`, and the slope treated as a constant too."""

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        s = torch.sigmoid(x.detach())
        return slope.detach() * s * (1 + x.detach() * (1 - s))


class SwishOnce(Swish):
    """The same, marked as once differentiable."""

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        s = torch.sigmoid(x)
        return slope * s * (1 + x * (1 - s))


class SwishInNumpy(torch.autograd.Function):
    """The same with both passes in NumPy."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        a = x.detach().numpy()
        return torch.from_numpy(a / (1 + np.exp(-a)))

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        a = x.detach().numpy()
        s = 1 / (1 + np.exp(-a))
        return torch.from_numpy(slope.detach().numpy() * s * (1 + a * (1 - s)))


class Recomputed(torch.autograd.Function):
    """h + tanh(layer(h)) / 2 whose backward pass evaluates the layer again, as adjoints do."""

    @staticmethod
    def forward(ctx: Any, h: Tensor, layer: nn.Module, *parameters: Tensor) -> Tensor:
        ctx.layer = layer
        ctx.save_for_backward(h)
        with torch.no_grad():
            return h + torch.tanh(layer(h)) / 2

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Any:
        (h,) = ctx.saved_tensors
        twice = torch.is_grad_enabled()
        with torch.enable_grad():
            point = h if h.requires_grad else h.detach().requires_grad_()
            parameters = tuple(ctx.layer.parameters())
            out = point + torch.tanh(ctx.layer(point)) / 2
            wanted = (point, *(p for p in parameters if p.requires_grad))
            found = torch.autograd.grad(out, wanted, slope, create_graph=twice, allow_unused=True)
        slopes = iter(found[1:])
        return found[0], None, *(next(slopes) if p.requires_grad else None for p in parameters)


class WrongSlope(Swish):
    """A backward pass with a mistake: half the slope."""

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return slope * torch.sigmoid(x) / 2

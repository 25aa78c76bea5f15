r"""Activations $y = f(x)$: $f'(x)$ and $f''(x)$ are computed once for a graph of products."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from hessium.curvature.closed_forms.native import Use, gradient_by_torch, through_torch


class Activation(torch.autograd.Function):
    """y = f(x), entry by entry."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, function: Callable[[Tensor], Tensor], use: Use) -> Tensor:
        """The value; derivatives by torch's own kernels."""
        with torch.enable_grad():
            point = x.detach().requires_grad_()
            value = function(point)
            ones = torch.ones_like(x)
            (first,) = torch.autograd.grad(value, point, ones, create_graph=True)
            second = None if use.linear else torch.autograd.grad(first, point, ones)[0]
        ctx.save_for_backward(x, first.detach(), second)
        ctx.function, ctx.use = function, use
        return value.detach()

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        """G f'(x)."""
        x, first, second = ctx.saved_tensors
        (g,) = grads
        if torch.is_grad_enabled():
            if ctx.use.forward:
                return *gradient_by_torch(ctx.function, [x], g), None, None
            found = _Slope.apply(g, x, first, second, ctx.function)  # type: ignore[no-untyped-call]
            return found, None, None
        return g * first, None, None


class _Slope(torch.autograd.Function):
    """g f'(x), a function of g and x."""

    @staticmethod
    def forward(
        ctx: Any,
        g: Tensor,
        x: Tensor,
        first: Tensor,
        second: Tensor | None,
        function: Callable[[Tensor], Tensor],
    ) -> Tensor:
        ctx.save_for_backward(g, x, first, None if second is None else g * second)
        ctx.function = function
        return g * first

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        g, x, first, bent = ctx.saved_tensors
        (u,) = grads
        if torch.is_grad_enabled():
            in_g, in_x = through_torch(ctx.function, [x], g, [u])
            return in_g, in_x, None, None, None
        return u * first, None if bent is None else u * bent, None, None, None

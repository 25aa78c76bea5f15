r"""Layer, group and RMS normalisation, $y = \gamma \hat x + \beta$, $\hat x = r (x - \mu)$ by rows.

With $P u = u - \overline{u} - \hat x\, \overline{u \hat x}$, where bars are means over a row, the
gradient is $J^T g = r P(\gamma g)$. For a vector u, and $h = \gamma g$, the function
$s = \langle u, r P h\rangle$ has the derivatives

$$\partial_h s = r P u, \qquad
\partial_x s = -r P(r\, \overline{h \hat x}\, u + r\, \overline{u \hat x}\, h)
               - r \hat x\, \overline{h\, r P u}.$$

$r P$ is one kernel of torch: the backward pass without weights. RMS normalisation has $\mu = 0$ and
$P u = u - \hat x\, \overline{u \hat x}$.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from hessium.curvature.closed_forms.native import Use, gradient_by_torch, through_torch


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows over which a layer normalises, and torch's kernels for them.

    Attributes:
        forward: (x, weight, bias) -> y, mean, 1 / standard deviation.
        backward: (g, x, mean, r, weight, wanted) -> derivatives in x, weight and bias.
        rows: shape that has one row in its last dimension.
        spread: shape of a weight, to be multiplied with x.
        summed: dimensions of x that the derivative in a weight sums over.
        again: (x, weight, bias) -> y, differentiable.
    """

    forward: Callable[[Tensor, Tensor | None, Tensor | None], tuple[Tensor, Tensor, Tensor]]
    backward: Callable[..., tuple[Tensor | None, Tensor | None, Tensor | None]]
    rows: tuple[int, ...]
    spread: tuple[int, ...]
    summed: tuple[int, ...]
    again: Callable[[Tensor, Tensor | None, Tensor | None], Tensor]

    def mean(self, one: Tensor, other: Tensor) -> Tensor:
        """Mean of a product over each row, shape (..., 1)."""
        rows = torch.linalg.vecdot(one.reshape(self.rows), other.reshape(self.rows))
        return rows.unsqueeze(-1) / self.rows[-1]

    def plus(self, summand: Tensor, x: Tensor, factor: Tensor) -> Tensor:
        """A summand, which may be overwritten, and x with each row multiplied by a number."""
        rows = plus(summand.reshape(self.rows), x.reshape(self.rows), factor)
        return rows.reshape(x.shape)

    def total(self, x: Tensor, like: Tensor) -> Tensor:
        """Sum over the dimensions that a weight does not have."""
        return (x.sum(dim=self.summed) if self.summed else x).reshape(like.shape)

    def projected(self, u: Tensor, x: Tensor, mean: Tensor, r: Tensor) -> Tensor:
        """R P u."""
        found, _, _ = self.backward(u.contiguous(), x, mean, r, None, [True, False, False])
        assert found is not None
        return found


def plus(summand: Tensor, x: Tensor, factor: Tensor) -> Tensor:
    """Summand + x factor; in place but for blocks of vectors, since new memory costs more."""
    if torch._C._are_functorch_transforms_active():  # torch cannot vectorise addcmul_
        return summand + x * factor
    return summand.addcmul_(x, factor)


class Normalisation(torch.autograd.Function):
    """Normalised rows, scaled and shifted."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        over: Rows,
        use: Use,
    ) -> Tensor:
        """By torch's kernel."""
        y, mean, r = over.forward(x, weight, bias)
        ctx.save_for_backward(x, weight, bias, mean, r)
        ctx.over, ctx.use = over, use
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        """By torch's kernel."""
        x, weight, bias, mean, r = ctx.saved_tensors
        (g,) = grads
        if torch.is_grad_enabled():
            if ctx.use.forward:
                return (*gradient_by_torch(ctx.over.again, [x, weight, bias], g), None, None)
            found = _Slope.apply(g, x, weight, bias, mean, r, ctx.over, ctx.use.linear)  # type: ignore[no-untyped-call]
            return (*found, None, None)
        wanted = [True, weight is not None, bias is not None]
        return (*ctx.over.backward(g.contiguous(), x, mean, r, weight, wanted), None, None)


class _Slope(torch.autograd.Function):
    """The derivatives of `Normalisation` in x, weight and bias, as functions of g, x and weight."""

    @staticmethod
    def forward(
        ctx: Any, g: Tensor, x: Tensor, weight: Tensor | None, bias: Tensor | None,
        mean: Tensor, r: Tensor, over: Rows, linear: bool,
    ) -> Any:  # fmt: skip
        wanted = [True, weight is not None, bias is not None]
        normal, _, _ = over.forward(x, None, None)
        h = g if weight is None else g * weight.reshape(over.spread)
        ctx.save_for_backward(g, x, weight, bias, mean, r, normal, h, over.mean(h, normal))
        ctx.over, ctx.linear = over, linear
        ctx.set_materialize_grads(False)
        return over.backward(g.contiguous(), x, mean, r, weight, wanted)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        g, x, weight, bias, mean, r, normal, *_ = ctx.saved_tensors
        over: Rows = ctx.over
        if torch.is_grad_enabled():
            found = through_torch(over.again, [x, weight, bias], g, grads)
            return (*found, None, None, None, None)
        u, of_weight, of_bias = grads
        if u is None:
            u = torch.zeros_like(g)
        in_g = over.projected(u, x, mean, r)
        rest = None if ctx.linear else _of_inputs(ctx, over, u, in_g, of_weight)
        if weight is not None:
            in_g = in_g.mul_(weight.reshape(over.spread))
        if of_weight is not None:
            in_g = plus(in_g, normal, of_weight.reshape(over.spread))
        if of_bias is not None:
            in_g = in_g.add_(of_bias.reshape(over.spread))
        return (in_g, *(rest or (None, None)), None, None, None, None, None)


def _of_inputs(
    ctx: Any, over: Rows, u: Tensor, pulled: Tensor, of_weight: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """Derivatives in x and the weight; `pulled` is r P u."""
    g, x, weight, _, mean, r, normal, h, share = ctx.saved_tensors
    scale = -r.reshape(share.shape)
    q = (u.reshape(over.rows) * (scale * share)).reshape(x.shape)
    q = over.plus(q, h, scale * over.mean(u, normal))
    if of_weight is not None:
        q = plus(q, g, of_weight.reshape(over.spread))
    in_x = over.projected(q, x, mean, r)
    in_x = over.plus(in_x, normal, scale * over.mean(h, pulled))
    return in_x, None if weight is None else over.total(g * pulled, weight)


def layer_rows(x: Tensor, shape: Sequence[int], eps: float) -> Rows:
    """Rows of `torch.nn.functional.layer_norm`."""
    shape = tuple(shape)
    lead, size = x.dim() - len(shape), math.prod(shape)

    def forward(x: Tensor, w: Tensor | None, b: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        return torch.native_layer_norm(x, shape, w, b, eps)

    def backward(
        g: Tensor, x: Tensor, mean: Tensor, r: Tensor, w: Tensor | None, wanted: list[bool]
    ) -> Any:
        return torch.ops.aten.native_layer_norm_backward(g, x, shape, mean, r, w, w, wanted)

    return Rows(
        forward=forward, backward=backward, rows=(x.numel() // size, size), spread=shape,
        summed=tuple(range(lead)), again=lambda x, w, b: F.layer_norm(x, shape, w, b, eps),
    )  # fmt: skip


def group_rows(x: Tensor, groups: int, eps: float) -> Rows:
    """Rows of `torch.nn.functional.group_norm`."""
    samples, channels = x.shape[:2]
    pixels = math.prod(x.shape[2:])
    sizes = (samples, channels, pixels, groups)

    def forward(x: Tensor, w: Tensor | None, b: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        return torch.native_group_norm(x, w, b, *sizes, eps)

    def backward(
        g: Tensor, x: Tensor, mean: Tensor, r: Tensor, w: Tensor | None, wanted: list[bool]
    ) -> Any:
        return torch.ops.aten.native_group_norm_backward(g, x, mean, r, w, *sizes, wanted)

    return Rows(
        forward=forward, backward=backward, rows=(samples, groups, channels // groups * pixels),
        spread=(1, channels, *(1 for _ in x.shape[2:])), summed=(0, *range(2, x.dim())),
        again=lambda x, w, b: F.group_norm(x, groups, w, b, eps),
    )  # fmt: skip


def rms_rows(x: Tensor, shape: Sequence[int], eps: float | None) -> Rows:
    """Rows of `torch.nn.functional.rms_norm`, which has no kernel of its own on every device."""
    shape = tuple(shape)
    lead, size = x.dim() - len(shape), math.prod(shape)
    rows = (x.numel() // size, size)
    smallest = torch.finfo(x.dtype).eps if eps is None else eps

    def forward(x: Tensor, w: Tensor | None, b: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        flat = x.reshape(rows)
        r = torch.linalg.vecdot(flat, flat).div_(size).add_(smallest).rsqrt_().unsqueeze(-1)
        y = (flat * r).reshape(x.shape)
        return y if w is None else y * w, r, r

    def backward(
        g: Tensor, x: Tensor, mean: Tensor, r: Tensor, w: Tensor | None, wanted: list[bool]
    ) -> tuple[Tensor, Tensor | None, None]:
        normal, h = x.reshape(rows) * r, (g if w is None else g * w).reshape(rows)
        share = torch.linalg.vecdot(h, normal).unsqueeze(-1) / -size
        in_x = plus(h * r, normal, share * r).reshape(x.shape)
        if not wanted[1]:
            return in_x, None, None
        terms = g * normal.reshape(x.shape)
        return in_x, terms.sum(dim=tuple(range(lead))) if lead else terms, None

    return Rows(
        forward=forward, backward=backward, rows=rows, spread=shape, summed=tuple(range(lead)),
        again=lambda x, w, b: F.rms_norm(x, shape, w, eps),
    )  # fmt: skip

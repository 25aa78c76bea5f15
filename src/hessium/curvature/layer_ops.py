r"""Layer operations with parameters, and per-sample gradients from them.

Every such call is linear in its parameters: at T positions of a sample it computes $z_t = W a_t +
\beta$ or a similar map. An additive offset $\varepsilon$ at z gives the derivative of the outputs
in z; with $b_t = \partial f / \partial \varepsilon_t$ the gradient of a sample is $\sum_t b_t
a_t^T$ for the weight and $\sum_t b_t$ for the bias. Rows below are arrays (samples, columns, units,
rest), and b is always (samples, columns, positions, width).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Call(ABC):
    """One use of a weight, a bias, or both.

    Attributes:
        weight: index of the weight among the leaves, None if it is fixed.
        bias: likewise.
        inputs: argument of the call, part of the graph.
        offset: epsilon, a leaf of zeros in the shape of the result.
        width: entries of one position.
        channels_first: the entries are dimension 1 of the result, not its last ones.
    """

    weight: int | None
    bias: int | None
    inputs: Tensor
    offset: Tensor
    width: int
    channels_first: bool = False

    def fits(self, samples: int) -> bool:
        """Whether the first dimension is the samples, or samples and positions as one."""
        first = self.offset.shape[0]
        return first == samples or (not self.channels_first and first % samples == 0)

    def positions(self, samples: int) -> int:
        """T."""
        return self.offset.numel() // (samples * self.width)

    def fold(self, tensor: Tensor, samples: int) -> Tensor:
        """(..., shape of the result) as (..., samples, positions, width)."""
        lead = tensor.shape[: tensor.dim() - self.offset.dim()]
        if self.channels_first:
            return tensor.reshape(*lead, samples, self.width, -1).transpose(-1, -2)
        return tensor.reshape(*lead, samples, -1, self.width)

    def _extended(self, a: Tensor) -> Tensor:
        """The columns of a where the weight is free, and ones where the bias is."""
        parts = [a] if self.weight is not None else []
        if self.bias is not None:
            parts.append(torch.ones_like(a[..., :1]))
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1)

    @abstractmethod
    def weight_rows(self, b: Tensor, units: Tensor) -> Tensor:
        """Gradients of some rows of the weight, (samples, columns, units, rest).

        Args:
            b: shape (samples, columns, positions, width).
            units: indices of rows of the weight.
        """

    def bias_rows(self, b: Tensor, units: Tensor) -> Tensor:
        """Gradients of some entries of the bias, (samples, columns, units, 1)."""
        return b.sum(dim=2)[..., units, None]


@dataclass(frozen=True, kw_only=True)
class Outer(Call):
    """A linear layer, z = W a, or a convolution, where a is a patch of the inputs.

    Attributes:
        kernel: None, or kernel size, stride, padding and dilation of a convolution.
    """

    kernel: Kernel | None = None

    def factor(self, samples: int) -> Tensor:
        """The inputs at every position, (samples, positions, entries)."""
        a = self.inputs.detach()
        if self.kernel is None:
            return a.reshape(samples, -1, a.shape[-1])
        return self.kernel.patches(a, 1).flatten(1, 2)

    def extended_inputs(self, samples: int | None = None) -> Tensor:
        """The inputs of the free parameters only: a for the weight, 1 for the bias."""
        a = self.inputs.detach() if samples is None else self.factor(samples)
        return self._extended(a)

    def weight_rows(self, b: Tensor, units: Tensor) -> Tensor:
        """Sum over positions of b a^T, one matrix product for each sample."""
        samples, columns, positions, _ = b.shape
        left = b[..., units].transpose(2, 3).reshape(samples, -1, positions)
        return (left @ self.factor(samples)).view(samples, columns, len(units), -1)


@dataclass(frozen=True, kw_only=True)
class Grouped(Call):
    """A grouped convolution: every unit uses the channels of its own group only."""

    kernel: Kernel
    groups: int

    def weight_rows(self, b: Tensor, units: Tensor) -> Tensor:
        """Sum over positions of b a^T, unit by unit."""
        patches = self.kernel.patches(self.inputs.detach(), self.groups)  # (N, groups, T, p)
        own = patches[:, units // (self.width // self.groups)]
        return (b[..., units].permute(0, 3, 1, 2) @ own).transpose(1, 2)


@dataclass(frozen=True, kw_only=True)
class Swapped(Call):
    """A product a W with W not transposed; or an embedding, where a is one-hot.

    Attributes:
        ignored: the token whose row has no gradient; None for a product.
    """

    ignored: int | None = None

    def weight_rows(self, b: Tensor, units: Tensor) -> Tensor:
        """Sum over positions of a b^T."""
        samples = b.shape[0]
        if self.inputs.is_floating_point():
            left = self.inputs.detach().reshape(samples, -1, self.inputs.shape[-1])[..., units]
        else:
            left = (self.tokens(samples)[..., None] == units).to(b)
        return left.mT[:, None] @ b

    def extended_inputs(self, samples: int) -> Tensor:
        """Inputs at every position as in `Outer`; of an embedding the tokens, in two dimensions."""
        if not self.inputs.is_floating_point():
            return self.tokens(samples)
        return self._extended(self.inputs.detach().reshape(samples, -1, self.inputs.shape[-1]))

    def tokens(self, samples: int) -> Tensor:
        """Tokens of every position, (samples, positions); -1 without a gradient."""
        tokens = self.inputs.expand(self.offset.shape[:-1]).reshape(samples, -1)
        return tokens if self.ignored is None else tokens.masked_fill(tokens == self.ignored, -1)


@dataclass(frozen=True, kw_only=True)
class Scale(Call):
    """A normalisation, z = w x with x normalised; `inputs` is x.

    Attributes:
        units: size of the first dimension of weight and bias.
    """

    units: int

    def weight_rows(self, b: Tensor, units: Tensor) -> Tensor:
        """Sum over positions of b x."""
        x = self.fold(self.inputs.detach(), b.shape[0])
        return self.bias_rows(b * x[:, None], units)

    def bias_rows(self, b: Tensor, units: Tensor) -> Tensor:
        """Sum over positions of b."""
        return b.sum(dim=2).unflatten(-1, (self.units, -1))[:, :, units]


@dataclass(frozen=True)
class Kernel:
    """Geometry of the patches of a convolution.

    Attributes:
        size: of the kernel, one number for each dimension of space.
        stride: likewise.
        padding: likewise, before and after.
        dilation: likewise.
    """

    size: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]

    @classmethod
    def of(
        cls,
        size: Sequence[int],
        stride: int | Sequence[int],
        padding: int | str | Sequence[int],
        dilation: int | Sequence[int],
    ) -> Kernel:
        """From the arguments of `torch.nn.functional.conv2d` and its sisters."""
        steps, gaps = _each(stride, len(size)), _each(dilation, len(size))
        if isinstance(padding, str):
            reach = [g * (k - 1) for g, k in zip(gaps, size, strict=True)]
            both = [(r // 2, r - r // 2) if padding == "same" else (0, 0) for r in reach]
        else:
            both = [(p, p) for p in _each(padding, len(size))]
        return cls(tuple(size), steps, tuple(both), gaps)

    def patches(self, inputs: Tensor, groups: int) -> Tensor:
        """(samples, groups, positions, channels of a group x kernel entries)."""
        x = F.pad(inputs, [p for both in reversed(self.padding) for p in both])
        for axis, (k, step, gap) in enumerate(
            zip(self.size, self.stride, self.dilation, strict=True), start=2
        ):
            x = x.unfold(axis, gap * (k - 1) + 1, step)[..., ::gap]
        space = len(self.size)
        samples, channels = x.shape[:2]
        # (N, C, positions..., kernel...) to positions before channels
        x = x.reshape(samples, groups, channels // groups, *x.shape[2:])
        order = [0, 1, *range(3, 3 + space), 2, *range(3 + space, 3 + 2 * space)]
        x = x.permute(order)
        positions = x.shape[2 : 2 + space].numel()
        return x.reshape(samples, groups, positions, -1)


def _each(value: int | Sequence[int], count: int) -> tuple[int, ...]:
    return (value,) * count if isinstance(value, int) else tuple(value) * (count // len(value))

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


@dataclass(frozen=True)
class Place:
    """Where the samples lie in an array: in one dimension, alone or beside positions.

    Attributes:
        axis: that dimension, of size before x samples x after.
        before: positions that vary more slowly than the samples.
    """

    axis: int = 0
    before: int = 1

    def first(self, tensor: Tensor, samples: int, lead: int = 0) -> Tensor:
        """The samples as dimension `lead`, and in their place the two of the positions."""
        axis = lead + self.axis
        return tensor.unflatten(axis, (self.before, samples, -1)).movedim(axis + 1, lead)

    def fold(self, tensor: Tensor, samples: int, entries: Sequence[int], lead: int = 0) -> Tensor:
        """(lead..., array) as (lead..., samples, positions, entries), given entries' dimensions."""
        moved = self.first(tensor, samples, lead)
        behind = [lead + e + (1 if e < self.axis else 2) for e in entries]
        moved = moved.movedim(behind, list(range(-len(behind), 0)))
        width = torch.Size([tensor.shape[lead + e] for e in entries]).numel()
        return moved.reshape(*tensor.shape[:lead], samples, -1, width)


@dataclass(frozen=True, kw_only=True)
class Call(ABC):
    """One use of a weight, a bias, or both.

    Attributes:
        weight: number of the weight among the tensors of the batch, None if it is fixed.
        bias: likewise.
        inputs: argument of the call, part of the graph.
        offset: epsilon, a leaf of zeros in the shape of the result.
        width: entries of one position.
        entries: the dimensions of the result that hold them.
        place: of the samples, in the result as in the inputs.
    """

    weight: int | None
    bias: int | None
    inputs: Tensor
    offset: Tensor
    width: int
    entries: tuple[int, ...]
    place: Place = Place()

    def places(self, samples: int) -> list[Place]:
        """Where the samples may lie, by the shape alone; the usual place first."""
        shape, found = self.offset.shape, list[Place]()
        if samples == 1:
            return [Place()] if shape and 0 not in self.entries else []
        spread = getattr(self, "kernel", None) is None  # convolutions want samples first
        if shape and 0 not in self.entries and shape[0] % samples == 0:
            many = shape[0] // samples
            usual = {1: 0, many: 1}
            divisors = [b for b in range(1, many + 1) if many % b == 0]
            found = [Place(0, b) for b in sorted(divisors, key=lambda b: usual.get(b, b + 1))]
        return found + [
            Place(axis)
            for axis in range(1, len(shape))
            if spread and axis not in self.entries and shape[axis] == samples
        ]

    def positions(self, samples: int) -> int:
        """T."""
        return self.offset.numel() // (samples * self.width)

    def fold(self, tensor: Tensor, samples: int) -> Tensor:
        """(..., shape of the result) as (..., samples, positions, width)."""
        lead = tensor.dim() - self.offset.dim()
        return self.place.fold(tensor, samples, self.entries, lead)

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
            return self.place.fold(a, samples, (a.dim() - 1,))
        patches = self.kernel.patches(a, 1).flatten(1, 2)
        return self.place.fold(patches, samples, (2,))

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
        folded = self.place.fold(patches, b.shape[0], (1, 3))
        own = folded.unflatten(-1, (self.groups, -1))[:, :, units // (self.width // self.groups)]
        return (b[..., units].permute(0, 3, 1, 2) @ own.transpose(1, 2)).transpose(1, 2)


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
            left = self.factor(samples)[..., units]
        else:
            left = (self.tokens(samples)[..., None] == units).to(b)
        return left.mT[:, None] @ b

    def factor(self, samples: int) -> Tensor:
        """The inputs at every position, (samples, positions, entries)."""
        a = self.inputs.detach()
        return self.place.fold(a, samples, (a.dim() - 1,))

    def extended_inputs(self, samples: int) -> Tensor:
        """Inputs at every position as in `Outer`; of an embedding the tokens, in two dimensions."""
        if not self.inputs.is_floating_point():
            return self.tokens(samples)
        return self._extended(self.factor(samples))

    def tokens(self, samples: int) -> Tensor:
        """Tokens of every position, (samples, positions); -1 without a gradient."""
        tokens = self.inputs.expand(self.offset.shape[:-1])
        tokens = self.place.fold(tokens, samples, ()).squeeze(-1)
        return tokens if self.ignored is None else tokens.masked_fill(tokens == self.ignored, -1)


@dataclass(frozen=True, kw_only=True)
class Transposed(Swapped):
    """A transposed convolution without its bias: a W, where b is a patch of the derivatives.

    Attributes:
        kernel: kernel size, stride, padding and dilation.
        groups: of channels.
    """

    kernel: Kernel
    groups: int

    def positions(self, samples: int) -> int:
        """Those of the inputs."""
        return self.inputs.numel() // (samples * self.inputs.shape[1])

    def fold(self, tensor: Tensor, samples: int) -> Tensor:
        """Patches of the derivatives at the positions of the inputs."""
        lead = tensor.shape[: tensor.dim() - self.offset.dim()]
        flat = tensor.reshape(-1, *self.offset.shape[1:])
        patches = self.kernel.patches(flat, self.groups, self.inputs.shape[2:])
        patches = patches.reshape(*lead, -1, *patches.shape[1:])
        return self.place.fold(patches, samples, (1, 3), len(lead))

    def factor(self, samples: int) -> Tensor:
        """The channels of the inputs at every position."""
        return self.place.fold(self.inputs.detach(), samples, (1,))

    def weight_rows(self, b: Tensor, units: Tensor) -> Tensor:
        """Sum over positions of a b^T, where a channel meets the patches of its own group."""
        if self.groups == 1:
            return super().weight_rows(b, units)
        group = units // (self.inputs.shape[1] // self.groups)
        own = b.unflatten(-1, (self.groups, -1))[..., group, :]
        return torch.einsum("nctup,ntu->ncup", own, self.factor(b.shape[0])[..., units])


@dataclass(frozen=True, kw_only=True)
class Elementwise(Call):
    """A function of one entry of the weight at every entry of the result: x w, x + w, w^x.

    The derivative in the weight is b times `inputs`, summed where one entry is used often.

    Attributes:
        inputs: derivative of the result in the weight, in the shape of the result; a single one
            for a sum.
        units: size of the first dimension of the weight.
    """

    units: int

    def fold(self, tensor: Tensor, samples: int) -> Tensor:
        """The derivatives in the weight itself, as one position."""
        return super().fold(tensor * self.inputs, samples).sum(dim=-2, keepdim=True)

    def weight_rows(self, b: Tensor, units: Tensor) -> Tensor:
        """As they are."""
        return b[:, :, 0].unflatten(-1, (self.units, -1))[:, :, units]


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

    def patches(self, inputs: Tensor, groups: int, most: Sequence[int] | None = None) -> Tensor:
        """(samples, groups, positions, channels of a group x kernel entries).

        Args:
            inputs: shape (samples, channels, space).
            groups: of channels.
            most: positions to keep along each dimension of space; all by default.
        """
        x = F.pad(inputs, [p for both in reversed(self.padding) for p in both])
        for axis, (k, step, gap) in enumerate(
            zip(self.size, self.stride, self.dilation, strict=True), start=2
        ):
            x = x.unfold(axis, gap * (k - 1) + 1, step)[..., ::gap]
            if most is not None:
                x = x.narrow(axis, 0, most[axis - 2])
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

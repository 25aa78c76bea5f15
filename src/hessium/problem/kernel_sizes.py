"""Multiply-adds of the kernels of a forward pass: whether splitting them over threads pays."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor
from torch.utils._pytree import tree_leaves

_PRODUCTS = (
    torch.matmul, torch.mm, torch.bmm, Tensor.matmul, Tensor.__matmul__, Tensor.mm, Tensor.bmm,
)  # fmt: skip
_CONTRACTIONS = (torch.einsum, torch.addmm, torch.baddbmm, torch.tensordot)
_CONVOLUTIONS = (torch.conv1d, torch.conv2d, torch.conv3d)


class KernelSizes:
    """Sizes of kernels, and the size of a typical one.

    Attributes:
        total: multiply-adds of all of them.
    """

    def __init__(self) -> None:
        self.total = 0.0
        self._squares = 0.0

    @property
    def typical(self) -> float:
        """Mean size of kernels weighted by size: where most of the work is done."""
        return self._squares / self.total if self.total else 0.0

    def add(
        self,
        func: Callable[..., Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        result: Any,
    ) -> None:
        """Count one call."""
        size = multiply_adds(func, args, kwargs, result)
        self.total += size
        self._squares += size * size


def multiply_adds(
    func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], result: Any
) -> float:
    """Multiply-adds of one call of torch; zero where it multiplies no matrices."""
    if func in _PRODUCTS and isinstance(result, Tensor) and args and args[0].dim():
        return float(result.numel()) * args[0].shape[-1]
    if func in _CONVOLUTIONS and isinstance(result, Tensor) and len(args) > 1:
        return float(result.numel()) * args[1].numel() / max(1, args[1].shape[0])
    tensors = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
    if func in _CONTRACTIONS and isinstance(result, Tensor) and len(tensors) > 1:
        # (m, k) and (k, n) to (m, n): the product of the sizes is (m k n)^2
        return math.sqrt(float(tensors[-1].numel()) * tensors[-2].numel() * result.numel())
    if func is F.embedding:
        return 0.0
    # linear layers, recurrent layers, attention: every weight is used at every position
    weights = [t for t in tensors if isinstance(t, torch.nn.Parameter) and t.dim() == 2]
    if not weights or not tensors[0].dim() or tensors[0].shape[-1] == 0:
        return 0.0
    positions = tensors[0].numel() / tensors[0].shape[-1]
    return positions * sum(t.numel() for t in weights)

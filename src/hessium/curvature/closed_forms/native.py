"""Derivatives by torch's own formulas: those of higher order, and those in a forward pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(slots=True)
class Use:
    """How a graph is used.

    Attributes:
        linear: whether its gradient will be differentiated in the cotangent only.
        forward: whether the forward pass is under way; what it differentiates is left to torch.
    """

    linear: bool = False
    forward: bool = False


def gradient_by_torch(
    function: Callable[..., Tensor], inputs: Sequence[Tensor | None], cotangent: Tensor
) -> list[Tensor | None]:
    r"""$J^T g$ with its graph, for a function of the inputs; None where there is no gradient."""
    with torch.enable_grad():
        inputs = [None if x is None else x.view_as(x) for x in inputs]
        free = [x for x in inputs if x is not None and x.requires_grad]
        value = function(*inputs)
        pulled = torch.autograd.grad(value, free, cotangent, create_graph=True, allow_unused=True)
    found = dict(zip(map(id, free), pulled, strict=True))
    return [None if x is None else found.get(id(x)) for x in inputs]


def through_torch(
    function: Callable[..., Tensor],
    inputs: Sequence[Tensor | None],
    cotangent: Tensor,
    second: Sequence[Tensor | None],
) -> list[Tensor | None]:
    r"""Derivatives of $\langle u, J^T g\rangle$ in g and in the inputs, with their graphs.

    Args:
        function: of the inputs; J is its Jacobian.
        inputs: at which it is taken; None for those that are absent.
        cotangent: g.
        second: u, one for each input or None.

    Returns:
        The derivative in g, and one for each input.
    """
    with torch.enable_grad():
        # aliases: g may be a function of the inputs, and only its own derivative is wanted
        cotangent = cotangent.view_as(cotangent)
        inputs = [None if x is None else x.view_as(x) for x in inputs]
        free = [x for x in inputs if x is not None and x.requires_grad]
        value = function(*inputs)
        pulled = torch.autograd.grad(value, free, cotangent, create_graph=True, allow_unused=True)
        by_id = dict(zip(map(id, free), pulled, strict=True))
        pairs = [
            (part, u)
            for x, u in zip(inputs, second, strict=True)
            if x is not None and u is not None and (part := by_id.get(id(x))) is not None
        ]
        wanted = [t for t in (cotangent, *free) if t.requires_grad]
        found = torch.autograd.grad(
            [part for part, _ in pairs], wanted, [u for _, u in pairs],
            create_graph=True, allow_unused=True,
        )  # fmt: skip
    result = dict(zip(map(id, wanted), found, strict=True))
    return [result.get(id(t)) if t is not None else None for t in (cotangent, *inputs)]

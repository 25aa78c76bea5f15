"""One product of each matrix with a vector, from the user's own model, twice over.

By double backward on the whole data set at once, and by central differences of first derivatives,
which need no second derivative of anything and so run the model's own fused kernels. Nothing of the
library enters: no batches, no functional call, no closed forms. `torch.func` is not used: its
forward-over-reverse route is wrong for layer normalisation on torch 2.13.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._pytree import tree_leaves, tree_map

from support.risk_cases import Problem


@dataclass(frozen=True)
class Products:
    """H v, H0 v and H1 v."""

    hessian: Tensor
    gauss_newton: Tensor
    residual: Tensor


def by_double_backward(problem: Problem, vector: Tensor) -> Products:
    free, parts = _free(problem), _parts(problem, vector)
    inputs, targets = whole(problem)
    with sdpa_kernel(SDPBackend.MATH):
        f = _outputs(problem, inputs)
    point = f.detach().requires_grad_()
    slope = _grad(problem.loss(point, targets), [point], create_graph=True)[0]
    # J v is the derivative of u -> J^T u along v
    dual = torch.zeros_like(f, requires_grad=True)
    pushed = _grad(_dot(_grad(f, free, dual, create_graph=True), parts), [dual])[0]
    weighted = _grad((slope * pushed.detach()).sum(), [point])[0]
    return Products(
        hessian=_flat(_second(problem.loss(f, targets), free, parts)),
        gauss_newton=_flat(_grad(f, free, weighted, retain_graph=True)),
        residual=_flat(_second((f * slope.detach()).sum(), free, parts)),
    )


def by_differences(problem: Problem, vector: Tensor, step: float) -> Products:
    free, parts = _free(problem), _parts(problem, vector)
    inputs, targets = whole(problem)
    start = [p.detach().clone() for p in free]

    def outputs(t: float) -> Tensor:
        with torch.no_grad():
            for parameter, origin, part in zip(free, start, parts, strict=True):
                parameter.copy_(origin + t * part)
        return _outputs(problem, inputs)

    def slope(f: Tensor) -> Tensor:
        point = f.detach().requires_grad_()
        return _grad(problem.loss(point, targets), [point])[0]

    here = slope(outputs(0.0))
    gradients, weighted, moved = [], [], []
    for t in (step, -step):
        f = outputs(t)
        moved.append(f.detach())
        gradients.append(_flat(_grad(problem.loss(f, targets), free, retain_graph=True)))
        weighted.append(_flat(_grad(f, free, here)))
    f = outputs(0.0)
    pushed = (moved[0] - moved[1]) / (2 * step)
    curved = (slope(f + step * pushed) - slope(f - step * pushed)) / (2 * step)
    return Products(
        hessian=(gradients[0] - gradients[1]) / (2 * step),
        gauss_newton=_flat(_grad(f, free, curved)),
        residual=(weighted[0] - weighted[1]) / (2 * step),
    )


def whole(problem: Problem) -> tuple[Any, Tensor]:
    """All batches as one."""
    inputs, targets = zip(*problem.batches, strict=True)
    leaves = [tree_leaves(i) for i in inputs]
    joined = iter([torch.cat(parts) for parts in zip(*leaves, strict=True)])
    return tree_map(lambda _: next(joined), inputs[0]), torch.cat(targets)


def _outputs(problem: Problem, inputs: Any) -> Tensor:
    if problem.forward is not None:
        return problem.forward(problem.model, inputs)
    if isinstance(inputs, dict):
        return problem.model(**inputs)
    return problem.model(*inputs) if isinstance(inputs, tuple) else problem.model(inputs)


def _free(problem: Problem) -> list[Tensor]:
    return [p for p in problem.model.parameters() if p.requires_grad]


def _parts(problem: Problem, vector: Tensor) -> list[Tensor]:
    free = _free(problem)
    flat = torch.split(vector, [p.numel() for p in free])
    return [part.view(p.shape) for part, p in zip(flat, free, strict=True)]


def _second(scalar: Tensor, free: Sequence[Tensor], parts: Sequence[Tensor]) -> Sequence[Tensor]:
    along = _dot(_grad(scalar, free, create_graph=True), parts)
    return _grad(along, free, retain_graph=True)


def _grad(
    output: Tensor, inputs: Sequence[Tensor], cotangent: Tensor | None = None, **options: Any
) -> Sequence[Tensor]:
    if not output.requires_grad:
        return [torch.zeros_like(i) for i in inputs]
    return torch.autograd.grad(output, inputs, cotangent, materialize_grads=True, **options)


def _dot(one: Sequence[Tensor], other: Sequence[Tensor]) -> Tensor:
    return torch.stack([(a * b).sum() for a, b in zip(one, other, strict=True)]).sum()


def _flat(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([t.detach().reshape(-1) for t in tensors])

"""Dense references in float64, row by row, from the whole data set at once.

They call the user's own model and loss object on the concatenated data. No numerators, batches,
denominators or closed forms of the library enter: torch itself says what the risk is.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from support.risk_cases import CASES, Problem


@dataclass(frozen=True)
class Reference:
    """Value, gradient and matrices of a problem.

    Attributes:
        residual: H1, None for closures; likewise for the others.
        fisher: second moment of per-sample gradients, without the denominator.
    """

    value: float
    gradient: Tensor
    hessian: Tensor
    gauss_newton: Tensor | None = None
    residual: Tensor | None = None
    fisher: Tensor | None = None


def reference(problem: Problem) -> Reference:
    named = dict(problem.model.named_parameters())
    chosen = [
        p
        for name, p in named.items()
        if p.requires_grad
        and (not problem.restrict or any(name.startswith(r) for r in problem.restrict))
    ]
    with sdpa_kernel(SDPBackend.MATH):
        if problem.closure is not None:
            value = problem.closure(problem.model)
            gradient = rows_of(value.reshape(1), chosen)[0]
            return Reference(
                float(value.detach()), gradient.detach(), rows_of(gradient, chosen).detach()
            )
        inputs, targets = whole(problem)
        outputs = problem.model(**inputs) if isinstance(inputs, dict) else problem.model(inputs)
    value = problem.loss(outputs, targets)
    gradient = rows_of(value.reshape(1), chosen)[0]
    jacobian = rows_of(outputs, chosen).detach()
    point = outputs.detach().requires_grad_()
    slope = rows_of(problem.loss(point, targets).reshape(1), [point])[0]
    output_hessian = rows_of(slope, [point]).detach()
    weighted = (outputs.reshape(-1) * slope.detach()).sum()
    slopes = (slope.detach()[:, None] * jacobian).view(len(outputs), -1, jacobian.shape[1]).sum(1)
    return Reference(
        value=float(value.detach()),
        gradient=gradient.detach(),
        hessian=rows_of(gradient, chosen).detach(),
        gauss_newton=jacobian.mT @ output_hessian @ jacobian,
        residual=rows_of(rows_of(weighted.reshape(1), chosen)[0], chosen).detach(),
        fisher=slopes.mT @ slopes,
    )


def whole(problem: Problem) -> tuple[Any, Tensor]:
    """All batches as one."""
    inputs = [x for x, _ in problem.batches]
    targets = torch.cat([y for _, y in problem.batches])
    if isinstance(inputs[0], dict):
        return {key: torch.cat([x[key] for x in inputs]) for key in inputs[0]}, targets
    return torch.cat(inputs), targets


def rows_of(outputs: Tensor, leaves: Sequence[Tensor]) -> Tensor:
    """Jacobian of a flat tensor, one backward pass for each row, differentiable again."""
    rows = []
    for entry in outputs.reshape(-1):
        if entry.requires_grad:
            parts = torch.autograd.grad(
                entry, leaves, retain_graph=True, create_graph=True, materialize_grads=True
            )
            rows.append(torch.cat([p.reshape(-1) for p in parts]))
        else:
            rows.append(outputs.new_zeros(sum(leaf.numel() for leaf in leaves)))
    return torch.stack(rows)


@functools.cache
def reference_of(name: str) -> Reference:
    """The reference of one of `CASES`, computed once in a session."""
    return reference(next(c for c in CASES if c.name == name).make())

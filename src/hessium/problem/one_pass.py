"""One risk at several parameters, evaluated in one pass over its data."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from hessium._arithmetic import full_precision
from hessium.errors import InputError, NonFiniteError
from hessium.linalg.threads import network_passes
from hessium.problem.data import Batch

if TYPE_CHECKING:
    from hessium.problem.risk import EmpiricalRisk


def in_one_pass(risks: Sequence[EmpiricalRisk]) -> Iterator[tuple[int, EmpiricalRisk, Batch]]:
    """(position, risk, batch) for all risks and batches.

    Each has a pass of its own where a forward pass draws random numbers: they must be the same.

    Args:
        risks: made of one another by `at`, so that they have the same data.
    """
    if risks[0].survey.draws:
        for position, risk in enumerate(risks):
            yield from ((position, risk, batch) for batch in risk.batches())
        return
    for batch in risks[0].batches():
        yield from ((position, risk, batch) for position, risk in enumerate(risks))


@full_precision()
def values(risks: Sequence[EmpiricalRisk]) -> list[float]:
    """The value of each. Cost: one forward pass for each."""
    totals: list[list[float]] = [[] for _ in risks]
    with network_passes(risks[0].survey.kernel_size):
        for position, risk, batch in in_one_pass(risks):
            totals[position].append(float(risk.total(risk.constants(), batch).detach()))
    return [math.fsum(one) / risk.denominator for risk, one in zip(risks, totals, strict=True)]


@full_precision()
@torch.enable_grad()
def values_and_gradients(risks: Sequence[EmpiricalRisk]) -> list[tuple[float, Tensor]]:
    """Value and gradient of each. Errors as in `EmpiricalRisk.gradient`."""
    with network_passes(risks[0].survey.kernel_size):
        return _values_and_gradients(risks)


def _values_and_gradients(risks: Sequence[EmpiricalRisk]) -> list[tuple[float, Tensor]]:
    gradients = [torch.zeros_like(risk.theta) for risk in risks]
    totals: list[list[float]] = [[] for _ in risks]
    for position, risk, batch in in_one_pass(risks):
        leaves = risk.leaves()
        # a backward pass may look parameters up (adjoints, checkpoints): they stay in place
        with risk.bound(leaves):
            total = risk.total(leaves, batch)
            totals[position].append(float(total.detach()))
            if not total.requires_grad:
                continue
            try:
                parts = torch.autograd.grad(total, leaves, materialize_grads=True)
            except RuntimeError as error:
                if "is not implemented" not in str(error):
                    raise
                msg = (
                    "model: the loss takes derivatives through an operation that torch "
                    f"cannot differentiate again ({str(error).splitlines()[0]}); replace it"
                )
                raise InputError(msg) from error
        gradients[position] += torch.cat([part.reshape(-1) for part in parts])
    for risk, gradient in zip(risks, gradients, strict=True):
        gradient /= risk.denominator
        if not bool(torch.isfinite(gradient).all()):
            where = ", ".join(risk.not_finite(gradient))
            msg = f"gradient: has entries that are NaN or infinite, in {where}"
            raise NonFiniteError(msg, partial=gradient)
    return [
        (math.fsum(one) / risk.denominator, gradient)
        for risk, one, gradient in zip(risks, totals, gradients, strict=True)
    ]

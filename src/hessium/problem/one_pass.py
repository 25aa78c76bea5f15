"""One risk at several parameters, evaluated in one pass over its data."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from hessium._arithmetic import full_precision
from hessium._finite import all_finite
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
            yield from ((position, risk, batch) for batch in risk.own_batches())
        return
    for batch in risks[0].own_batches():
        yield from ((position, risk, batch) for position, risk in enumerate(risks))


@full_precision()
def values(risks: Sequence[EmpiricalRisk]) -> list[float]:
    """The value of each. Cost: one forward pass for each."""
    totals: list[list[float]] = [[] for _ in risks]
    ranks = risks[0].ranks
    together = ranks.together("values", *_ends(risks), in_step=risks[0].spread is not None)
    with network_passes(risks[0].survey.kernel_size), together:
        for position, risk, batch in in_one_pass(risks):
            totals[position].append(float(risk.total(risk.constants(), batch).detach()))
    sums = ranks.all_fsum([math.fsum(one) for one in totals])
    return [one / risk.denominator for risk, one in zip(risks, sums, strict=True)]


@full_precision()
@torch.enable_grad()
def values_and_gradients(risks: Sequence[EmpiricalRisk]) -> list[tuple[float, Tensor]]:
    """Value and gradient of each. Errors as in `EmpiricalRisk.gradient`."""
    with network_passes(risks[0].survey.kernel_size):
        return _values_and_gradients(risks)


def _values_and_gradients(risks: Sequence[EmpiricalRisk]) -> list[tuple[float, Tensor]]:
    gradients: list[Tensor | None] = [None] * len(risks)
    totals: list[list[float]] = [[] for _ in risks]
    ranks = risks[0].ranks
    with ranks.together("gradients", *_ends(risks), in_step=risks[0].spread is not None):
        _add_gradients(risks, totals, gradients)
    sums = ranks.all_fsum([math.fsum(one) for one in totals])
    found = [
        torch.zeros_like(risk.own_theta) if gradient is None else gradient
        for risk, gradient in zip(risks, gradients, strict=True)
    ]
    for risk, gradient in zip(risks, found, strict=True):
        risk.summed(gradient).div_(risk.denominator)
        finite = all_finite(gradient)
        if not (finite if risk.spread is None else ranks.agree(finite)):
            where = ", ".join(risk.not_finite(gradient))
            msg = f"gradient: has entries that are NaN or infinite, in {where}"
            raise NonFiniteError(msg, partial=gradient)
    return [
        (one / risk.denominator, gradient)
        for risk, one, gradient in zip(risks, sums, found, strict=True)
    ]


def _ends(risks: Sequence[EmpiricalRisk]) -> tuple[Tensor, ...]:
    """Parameters of the first and the last, which must be the same in all processes."""
    if risks[0].ranks.alone or risks[0].spread is not None:
        return ()
    return risks[0].theta, risks[-1].theta


def _add_gradients(
    risks: Sequence[EmpiricalRisk], totals: list[list[float]], gradients: list[Tensor | None]
) -> None:
    """Numerators batch by batch, and their summed gradients, for the data of this process."""
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
        found, before = torch.cat([part.reshape(-1) for part in parts]), gradients[position]
        gradients[position] = found if before is None else before.add_(found)


@torch.no_grad()
def rows_of_all(risk: EmpiricalRisk, own: Tensor) -> Tensor:
    """Rows that belong to the outputs of all processes, from those of each.

    Args:
        risk: the risk.
        own: one row for each output of this process, shape (rows,) or (rows, k).
    """
    if risk.ranks.alone:
        return own
    whole = own.new_zeros(risk.num_outputs, *own.shape[1:])
    whole[risk.own_rows] = own
    return risk.ranks.all_sum(whole)


@full_precision()
@torch.enable_grad()
def names_used(risk: EmpiricalRisk) -> set[str]:
    """Names of the free parameters that the loss depends on."""
    used = set[str]()
    with risk.ranks.together("unused parameters", in_step=risk.spread is not None):
        for batch in risk.own_batches():
            leaves = risk.leaves()
            with risk.bound(leaves):
                total = risk.total(leaves, batch)
                if not total.requires_grad:
                    continue
                parts = torch.autograd.grad(total, leaves, allow_unused=True)
                used |= {n for n, p in zip(risk.names, parts, strict=True) if p is not None}
    return {name for names in risk.ranks.gathered(sorted(used)) for name in names}

r"""Inner products of the rows of a Jacobian, layer by layer, without the Jacobian.

$$K_{(s c),(t d)} = \sum_l \langle g_{l s c}, g_{l t d}\rangle, \quad
  g_{l s c} = \sum_{\text{uses}} \sum_p b_{p s c}\, a_{p s}^T,
  \quad b_{p s c} = \partial f_{s c} / \partial \varepsilon_p$$

over the parameters l, with all uses of a parameter in the sum before its inner product;
`gram_parts` has the ways to compute it. If the data of all parameters do not fit into memory, the
network is evaluated again for the rest.

Valid if the outputs of a sample do not depend on other samples; the caller checks the result on
random vectors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from hessium.curvature.gram_parts import Part, leaf_rows, parts_of, uses_of
from hessium.curvature.gram_target import InnerProducts
from hessium.curvature.tapped_batch import TappedBatch, tap
from hessium.problem import EmpiricalRisk
from hessium.problem.output_hessian import OutputHessian

Middle = Callable[[Tensor, Any], OutputHessian]


def gram(risk: EmpiricalRisk, middle: Middle, work: int, hold: int) -> Tensor | None:
    r"""$S^T J J^T S$ over all samples of all batches, without forming J; not yet normalised.

    Args:
        risk: the risk, at its parameters.
        middle: (outputs, targets) -> the object with the factor S.
        work: bytes of one piece of work.
        hold: memory limit for data of all samples.

    Returns:
        Shape (R, R) with rows ordered by sample, then column of S; None where taps do not apply,
        ranks differ (sequences of other lengths), batches use other layers (terms of a sum), or
        one layer alone does not fit.
    """
    found = inner_products(risk, middle, work, hold)
    return None if found is None else found.own


def inner_products(
    risk: EmpiricalRisk,
    middle: Middle,
    work: int,
    hold: int,
    *,
    first: int = 0,
    joint: bool = True,
) -> InnerProducts | None:
    """As `gram`, without products with each other of the samples of the `first` outputs."""
    groups: list[list[Part]] | None = None
    target: InnerProducts | None = None
    rank: int | None = None
    layers: tuple[frozenset[int], list[tuple[type, int | None, int | None]]] | None = None
    done = 0
    while groups is None or done < len(groups):
        sizes: list[int] = []
        outputs, before = 0, 0
        for inputs, targets in risk.batches():
            batch = tap(risk, inputs, rest=True)
            if batch is None:
                return None
            factors = middle(batch.outputs, targets)
            factors.require_factor()
            used = batch.unknown, [(type(c), c.weight, c.bias) for c in batch.calls]
            if rank not in (None, factors.rank) or layers not in (None, used):
                return None
            rank, layers = factors.rank, used
            if groups is None:
                rows_in_all = (
                    risk.num_outputs * factors.rank * batch.samples // (batch.outputs.numel())
                )
                groups = _grouped(
                    parts_of(batch, risk, rows_in_all, factors.rank), rows_in_all, hold
                )
                if groups is None:
                    return None
            if not _collect(groups[done], batch, factors, work):
                return None
            sizes.append(batch.samples)
            outputs += batch.outputs.numel()
            before += batch.samples if outputs <= first else 0
        assert groups is not None
        assert rank is not None
        if target is None:
            assert rank is not None
            target = InnerProducts(sum(sizes), rank, before, joint, risk.theta)
        for part in groups[done]:
            part.add_to(target, work)
        groups[done] = []
        done += 1
    assert target is not None
    return target.close()


def jacobian_rows(
    risk: EmpiricalRisk, batch: TappedBatch, factors: OutputHessian, work: int
) -> Iterator[Tensor]:
    """Rows of S^T J of one batch, (samples x columns, P), a few columns of S at a time."""
    uses = uses_of(batch)
    units = [torch.arange(s[0] if s else 1, device=risk.device) for s in risk.layout.shapes]
    per_column = batch.samples * risk.dim * risk.dtype.itemsize
    for pulled in pulled_blocks(batch, factors, range(len(batch.calls)), work, per_column):
        count = next(iter(pulled.values())).shape[1]
        rows = torch.zeros(batch.samples, count, risk.dim, dtype=risk.dtype, device=risk.device)
        for leaf, at in uses.items():
            name = risk.names[leaf]
            found = leaf_rows(batch, pulled, leaf, at, units[leaf])
            rows[..., risk.layout.slice(name)] = found.flatten(2)
        yield rows.flatten(0, 1)


def _grouped(parts: list[Part], rows_in_all: int, hold: int) -> list[list[Part]] | None:
    """Groups of parts that fit into memory together; None if one part alone does not fit."""
    groups: list[list[Part]] = [[]]
    used = 0
    for part in parts:
        size = part.per_row * rows_in_all * 8
        if size > hold:
            return None
        if used + size > hold:
            groups.append([])
            used = 0
        groups[-1].append(part)
        used += size
    return groups


def _collect(parts: list[Part], batch: TappedBatch, factors: OutputHessian, work: int) -> bool:
    """Pull columns of one batch back to the calls of some parts."""
    which = sorted({call for part in parts for call in part.calls})
    if which and which[-1] >= len(batch.calls):
        return False
    for pulled in pulled_blocks(batch, factors, which, work) if which else ():
        for part in parts:
            part.take(batch, pulled)
    for part in parts:
        part.close(batch, factors)
    return True


def pulled_blocks(
    batch: TappedBatch, factors: OutputHessian, which: Sequence[int], work: int, more: int = 0
) -> Iterator[dict[int, Tensor]]:
    """Arrays b for each call, in chunks within the work space (`more` bytes a column)."""
    factors.require_factor()
    offsets = sum(batch.calls[k].offset.nbytes for k in which)
    step = max(1, work // (2 * offsets + 2 * batch.outputs.nbytes + more))
    for start in range(0, factors.rank, step):
        columns = factors.columns(start, min(start + step, factors.rank), batch.samples)
        columns = without_negligible(columns)
        found = batch.output_rows(columns, which)
        yield {
            k: batch.calls[k].fold(b, batch.samples).transpose(0, 1)
            for k, b in zip(which, found, strict=True)
        }


def without_negligible(columns: Tensor) -> Tensor:
    r"""Entries below $\epsilon^2$ of the largest one set to zero.

    They change the matrix by $\epsilon^2$ of its norm at most. In float32 products of such numbers
    (small probabilities of a confident classifier) are subnormal, with which a processor is about
    a hundred times slower.
    """
    smallest = columns.abs().max() * torch.finfo(columns.dtype).eps ** 2
    return columns.masked_fill(columns.abs() < smallest, 0.0)

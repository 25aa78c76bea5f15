r"""The Jacobian of a network in blocks of columns, one block for each group of parameters.

Rows of a Jacobian of a million parameters do not fit into memory, columns of some parameters do.
For networks of known layers a column block is formed from the derivatives b in the units and the
inputs a of each layer (`gram_assembly`): one backward pass for each output of a sample serves all
blocks. For other networks every row is one backward pass, through its own sample where the batch
can be cut, of which only the wanted columns are kept.

Rows are ordered by batch, sample, output.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from hessium._arithmetic import full_precision
from hessium.curvature.gram_assembly import gram, inner_products, pulled_blocks
from hessium.curvature.gram_parts import leaf_rows, uses_of
from hessium.curvature.jacobian import output_graph
from hessium.curvature.product_checks import tolerance
from hessium.curvature.sample_rows import SampleRows
from hessium.curvature.tapped_batch import TappedBatch, tap
from hessium.errors import SelfCheckError
from hessium.linalg.dense_matrices import symmetrize_
from hessium.linalg.products import COLUMNS
from hessium.problem import EmpiricalRisk
from hessium.problem.losses import rows
from hessium.problem.other_inputs import OnInputs
from hessium.problem.output_hessian import Diagonal

Consumer: TypeAlias = Callable[[slice, Tensor], None]  # (entries of theta, their columns)

_WORK = 2**27  # bytes of one piece of work
_STORED = 2**30  # bytes of the derivatives in the units that may be kept
_KEPT = 2**27  # bytes of a vector that is kept with a risk

_PROBES: WeakKeyDictionary[EmpiricalRisk, tuple[Tensor, Tensor]] = WeakKeyDictionary()


@full_precision()
@torch.enable_grad()
def over_columns(
    risk: EmpiricalRisk, begin: Callable[[], Consumer], max_bytes: int = 2**30
) -> Tensor:
    r"""Pass every column of J once to a consumer, in blocks.

    The blocks are compared with one backward pass: $B^T u = J^T u$ for a Gaussian u.

    Args:
        risk: a loss of outputs, at its parameters.
        begin: makes the consumer; called again if the layer-wise route fails its comparison, and
            the work begins anew.
        max_bytes: memory limit of one block.

    Returns:
        $B^T u - J^T u$, (P,): the size of each entry estimates the rounding of a column, its norm
        the rounding of J in the Frobenius norm.

    Cost: one gradient for each output of a sample (layer-wise), else one for each row of J and
    each block.
    """
    u, pulled = _probe(risk)
    for blocks in (_by_layers, _by_rows):
        if blocks is _by_layers and "layer-wise" in risk.refuted:
            continue
        consume = begin()
        missed, size, found = torch.zeros_like(pulled), float(pulled.norm()), False
        for at, block in blocks(risk, max_bytes):
            found = True
            missed[at] = block.mT @ u - pulled[at]
            consume(at, block)
        if found and float(missed.norm()) <= tolerance(risk.dtype) * size:
            return missed
        if found and blocks is _by_layers:
            risk.refuted.add("layer-wise")
    msg = f"jacobian: rows of {risk!r} differ from a product by {float(missed.norm()):.3g}"
    raise SelfCheckError(msg)


def dense_columns(risk: EmpiricalRisk, max_bytes: int = 2**30) -> tuple[Tensor, Tensor]:
    """J itself, (rows, P), and what `over_columns` says of its rounding, (P,)."""
    matrix = torch.zeros(risk.num_outputs, risk.dim, dtype=risk.dtype, device=risk.device)

    def begin() -> Consumer:
        def consume(at: slice, block: Tensor) -> None:
            matrix[:, at] = block

        return consume

    error = over_columns(risk, begin, max_bytes)
    return matrix, error


@full_precision()
@torch.enable_grad()
def outer_gram(risk: EmpiricalRisk, max_bytes: int = 2**31) -> Tensor:
    r"""$J J^T$, (rows, rows), without J where the layers are known.

    Compared with one backward pass in its quadratic form.

    Cost: one gradient for each output of a sample and products of the layers' inputs; for other
    networks that of `over_columns`.
    """
    size = risk.num_outputs
    if "layer-wise" not in risk.refuted:
        free = max(2**27, max_bytes - size**2 * risk.dtype.itemsize)
        matrix = gram(risk, _identity, min(_WORK, free // 6), free // 2)
        if matrix is not None:
            u, pulled = _probe(risk)
            expected, found = float(pulled.square().sum()), float(u @ matrix @ u)
            if abs(found - expected) <= tolerance(risk.dtype) * max(found, expected):
                return symmetrize_(matrix)
            risk.refuted.add("layer-wise")
    matrix = torch.zeros(size, size, dtype=risk.dtype, device=risk.device)

    def begin() -> Consumer:
        matrix.zero_()

        def consume(_: slice, block: Tensor) -> None:
            matrix.addmm_(block, block.mT)

        return consume

    over_columns(risk, begin, max_bytes // 2)
    return symmetrize_(matrix)


@full_precision()
@torch.enable_grad()
def cross_gram(
    risk: EmpiricalRisk, others: OnInputs, *, joint: bool, max_bytes: int = 2**31
) -> tuple[Tensor, Tensor]:
    r"""$J_* J^T$ and $J_* J_*^T$ for the Jacobian J of the data and $J_*$ of other inputs.

    Compared with one backward pass in its bilinear form.

    Args:
        risk: the data.
        others: the same network at other inputs.
        joint: the whole of $J_* J_*^T$; else its diagonal.
        max_bytes: memory limit.

    Returns:
        Shapes (m, n), and (m, m) or (m,).

    Cost: one gradient for each output of a sample, of the data as well, and products of the
    layers' inputs; for other networks that of `over_columns`.
    """
    data, later, both = risk.num_outputs, others.num_outputs, others.after(risk)
    if "layer-wise" not in risk.refuted:
        stored = later * (data + later if joint else data) * risk.dtype.itemsize
        free = max(2**27, max_bytes - stored)
        found = inner_products(
            both, _identity, min(_WORK, free // 6), free // 2, first=data, joint=joint
        )
        if found is not None:
            (u, right), (v, left) = _probe(risk), _probe(others)
            missed = abs(float(v @ found.cross @ u) - float(left @ right))
            if missed <= tolerance(risk.dtype) * float(left.norm() * right.norm()):
                return found.cross, found.own
            risk.refuted.add("layer-wise")
    cross = torch.zeros(later, data, dtype=risk.dtype, device=risk.device)
    own = cross.new_zeros((later, later) if joint else (later,))

    def begin() -> Consumer:
        cross.zero_()
        own.zero_()

        def consume(_: slice, block: Tensor) -> None:
            there = block[data:]
            cross.addmm_(there, block[:data].mT)
            if joint:
                own.addmm_(there, there.mT)
            else:
                own.add_(there.square().sum(dim=1))

        return consume

    over_columns(both, begin, max_bytes // 2)
    return cross, symmetrize_(own) if joint else own


def _identity(outputs: Tensor, _: object) -> Diagonal:
    return Diagonal(torch.ones_like(rows(outputs.detach())))


def _probe(risk: EmpiricalRisk) -> tuple[Tensor, Tensor]:
    """A Gaussian u and J^T u, kept with the risk if it is small."""
    if (known := _PROBES.get(risk)) is not None:
        return known
    generator = torch.Generator().manual_seed(risk.num_outputs)
    u = torch.randn(risk.num_outputs, generator=generator, dtype=torch.float64, device="cpu")
    u = u.to(device=risk.device, dtype=risk.dtype)
    found = u, _pull(risk, u)
    if found[1].nbytes <= _KEPT:
        _PROBES[risk] = found
    return found


def _pull(risk: EmpiricalRisk, u: Tensor) -> Tensor:
    """J^T u, flat."""
    total = torch.zeros(risk.dim, dtype=risk.dtype, device=risk.device)
    start = 0
    for inputs, _ in risk.batches():
        leaves = risk.leaves()
        f = risk.outputs(leaves, inputs)
        graph = output_graph(risk, f, leaves)
        part = u[start : start + f.numel()].view(f.shape)
        start += f.numel()
        total += torch.cat([p.reshape(-1) for p in graph.pull(part, leaves, batched=False)])
    return total


def _by_layers(risk: EmpiricalRisk, max_bytes: int) -> Iterator[tuple[slice, Tensor]]:
    """Column blocks from the layers; nothing if a parameter is used outside of known layers."""
    found: list[tuple[TappedBatch, dict[int, Tensor]]] = []
    stored = 0
    for inputs, _ in risk.batches():
        batch = tap(risk, inputs)
        if batch is None:
            return
        stored += sum(call.offset.nbytes for call in batch.calls) * rows(batch.outputs).shape[1]
        if stored > _STORED:
            return
        which = range(len(batch.calls))
        parts = list(pulled_blocks(batch, _identity(batch.outputs, None), which, _WORK))
        found.append((batch, {k: torch.cat([p[k] for p in parts], dim=1) for k in which}))
    for leaf, shape in enumerate(risk.layout.shapes):
        count = shape[0] if shape else 1
        rest = risk.layout.sizes[leaf] // max(count, 1)
        step = max(1, min(max_bytes, 4 * _WORK) // (8 * risk.num_outputs * max(rest, 1)))
        for first in range(0, count, step):
            units = torch.arange(first, min(first + step, count), device=risk.device)
            block = []
            for batch, b in found:
                uses = uses_of(batch).get(leaf)
                if uses is None:
                    width = rows(batch.outputs).numel(), len(units) * rest
                    block.append(torch.zeros(width, dtype=risk.dtype, device=risk.device))
                else:
                    block.append(leaf_rows(batch, b, leaf, uses, units).flatten(2).flatten(0, 1))
            offset = risk.layout.offsets[leaf]
            at = slice(offset + first * rest, offset + (first + len(units)) * rest)
            yield at, torch.cat(block)


def _by_rows(risk: EmpiricalRisk, max_bytes: int) -> Iterator[tuple[slice, Tensor]]:
    """Column blocks from rows, each from a pass back; all rows again for every block."""
    size, dim = risk.num_outputs, risk.dim
    width = max(1, min(dim, max_bytes // (size * risk.dtype.itemsize)))
    height = max(1, min(COLUMNS, max_bytes // (4 * dim * risk.dtype.itemsize)))
    for low in range(0, dim, width):
        at = slice(low, min(low + width, dim))
        block = torch.empty(size, at.stop - low, dtype=risk.dtype, device=risk.device)
        start = 0
        for inputs, _ in risk.batches():
            leaves = risk.leaves()
            f = risk.outputs(leaves, inputs)
            source = SampleRows(risk, inputs, output_graph(risk, f, leaves))
            for some, found in source.blocks(_identity(f, None), 0, f.numel(), height):
                block[start + some.start : start + some.stop] = found[:, at]
            start += f.numel()
        yield at, block

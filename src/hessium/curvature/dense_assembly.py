r"""Dense curvature of networks, assembled layer by layer.

A linear layer computes $z = W a + b$ for each sample. The loss depends on the parameters only
through z. With an additive perturbation $\varepsilon_l$ at the output of every layer, all
derivatives in the parameters follow from per-sample derivatives in the few $\varepsilon$ and from
the layer's inputs. With $\bar a = (a, 1)$, $\delta_l = \partial L/\partial \varepsilon_l$ and for
sample s

$$H_{(l i p),(k j q)} = \sum_s \Big[
    \frac{\partial^2 L_s}{\partial\varepsilon_{l i}\,\partial\varepsilon_{k j}}
      \bar a_{l p} \bar a_{k q}
    + \delta_{l i} \frac{\partial a_{l p}}{\partial\varepsilon_{k j}} \bar a_{k q}
    + \delta_{k j} \frac{\partial a_{k q}}{\partial\varepsilon_{l i}} \bar a_{l p} \Big].$$

A network with P parameters and M units needs M differentiations instead of P, plus matrix products.
For other networks with known layers, $J^T \Lambda J$ is assembled from per-sample gradients.

Valid if the outputs of a sample do not depend on other samples; the caller checks the result on a
random vector.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from hessium.curvature.gram_assembly import jacobian_rows
from hessium.curvature.graph import differentiate
from hessium.curvature.layer_ops import Outer
from hessium.curvature.product_checks import tolerance
from hessium.curvature.tapped_batch import TappedBatch, plain_layers, tap
from hessium.linalg.dense_matrices import symmetrize_
from hessium.problem import EmpiricalRisk
from hessium.problem.losses import rows
from hessium.problem.output_hessian import OutputHessian

WORK_BYTES = 2**27  # bytes of one outer product: large enough for BLAS, small for any machine
_CHUNK_BYTES = 2**22  # of a factor of one matrix product
_CANCELLED = 4096.0  # last bits of the largest matrix by which two routes may differ elsewhere
_ROUNDED = 1e-3  # relative to the matrix: a larger difference cannot be a rounding error
PIECES = 6  # arrays of that size that may be alive at once


def work_bytes(free_bytes: int) -> int:
    """Size of one chunk such that all chunks alive at once fit into `free_bytes`."""
    return max(2**16, min(WORK_BYTES, free_bytes // PIECES))


def dense_second_order(
    risk: EmpiricalRisk, scalar: Callable[[Tensor, Any], Tensor], work: int = WORK_BYTES
) -> Tensor | None:
    """Hessian of a scalar of the outputs, summed over all batches; not yet normalised.

    Args:
        risk: the risk, at its parameters.
        scalar: (outputs, targets) -> scalar that is a sum over samples.
        work: bytes of one piece of work.

    Returns:
        Shape (P, P), or None if the taps do not apply.
    """
    matrix = torch.zeros(risk.dim, risk.dim, dtype=risk.dtype, device=risk.device)
    for inputs, targets in risk.own_batches():
        batch = tap(risk, inputs)
        layers = plain_layers(batch)
        if batch is None or layers is None:
            return None
        _add_second_order(matrix, risk, layers, scalar(batch.outputs, targets), work)
    return symmetrize_(matrix)


def dense_outer(
    risk: EmpiricalRisk, middle: Callable[[Tensor, Any], OutputHessian], work: int = WORK_BYTES
) -> Tensor | None:
    r"""$\sum_s J_s^T S_s S_s^T J_s$ over all batches; not yet normalised.

    Args:
        risk: the risk, at its parameters.
        middle: (outputs, targets) -> the object with the factor S.
        work: bytes of one piece of work.

    Returns:
        Shape (P, P), or None where the taps do not apply.
    """
    matrix = torch.zeros(risk.dim, risk.dim, dtype=risk.dtype, device=risk.device)
    for inputs, targets in risk.own_batches():
        batch = tap(risk, inputs)
        if batch is None:
            return None
        factors, layers = middle(batch.outputs, targets), plain_layers(batch)
        if layers is None:
            for some in jacobian_rows(risk, batch, factors, work):
                matrix.addmm_(some.mT, some)
        else:
            for pulled in _pulled(batch, factors, work):
                _add_outer(matrix, risk, layers, pulled, work)
    return symmetrize_(matrix)


def rounding_of(matrix: Tensor, kind: str, sizes: dict[str, float]) -> float:
    """Relative difference of two routes to a matrix that is put down to rounding.

    Where residuals cancel, as near a perfect fit, both routes are rounded by last bits of the terms
    that cancel. Those have the size of the matrices with which the route has agreed.

    Args:
        matrix: by one route.
        kind: of the operator.
        sizes: norms of the largest matrices of each kind so far; that of this one is added.
    """
    usual, size = tolerance(matrix.dtype), float(torch.linalg.matrix_norm(matrix))
    largest = sizes.get(kind, 0.0)
    bits = _CANCELLED * torch.finfo(matrix.dtype).eps * largest
    if 0 < usual * size < bits:
        return float(min(bits / size, _ROUNDED))
    sizes[kind] = max(size, largest)
    return usual


def agrees(matrix: Tensor, vectors: Tensor, expected: Tensor, tol: float) -> bool:
    """Whether products of a matrix with vectors are the expected ones, to a relative tolerance."""
    errors = (matrix @ vectors - expected).norm(dim=0)
    typical = vectors.norm(dim=0) * torch.linalg.matrix_norm(matrix) / matrix.shape[0] ** 0.5
    return bool((errors <= tol * (expected.norm(dim=0) + typical)).all())


def _pulled(batch: TappedBatch, middle: OutputHessian, work: int) -> Iterator[list[Tensor]]:
    """Columns of the factor pulled back to the taps, in chunks within the work space."""
    middle.require_factor()
    samples = rows(batch.outputs).shape[0]
    per_column = sum(t.offset.nbytes for t in batch.calls) + 2 * batch.outputs.nbytes
    step = max(1, work // per_column)
    for start in range(0, middle.rank, step):
        columns = middle.columns(start, min(start + step, middle.rank), samples)
        yield batch.output_rows(columns)


def _add_outer(
    matrix: Tensor, risk: EmpiricalRisk, taps: list[Outer], pulled: list[Tensor], work: int
) -> None:
    """Add sum_r b_r b_r^T of the parameters, for rows b (r, N, d) pulled back to each tap."""
    extended = [t.extended_inputs() for t in taps]
    for row, later in enumerate(taps):
        for column, earlier in enumerate(taps[: row + 1]):
            # the core of a unit, and the copies that its two products make of it
            extra = 4 * later.offset.nbytes
            for chunk in _unit_chunks(earlier, extended[row], extended[column], later, work, extra):
                core = torch.einsum("rni,rnj->nij", pulled[row], pulled[column][:, :, chunk])
                block = _outer_sum(core, extended[row], extended[column], work)
                _add_block(matrix, risk, later, earlier, block, chunk)


def _add_second_order(
    matrix: Tensor, risk: EmpiricalRisk, taps: list[Outer], scalar: Tensor, work: int
) -> None:
    offsets = [t.offset for t in taps]
    # One scalar holds both kinds of derivative: its Hessian in (offset, dual) has the second
    # derivatives of the loss and, against the duals, the Jacobians of the layers' inputs.
    linked = [t.inputs.requires_grad for t in taps]
    duals = [
        torch.zeros_like(t.inputs, requires_grad=True) if live else t.inputs
        for t, live in zip(taps, linked, strict=True)
    ]
    for dual, t, live in zip(duals, taps, linked, strict=True):
        if live:
            scalar = scalar + (dual * t.inputs).sum()
    slopes = torch.autograd.grad(scalar, offsets, create_graph=True, materialize_grads=True)
    extended = [t.extended_inputs() for t in taps]
    for column, (earlier, slope) in enumerate(zip(taps, slopes, strict=True)):
        if not slope.requires_grad:
            continue
        later = range(column, len(taps))
        moved = [k for k in later if k > column and linked[k] and taps[k].weight is not None]
        wanted = [offsets[k] for k in later] + [duals[k] for k in moved]
        samples, units = slope.shape
        largest = max(later, key=lambda k: extended[k].shape[1] * offsets[k].shape[1])
        extra = 3 * sum(w.nbytes for w in wanted)
        a_column = extended[column]
        for chunk in _unit_chunks(earlier, extended[largest], a_column, taps[largest], work, extra):
            unit = torch.eye(units, dtype=slope.dtype, device=slope.device)[chunk]
            cotangents = unit[:, None, :].expand(-1, samples, -1)
            like = [w.unsqueeze(0).expand(len(unit), *w.shape) for w in wanted]
            derived = differentiate([slope], wanted, [cotangents], batched=True, like=like)
            for k, core in zip(later, derived, strict=False):
                block = _outer_sum(core.permute(1, 2, 0), extended[k], a_column, work)
                _add_block(matrix, risk, taps[k], earlier, block, chunk)
            for k, jacobian in zip(moved, derived[len(later) :], strict=True):
                # delta_{l i} (d a_{l p} / d eps_{k j}) abar_{k q}
                block = _outer_sum(
                    jacobian.permute(1, 2, 0), slopes[k].detach(), a_column, work
                ).permute(1, 0, 2, 3)
                if taps[k].bias is not None:
                    block = F.pad(block, (0, 0, 0, 0, 0, 1))  # the constant input does not move
                _add_block(matrix, risk, taps[k], earlier, block, chunk)


def _outer_sum(core: Tensor, left: Tensor, right: Tensor, work: int) -> Tensor:
    """sum_s core[s, i, j] left[s, p] right[s, q] as (i, p, j, q), by one matrix product a chunk.

    The two smallest of the three arrays are multiplied entry by entry first: with few units this is
    a weighted X^T X, whose cost is that of its matrix product.
    """
    samples, i, j = core.shape
    p, q = left.shape[1], right.shape[1]
    smallest = min(p * q, i * j * p, i * j * q)
    result = i * j * p * q
    # small chunks stay in the cache, but each adds the whole result
    room = min(work, max(_CHUNK_BYTES, 2 * result * core.itemsize))
    step = max(1, room // max(1, smallest * core.itemsize))
    total: Tensor | None = None
    for start in range(0, samples, step):
        part = slice(start, start + step)
        c, x, y = core[part], left[part], right[part]
        if smallest == i * j * p:
            one, other = (c[:, :, None, :] * x[:, None, :, None]).flatten(1), y
        elif smallest == i * j * q:
            one, other = x, (c[..., None] * y[:, None, None, :]).flatten(1)
        else:
            one, other = c.flatten(1), (x[:, :, None] * y[:, None, :]).flatten(1)
        total = one.mT @ other if total is None else total.addmm_(one.mT, other)
    assert total is not None
    if smallest == i * j * p:
        return total.view(i, p, j, q)
    if smallest == i * j * q:
        return total.view(p, i, j, q).transpose(0, 1)
    return total.view(i, j, p, q).permute(0, 2, 1, 3)


def _add_block(
    matrix: Tensor,
    risk: EmpiricalRisk,
    later: Outer,
    earlier: Outer,
    block: Tensor,
    units: slice,
) -> None:
    """Add a block (i, p, j, q) of extended inputs where weights and biases lie in theta.

    Off-diagonal blocks are added twice: the symmetric part is taken at the end.
    """
    alpha = 1 if later is earlier else 2
    for rows_at, block_p in _places(risk, later, slice(0, later.offset.shape[1])):
        for columns_at, block_q in _places(risk, earlier, units):
            piece = block[:, block_p, :, block_q]
            view = matrix[rows_at, columns_at]
            view.add_(piece.reshape(view.shape), alpha=alpha)


def _unit_chunks(
    earlier: Outer, left: Tensor, right: Tensor, later: Outer, work: int, extra: int = 0
) -> Iterator[slice]:
    """Units of a layer in chunks whose blocks (and `extra` bytes a unit) fit the work space."""
    units = earlier.offset.shape[1]
    rows_of_block = later.offset.shape[1] * left.shape[1]
    per_unit = extra + 2 * rows_of_block * right.shape[1] * right.itemsize
    step = max(1, min(units, work // per_unit))
    for start in range(0, units, step):
        yield slice(start, min(start + step, units))


def _places(risk: EmpiricalRisk, t: Outer, units: slice) -> list[tuple[slice, slice]]:
    """(where in theta, which extended inputs) for the weight and the bias of some units."""
    layout = risk.layout
    width = t.inputs.shape[1] if t.weight is not None else 0
    first, last = units.start, units.stop
    places = []
    if t.weight is not None:
        offset = layout.offsets[t.weight]
        places.append((slice(offset + first * width, offset + last * width), slice(0, width)))
    if t.bias is not None:
        offset = layout.offsets[t.bias]
        places.append((slice(offset + first, offset + last), slice(width, width + 1)))
    return places

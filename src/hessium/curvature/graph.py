"""Autograd graphs that are built once and differentiated for every vector.

All products use reverse over reverse: in the supported versions of torch forward mode is wrong for
layer normalisation and fails on common losses.
"""

from __future__ import annotations

import functools
import logging
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeAlias

import torch
from torch import Tensor

from hessium.curvature.fx_program import Program

logger = logging.getLogger(__name__)

Inside: TypeAlias = Callable[[], AbstractContextManager[None]]
_ROWS_BYTES = 2**30  # bytes of a stored Jacobian; a larger one is recomputed for every product
UNKNOWN = sys.maxsize  # bytes of a graph that cannot be measured: more than any budget


class GradientGraph:
    r"""The gradient of a scalar with its graph; a Hessian product is one backward pass.

    Args:
        scalar: s, a function of `leaves`.
        leaves: parameters.
        inside: context in which a backward pass must run.
    """

    def __init__(
        self, scalar: Tensor, leaves: Sequence[Tensor], inside: Inside = nullcontext
    ) -> None:
        self._leaves = list(leaves)
        self._inside = inside
        gradient: Sequence[Tensor | None] = [None] * len(self._leaves)
        if scalar.requires_grad:
            gradient = torch.autograd.grad(
                scalar, self._leaves, create_graph=True, allow_unused=True
            )
        self.value = float(scalar.detach())
        # views of what the graph keeps alive anyway
        self.gradient = [None if g is None else g.detach() for g in gradient]
        # entries that are constant in the parameters have no second derivative
        self._live = [(i, g) for i, g in enumerate(gradient) if g is not None and g.requires_grad]
        self.program: Program | None = None

    def product(self, parts: Sequence[Tensor], *, batched: bool) -> list[Tensor]:
        r"""$\nabla^2 s\, V$, leaf by leaf; with `batched`, parts have a leading block dimension."""
        if self.program is not None:
            return self.program(parts, batched=batched)
        return self._walk(parts, batched=batched)

    def trace(self, *, compiled: bool = False) -> None:
        """Record the product as a program. Raises CannotTraceError."""
        self.program = Program(
            lambda parts: self._walk(parts, batched=False), self._leaves, compiled=compiled
        )

    def forget(self) -> None:
        """Discard the program and use the graph."""
        self.program = None

    def nbytes(self) -> int:
        """Bytes that the graph and its program keep alive."""
        return held_bytes([g for _, g in self._live], self.program)

    def _walk(self, parts: Sequence[Tensor], *, batched: bool) -> list[Tensor]:
        with self._inside():
            return differentiate(
                [g for _, g in self._live],
                self._leaves,
                [parts[i] for i, _ in self._live],
                batched=batched,
                like=parts,
            )


class OutputGraph:
    r"""Outputs f of one batch with products $J v$ and $J^T w$ of their Jacobian.

    $J v$ is the derivative of $u \mapsto J^T u$ (double reverse), which is linear in u. If an
    operation of the network has no second derivative, J is formed row by row.

    Args:
        outputs: f, a function of `leaves`.
        leaves: parameters.
        inside: context in which a backward pass must run.
        by_rows: form J row by row.
    """

    def __init__(
        self,
        outputs: Tensor,
        leaves: Sequence[Tensor],
        inside: Inside = nullcontext,
        *,
        by_rows: bool = False,
    ) -> None:
        self.outputs = outputs
        self._leaves = list(leaves)
        self._inside = inside
        self._by_rows = by_rows
        self._dual = torch.zeros_like(outputs, requires_grad=True)
        self.program: Program | None = None

    @functools.cached_property
    def _live(self) -> list[tuple[int, Tensor]]:
        """J^T u with its graph in u, built for the first product J v."""
        if not self.outputs.requires_grad:
            return []
        with self._inside():
            pulled = torch.autograd.grad(
                self.outputs, self._leaves, self._dual, create_graph=True, allow_unused=True
            )
        return [(i, g) for i, g in enumerate(pulled) if g is not None]

    @functools.cached_property
    def _kept_rows(self) -> list[list[Tensor]] | None:
        """J in blocks of rows, leaf by leaf, if all of it fits."""
        return list(self._row_blocks()) if self._rows_bytes <= _ROWS_BYTES else None

    @property
    def _rows_bytes(self) -> int:
        return self.outputs.numel() * sum(leaf.nbytes for leaf in self._leaves)

    def _row_blocks(self) -> Iterator[list[Tensor]]:
        """J in blocks of rows: for each block tensors (rows, ...), leaf by leaf."""
        height = max(1, _ROWS_BYTES // 4 // max(1, self._rows_bytes // self.outputs.numel()))
        unit = torch.zeros_like(self.outputs).reshape(-1)
        for start in range(0, len(unit), height):
            rows = []
            for at in range(start, min(start + height, len(unit))):
                unit[at] = 1.0
                rows.append(self.pull(unit.view_as(self.outputs), self._leaves, batched=False))
                unit[at] = 0.0
            yield [torch.stack(parts) for parts in zip(*rows, strict=True)]

    def push(self, parts: Sequence[Tensor], *, batched: bool) -> Tensor:
        """J V, in the shape of the outputs (after the block dimension)."""
        if self.program is not None:
            (product,) = self.program(parts, batched=batched)
            return product
        return self._walk(parts, batched=batched)

    def trace(self, *, compiled: bool = False) -> None:
        """Record J v as a program. Raises CannotTraceError."""
        self.program = Program(
            lambda parts: [self._walk(parts, batched=False)], self._leaves, compiled=compiled
        )

    def pull(self, cotangents: Tensor, parts: Sequence[Tensor], *, batched: bool) -> list[Tensor]:
        """J^T W, leaf by leaf; `parts` give the shapes."""
        outputs = [self.outputs] if self.outputs.requires_grad else []
        cotangent = [cotangents] if outputs else []
        with self._inside():
            return differentiate(outputs, self._leaves, cotangent, batched=batched, like=parts)

    def nbytes(self) -> int:
        """Bytes that the graph and its program keep alive."""
        if self._by_rows:
            return self._rows_bytes if self._kept_rows is not None else UNKNOWN
        return held_bytes([self.outputs, *(g for _, g in self._live)], self.program)

    def _walk(self, parts: Sequence[Tensor], *, batched: bool) -> Tensor:
        lead = parts[0].shape[:1] if batched else ()
        if self._by_rows:
            images = []
            for block in self._kept_rows or self._row_blocks():
                pairs = zip(parts, block, strict=True)
                terms = [
                    part.reshape(*lead, -1) @ rows.reshape(len(rows), -1).mT for part, rows in pairs
                ]
                images.append(torch.stack(terms).sum(dim=0))
            return torch.cat(images, dim=-1).reshape(*lead, *self._dual.shape)
        with self._inside():
            (product,) = differentiate(
                [g for _, g in self._live],
                [self._dual],
                [parts[i] for i, _ in self._live],
                batched=batched,
                like=[self._dual.new_empty(()).expand(*lead, *self._dual.shape)],
            )
        return product


def differentiate(
    outputs: Sequence[Tensor],
    inputs: Sequence[Tensor],
    cotangents: Sequence[Tensor],
    *,
    batched: bool,
    like: Sequence[Tensor],
) -> list[Tensor]:
    """Vector-Jacobian product that keeps the graph; zeros for independent inputs.

    Args:
        outputs: tensors of a graph, possibly none.
        inputs: with respect to these.
        cotangents: one for each output, with a leading block dimension if `batched`.
        batched: the whole block in one vectorised pass, or one column at a time if an operation
            cannot be vectorised.
        like: tensors with the shapes of the results.
    """
    if not outputs:
        return [torch.zeros_like(shape) for shape in like]
    if batched:
        try:
            with warnings.catch_warnings():
                # an operation without a batching rule falls back to a slow loop inside torch, and
                # warns: a loop of our own is faster
                warnings.filterwarnings("error", message=".*batching rule")
                grads = torch.autograd.grad(
                    outputs, inputs, cotangents, retain_graph=True, allow_unused=True,
                    is_grads_batched=True,
                )  # fmt: skip
        except torch.OutOfMemoryError:
            raise
        except Exception:
            columns = [
                differentiate(outputs, inputs, column, batched=False, like=[s[0] for s in like])
                for column in zip(*cotangents, strict=True)
            ]
            return [torch.stack(parts) for parts in zip(*columns, strict=True)]
    else:
        grads = torch.autograd.grad(
            outputs, inputs, cotangents, retain_graph=True, allow_unused=True
        )
    return [
        torch.zeros_like(shape) if g is None else g for g, shape in zip(grads, like, strict=True)
    ]


def held_bytes(roots: Sequence[Tensor], program: Program | None = None) -> int:
    """Bytes of the distinct tensors that the graph behind `roots`, and a program, hold.

    `UNKNOWN` if they cannot be measured (for example wrappers of torch.func).
    """
    seen = set()
    stack = [root.grad_fn for root in roots if root.grad_fn is not None]
    try:
        storages = {} if program is None else program.storages()
        while stack:
            node = stack.pop()
            if node in seen:
                continue
            seen.add(node)
            for tensor in _saved_by(node):
                storage = tensor.untyped_storage()
                storages[storage.data_ptr()] = storage.nbytes()
            stack += [parent for parent, _ in node.next_functions if parent is not None]
    except Exception as error:  # failures of the memory measurement do not affect derivatives
        logger.info("the memory of a graph cannot be measured: %s", error)
        return UNKNOWN
    return sum(storages.values())


def _saved_by(node: Any) -> Iterator[Tensor]:
    for name in dir(node):
        if name.startswith("_saved_") or name == "saved_tensors":
            saved = getattr(node, name)
            for tensor in saved if isinstance(saved, (tuple, list)) else (saved,):
                # a sparse tensor has no storage of its own
                if isinstance(tensor, Tensor) and tensor.layout is torch.strided:
                    yield tensor

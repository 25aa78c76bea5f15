"""Rows of a Jacobian from passes over few samples each.

A row belongs to one sample. Where a batch can be cut along its samples and the network gives the
same outputs for the pieces, a row costs a pass back over the samples of its piece, not over all of
the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from hessium.curvature.graph import OutputGraph
from hessium.linalg.products import COLUMNS
from hessium.problem import EmpiricalRisk
from hessium.problem.containers import replaced, tensors
from hessium.problem.losses import num_rows
from hessium.problem.output_hessian import OutputHessian

ROWS = 16  # of one vectorised pass over a piece: fewer leave its fixed cost, more waste work
_ALIKE = 0.5  # power of the rounding unit by which outputs of a piece may differ
_COUPLED = "sample by sample"


class SampleRows:
    """Rows of S^T J of one batch, each from a piece of the batch where that is possible.

    Args:
        risk: at its parameters.
        inputs: of the batch.
        whole: graph of the whole batch, for networks whose samples are coupled.
        wanted: positions of the parameters among those of the risk; all by default.
    """

    def __init__(
        self,
        risk: EmpiricalRisk,
        inputs: Any,
        whole: OutputGraph,
        wanted: Sequence[int] | None = None,
    ) -> None:
        self._risk, self._whole = risk, whole
        self._wanted = range(len(risk.layout.shapes)) if wanted is None else wanted
        cut = _cut(inputs, num_rows(whole.outputs))
        self._cut = None if _COUPLED in risk.refuted else cut
        self._piece: tuple[slice, OutputGraph] | None = None

    def blocks(
        self, middle: OutputHessian, start: int, stop: int, most: int = COLUMNS
    ) -> Iterator[tuple[slice, Tensor]]:
        """Rows of S^T J of the batch, at most so many at a time, as (which, (k, parameters)).

        Args:
            middle: has the factor S.
            start: first row; rows are ordered by sample, then column of S.
            stop: behind the last one.
            most: rows of a block.
        """
        outputs, rank = self._whole.outputs, middle.rank
        step = most if self._cut is None else min(most, rank * max(1, ROWS // rank))
        for low in range(start, stop, max(1, step)):
            index = torch.arange(low, min(low + max(1, step), stop), device="cpu")
            unit = outputs.new_zeros(len(index), num_rows(outputs), rank)
            unit[torch.arange(len(index), device="cpu"), index // rank, index % rank] = 1.0
            cotangents = middle.factor(unit).reshape(len(index), *outputs.shape)
            samples = slice(low // rank, int(index[-1]) // rank + 1)
            parts = self._pull(cotangents, samples)
            found = torch.cat([part.reshape(len(index), -1) for part in parts], dim=1)
            yield slice(low, low + len(index)), found

    def _pull(self, cotangents: Tensor, samples: slice) -> list[Tensor]:
        """J^T W, parameter by parameter, (k, ...).

        Args:
            cotangents: W, shape (k, outputs of the batch).
            samples: outside of which it is zero.
        """
        shapes = [self._risk.layout.shapes[k] for k in self._wanted]
        like = [cotangents.new_empty(()).expand(len(cotangents), *shape) for shape in shapes]
        if (graph := self._of(samples)) is not None:
            return graph.pull(cotangents[:, samples], like, batched=True)
        return self._whole.pull(cotangents, like, batched=True)

    def _of(self, samples: slice) -> OutputGraph | None:
        """The graph of some samples; None if they cannot be computed alone."""
        if self._cut is None:
            return None
        if self._piece is not None and self._piece[0] == samples:
            return self._piece[1]
        expected = self._whole.outputs.detach()
        leaves = self._risk.leaves()
        try:
            f = self._risk.outputs(leaves, self._cut(samples))
        except torch.OutOfMemoryError:
            raise
        except Exception:  # a network that wants batches of one size
            f = None
        if f is None or f.shape != expected[samples].shape or not _alike(f, expected, samples):
            self._risk.refuted.add(_COUPLED)
            self._cut = None
            return None
        graph = OutputGraph(f, [leaves[k] for k in self._wanted], self._risk.inside(leaves))
        self._piece = samples, graph
        return graph


def _alike(f: Tensor, expected: Tensor, samples: slice) -> bool:
    error = float((f.detach() - expected[samples]).abs().max())
    return error <= torch.finfo(f.dtype).eps ** _ALIKE * float(expected.abs().max())


def _cut(inputs: Any, samples: int) -> Callable[[slice], Any] | None:
    """Inputs of some samples; None if not all tensors have the samples first."""
    found = tensors(inputs)
    if samples < 2 or not found:
        return None
    for tensor in found:
        plain = tensor.layout is torch.strided and not tensor.is_nested
        if not plain or not tensor.dim() or tensor.shape[0] != samples:
            return None

    def piece(at: slice) -> Any:
        return replaced(inputs, lambda t: t.detach()[at].requires_grad_(t.requires_grad))

    return piece

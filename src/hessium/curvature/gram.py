"""The Gram matrix of the samples, with the non-zero spectrum of the Gauss-Newton matrix."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, TypeAlias

import torch
from torch import Tensor

from hessium._arithmetic import full_precision
from hessium.curvature.dense_assembly import work_bytes
from hessium.curvature.gradient_check import check_gradient
from hessium.curvature.gram_assembly import gram
from hessium.curvature.graph import OutputGraph
from hessium.curvature.jacobian import output_graph
from hessium.curvature.product_checks import probe_vectors, tolerance
from hessium.curvature.requirements import require_outputs
from hessium.curvature.sample_rows import SampleRows
from hessium.errors import SelfCheckError
from hessium.linalg.dense_matrices import require_memory, symmetrize_
from hessium.linalg.operator import SymmetricOperator
from hessium.linalg.products import COLUMNS
from hessium.linalg.shares import Shares
from hessium.problem import EmpiricalRisk
from hessium.problem.losses import rows
from hessium.problem.one_pass import rows_of_all
from hessium.problem.output_hessian import OutputHessian
from hessium.problem.rank_shares import shares_of

Pulled: TypeAlias = list[Tensor]  # in the parameters' shapes


class Gram(SymmetricOperator):
    r"""$K = \frac1D S^T J J^T S$ with $S S^T = \nabla_f^2 \ell$: samples x outputs square.

    $H_0 = \frac1D (S^T J)^T (S^T J)$, so K has the same non-zero eigenvalues with the same
    multiplicities. With 100 samples of one output and a million parameters it is a 100 x 100
    matrix. For `SquaredError()` K is twice the neural tangent kernel matrix. Rows are ordered by
    sample, then output.

    Args:
        risk: a loss of outputs, convex in them.

    Raises:
        InputError: if the loss is not convex, couples samples, or the risk is a closure.

    Cost of `dense`: one backward pass per output of a sample and matrix products layer by layer,
    without the Jacobian, for parameters of linear, bilinear, convolution, transposed convolution,
    embedding, recurrent, attention and normalisation layers, for those that act entry by entry
    (sums, products, slopes), and for weights computed from such parameters (tied, masked, of low
    rank). For other parameters, beside these, and for all of them where samples are coupled in an
    unknown way: one pass per sample and a vectorised pass back for its rows, where the batch can be
    cut into its samples, else one backward pass per row. With data in several processes one product
    with each unit vector.

    Example:
        >>> K = hs.Gram(risk)  # as many rows as samples x outputs
        >>> K.shape
        (12, 12)
        >>> bool(np.allclose(hs.spectrum(K).nodes[-3:], hs.spectrum(H0).nodes[-3:]))
        True
    """

    @full_precision()
    def __init__(self, risk: EmpiricalRisk) -> None:
        require_outputs(risk, "Gram matrix")
        check_gradient(risk, "Gram")
        self.risk = risk
        if risk.survey.convex:
            return
        with risk.ranks.together("check of the loss"):
            for inputs, targets in risk.own_batches():  # a factor must exist before any promise
                f = risk.outputs(risk.leaves(), inputs)
                risk.output_hessian(f, targets).require_factor()

    @property
    def shape(self) -> tuple[int, int]:
        """(N C, N C)."""
        return (self.risk.num_outputs, self.risk.num_outputs)

    @property
    def dtype(self) -> torch.dtype:
        """Of the parameters."""
        return self.risk.dtype

    @property
    def device(self) -> torch.device:
        """Of the parameters."""
        return self.risk.device

    @property
    def shares(self) -> Shares:
        """Equal shares of the outputs, for each process of the risk."""
        return shares_of(self.risk.ranks, self.shape[0])

    @property
    def positive_semidefinite(self) -> bool:
        """Always."""
        return True

    @property
    def rank_bound(self) -> int:
        """The number of parameters."""
        return min(self.shape[0], self.risk.dim)

    def dense(self, *, max_bytes: int = 2**33) -> Tensor:
        """The matrix itself, symmetric to the last bit.

        Args:
            max_bytes: memory limit for the matrix, blocks of Jacobian rows and work space.

        Raises:
            InputError: if the matrix alone does not fit.
            SelfCheckError: if it disagrees with a product through the network.
        """
        return self._checked(probe_vectors(self, 2), max_bytes)[0]

    @full_precision()
    def dense_beside(self, vectors: Tensor, *, max_bytes: int = 2**33) -> tuple[Tensor, Tensor]:
        """The matrix of `dense`, and products; the vectors are also those of its check."""
        matrix, pulled = self._checked(vectors, max_bytes)
        return matrix, self._forth(pulled)

    @full_precision()
    def _checked(self, vectors: Tensor, max_bytes: int) -> tuple[Tensor, list[Pulled]]:
        """The matrix, compared with J^T S v for some vectors v, and these."""
        max_bytes = require_memory(self.shape[0], self.dtype, max_bytes)
        pulled = self._pulled(vectors)
        refuted, alone = self.risk.refuted, self.risk.ranks.alone
        if "layer-wise" not in refuted and alone:
            with torch.enable_grad():
                free = max_bytes - self.shape[0] ** 2 * self.dtype.itemsize
                matrix = gram(self.risk, self.risk.output_hessian, work_bytes(free), free // 2)
            if matrix is not None:
                matrix = symmetrize_(matrix.div_(self.risk.denominator))
                if self._error(matrix, vectors, pulled) <= tolerance(self.dtype):
                    return matrix, pulled
                refuted.add("layer-wise")
        matrix = self._from_rows(max_bytes) if alone else self._from_columns()
        if (error := self._error(matrix, vectors, pulled)) > tolerance(self.dtype):
            msg = f"{self!r}: differs from a product through the network by {error:.3g} (relative)"
            raise SelfCheckError(msg)
        return matrix, pulled

    def _error(self, matrix: Tensor, vectors: Tensor, pulled: list[Pulled]) -> float:
        """Quadratic forms against |J^T S v|^2 / D, the worst of some vectors."""
        worst = 0.0
        for vector, parts in zip(vectors.unbind(1), pulled, strict=True):
            expected = sum(float(p.square().sum()) for p in parts) / self.risk.denominator
            found = float(vector @ (matrix @ vector))
            if not math.isfinite(found + expected):
                return math.inf
            if expected or found:
                worst = max(worst, abs(found - expected) / max(abs(found), expected))
        return worst

    def _matmat(self, block: Tensor) -> Tensor:
        """K U = S^T J (J^T S U): one pass over the data back and one forth."""
        return self._forth(self._pulled(block))

    def pull(self, column: Tensor) -> Pulled:
        """J^T S u for u (samples x outputs,), in the parameters' shapes. Cost: one gradient."""
        return self._pulled(column[:, None])[0]

    @full_precision()
    @torch.enable_grad()
    def _pulled(self, block: Tensor) -> list[Pulled]:
        """J^T S u for each column u."""
        ranks, layout = self.risk.ranks, self.risk.layout
        flat = torch.zeros(block.shape[1], self.risk.dim, dtype=self.dtype, device=self.device)
        totals = [layout.unflatten(row) for row in flat]
        own = block[self.risk.own_rows]
        with ranks.together("products with the transposed Jacobian", block):
            for graph, middle, at, _ in self._outputs():
                for total, column in zip(totals, own.unbind(1), strict=True):
                    u = middle.factor(rows(column[at].view(graph.outputs.shape)))
                    parts = graph.pull(u.reshape(graph.outputs.shape), total, batched=False)
                    for there, part in zip(total, parts, strict=True):
                        there += part
        ranks.all_sum(flat)
        return totals

    @full_precision()
    @torch.enable_grad()
    def _forth(self, pulled: list[Pulled]) -> Tensor:
        """S^T J v / D for each v, as columns."""
        own = self.risk.own_rows
        shape = (own.stop - own.start, len(pulled))
        images = torch.empty(shape, dtype=self.dtype, device=self.device)
        with self.risk.ranks.together("products with the Jacobian"):
            for graph, middle, at, _ in self._outputs():
                for number, parts in enumerate(pulled):
                    pushed = rows(graph.push(parts, batched=False).reshape(graph.outputs.shape))
                    images[at, number] = middle.factor_transpose(pushed).reshape(-1)
        return rows_of_all(self.risk, images).div_(self.risk.denominator)

    def _outputs(self) -> Iterator[tuple[OutputGraph, OutputHessian, slice, Any]]:
        """For each batch its Jacobian products, the factor S, its rows of K, and its inputs.

        Rows are counted from the first of this process.
        """
        start = 0
        for inputs, targets in self.risk.own_batches():
            leaves = self.risk.leaves()
            f = self.risk.outputs(leaves, inputs)
            middle = self.risk.output_hessian(f, targets)
            at = slice(start, start + f.numel())
            yield output_graph(self.risk, f, leaves), middle, at, inputs
            start += f.numel()

    def _from_columns(self) -> Tensor:
        """K from its products with unit vectors, in blocks, for data in several processes."""
        size = self.shape[0]
        matrix = torch.empty(self.shape, dtype=self.dtype, device=self.device)
        for start in range(0, size, COLUMNS):
            at = slice(start, min(start + COLUMNS, size))
            unit = torch.zeros(size, at.stop - start, dtype=self.dtype, device=self.device)
            unit[at].fill_diagonal_(1.0)
            matrix[:, at] = self._matmat(unit)
        return symmetrize_(matrix)

    @torch.enable_grad()
    def _from_rows(self, max_bytes: int) -> Tensor:
        """K from blocks of rows of S^T J; rows are recomputed if they do not all fit."""
        size, dim = self.shape[0], self.risk.dim
        matrix = torch.empty(self.shape, dtype=self.dtype, device=self.device)
        free = max_bytes - matrix.nbytes
        # two blocks of rows, and the parts from which one is concatenated
        height = max(1, min(size, free // (4 * dim * self.dtype.itemsize)))
        for upper, upper_at in self._row_blocks(height):
            for lower, lower_at in self._row_blocks(height, first=upper_at.start):
                part = upper @ lower.mT
                matrix[upper_at, lower_at] = part
                matrix[lower_at, upper_at] = part.mT
        return symmetrize_(matrix.div_(self.risk.denominator))

    def _row_blocks(self, height: int, first: int = 0) -> Iterator[tuple[Tensor, slice]]:
        """Rows `first` and later of S^T J, at most `height` at a time."""
        for graph, middle, at, inputs in self._outputs():
            source = SampleRows(self.risk, inputs, graph)
            for start in range(at.start, at.stop, height):
                stop = min(start + height, at.stop)
                if stop <= first:
                    continue
                block = torch.empty(
                    stop - start, self.risk.dim, dtype=self.dtype, device=self.device
                )
                for some, found in source.blocks(middle, start - at.start, stop - at.start):
                    behind = at.start - start
                    block[some.start + behind : some.stop + behind] = found
                yield block, slice(start, stop)

    def __repr__(self) -> str:
        n = self.shape[0]
        return f"Gram({n} x {n}, {self.dtype}, {self.risk.dim} parameters)"

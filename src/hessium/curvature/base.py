"""What all operators of a risk share: graphs kept within a budget, dense assembly, self-check."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from hessium.curvature.layerwise import work_bytes
from hessium.curvature.selfcheck import probe_vectors, self_check, tolerance
from hessium.errors import InputError
from hessium.linalg.operator import COLUMNS, SymmetricOperator, require_memory
from hessium.problem import EmpiricalRisk
from hessium.problem.data import Batch

logger = logging.getLogger(__name__)


@runtime_checkable
class BatchProduct(Protocol):
    """The part of a product that comes from one batch, times the risk's denominator."""

    def product(self, parts: Sequence[Tensor], *, batched: bool) -> list[Tensor]:
        """Leaf by leaf; with `batched`, parts carry a leading block dimension."""
        ...

    def nbytes(self) -> int:
        """Bytes that its graph keeps alive."""
        ...


class RiskOperator(SymmetricOperator):
    """A P x P matrix of second-order information of a risk at its parameters.

    Args:
        risk: where.
        check: compare the route of the products with an independent double backward on one random
            vector, and test symmetry, determinism, finiteness and that no state changed. Cost: one
            gradient and about six products.
        graph_bytes: keep the graphs of all batches, so that products need no forward pass, if they
            take no more than this (1 GiB); else start over for every product.

    Raises:
        InputError: if `risk` is no risk, or its model has been put in training mode.
        SelfCheckError: if a check fails.
    """

    def __init__(
        self, risk: EmpiricalRisk, *, check: bool = True, graph_bytes: int = 2**30
    ) -> None:
        require_risk(risk)
        self.risk = risk
        self._graph_bytes = graph_bytes
        self._kept: list[BatchProduct] | None = None
        self._streaming = graph_bytes <= 0
        # on CPUs a convolution is twice as fast for one vector after the other as for many at once
        self._batched = not (
            risk.device.type == "cpu"
            and any(isinstance(m, nn.modules.conv._ConvNd) for m in risk.model.modules())
        )
        if check:
            with torch.enable_grad():
                self_check(self, risk, self._reference)

    @property
    def shape(self) -> tuple[int, int]:
        """(P, P)."""
        return (self.risk.dim, self.risk.dim)

    @property
    def dtype(self) -> torch.dtype:
        """Of the parameters."""
        return self.risk.dtype

    @property
    def device(self) -> torch.device:
        """Of the parameters."""
        return self.risk.device

    @abstractmethod
    def _graph(self, leaves: Sequence[Tensor], batch: Batch) -> BatchProduct:
        """The product of one batch, ready to be applied many times."""

    @abstractmethod
    def _assemble(self, work: int) -> Tensor | None:
        """The dense matrix times the denominator, layer by layer, where that is possible."""

    def _reference(self, vector: Tensor) -> tuple[Tensor, float] | None:
        """The product by an independent route and the size of its terms, for the self-check."""
        return None

    def _matmat(self, block: Tensor) -> Tensor:
        return self._apply(block, self._graphs())

    @torch.enable_grad()
    def _apply(self, block: Tensor, graphs: Iterable[BatchProduct]) -> Tensor:
        layout = self.risk.layout
        product = torch.zeros_like(block)
        batched = self._batched and block.shape[1] > 1
        width = COLUMNS if batched else 1
        for graph in graphs:
            for start in range(0, block.shape[1], width):
                columns = block[:, start : start + width]
                if batched:
                    flat = torch.split(columns.mT, list(layout.sizes), dim=1)
                    parts = [f.reshape(-1, *s) for f, s in zip(flat, layout.shapes, strict=True)]
                    images = graph.product(parts, batched=True)
                    stacked = torch.cat([p.reshape(columns.shape[1], -1) for p in images], dim=1)
                    product[:, start : start + width] += stacked.mT
                else:
                    images = graph.product(
                        layout.unflatten(columns[:, 0].contiguous()), batched=False
                    )
                    product[:, start] += torch.cat([p.reshape(-1) for p in images])
        return product.div_(self.risk.denominator)

    def dense(self, *, max_bytes: int = 2**33) -> Tensor:
        """The matrix itself, symmetric to the last bit.

        Networks whose free parameters all lie in linear layers are assembled layer by layer from
        derivatives in the units instead of the parameters, and the result is compared with one
        product; all others column by column, in blocks.

        Args:
            max_bytes: what the matrix and the work space may take together (8 GiB).

        Raises:
            InputError: if the matrix alone does not fit.

        Cost: about as many products as the network has units; else n.
        """
        require_memory(self.shape[0], self.dtype, max_bytes)
        refuted = self.risk.refuted
        if "layer-wise" not in refuted:
            free = max_bytes - self.shape[0] ** 2 * self.dtype.itemsize
            with torch.enable_grad():
                matrix = self._assemble(work_bytes(free))
            if matrix is not None:
                matrix /= self.risk.denominator
                if self._agrees(matrix):
                    return matrix
                # a property of the model, so one refutation is enough wherever the risk is taken
                refuted.add("layer-wise")
                logger.info("%r: samples see each other; assembling column by column", self)
                del matrix
        return super().dense(max_bytes=max_bytes)

    def _agrees(self, matrix: Tensor) -> bool:
        vector = probe_vectors(self, 1)[:, 0]
        # graphs that exist are used; none is kept for this one product
        expected = self._apply(vector[:, None], self._kept or self._fresh_graphs())[:, 0]
        error = (matrix @ vector - expected).norm()
        scale = expected.norm() + torch.linalg.matrix_norm(matrix) / matrix.shape[0] ** 0.5
        return bool(error <= tolerance(self.dtype) * scale)

    def _fresh_graphs(self) -> Iterator[BatchProduct]:
        for batch in self.risk.batches():
            yield self._graph(self.risk.leaves(), batch)

    def _graphs(self) -> Iterator[BatchProduct]:
        """One graph for each batch, kept for the next product if all of them fit."""
        if self._kept is not None:
            yield from self._kept
            return
        kept: list[BatchProduct] = []
        used = 0
        for graph in self._fresh_graphs():
            if not self._streaming:
                used += graph.nbytes()
                self._streaming = used > self._graph_bytes
                kept = [] if self._streaming else [*kept, graph]
            yield graph
        if not self._streaming:
            self._kept = kept

    def _columns_within(self, free_bytes: int) -> int:
        kept = sum(g.nbytes() for g in self._kept) if self._kept else 0
        per_column = 4 * self.shape[0] * self.dtype.itemsize + kept
        return max(1, min(COLUMNS, free_bytes // max(per_column, 1)))

    def __repr__(self) -> str:
        n = self.shape[0]
        return f"{type(self).__name__}({n} x {n}, {self.dtype}, {self.risk.num_samples} samples)"


def require_risk(risk: Any) -> None:
    """A risk whose model is in evaluation mode.

    Raises:
        InputError: if it is none, or its model has been put in training mode since.
    """
    if not isinstance(risk, EmpiricalRisk):
        msg = f"risk: {type(risk).__name__}; a hessium.EmpiricalRisk is required"
        raise InputError(msg)
    risk.require_evaluation_mode()


def require_outputs(risk: Any, what: str) -> None:
    """A risk that is a loss of outputs.

    Raises:
        InputError: if it is none, or a closure.
    """
    require_risk(risk)
    if not risk.has_outputs:
        msg = (
            f"risk: a closure has no outputs, so it has no {what}; return the residuals from "
            "EmpiricalRisk(..., forward=...) with a loss such as SquaredError"
        )
        raise InputError(msg)

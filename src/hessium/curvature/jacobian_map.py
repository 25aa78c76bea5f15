"""The Jacobian of a network as a linear map."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.sparse.linalg
import torch
from torch import Tensor

from hessium._arguments import memory
from hessium._arithmetic import full_precision
from hessium._typing import AnyArray
from hessium.curvature.jacobian import check_jacobian, output_graph
from hessium.curvature.jacobian_columns import dense_columns
from hessium.curvature.requirements import require_outputs
from hessium.errors import InputError
from hessium.problem import EmpiricalRisk
from hessium.problem.one_pass import rows_of_all


class Jacobian:
    r"""$J = \partial f / \partial\theta$ of all outputs of all samples.

    It has samples x outputs rows and P columns. Rows are ordered by sample, then output, columns as
    `risk.theta`. The loss and its normalisation do not enter: $H_0 = 2 J^T J$ for `SquaredError()`.

        J = hs.Jacobian(risk)
        J @ v          # v (P,) or (P, k): change of the outputs, to first order
        J.T @ u        # u (rows,) or (rows, k)

    Args:
        risk: a loss of outputs.
        check: compare $J v$ with differences of the outputs, once for a model.

    Raises:
        InputError: for a closure.
        SelfCheckError: if a product is wrong.

    Cost of a product: one forward pass and one gradient ($J^T u$) or two ($J v$); columns of a
    block share the forward pass.

    Example:
        >>> J = hs.Jacobian(risk)
        >>> J.shape, (J @ torch.ones(13, dtype=torch.float64)).shape
        ((12, 13), torch.Size([12]))
    """

    @full_precision()
    def __init__(self, risk: EmpiricalRisk, *, check: bool = True) -> None:
        require_outputs(risk, "Jacobian")
        if check:
            check_jacobian(risk, "Jacobian")
        self.risk = risk

    @property
    def shape(self) -> tuple[int, int]:
        """(samples x outputs, P)."""
        return (self.risk.num_outputs, self.risk.dim)

    @property
    def dtype(self) -> torch.dtype:
        """Of the parameters."""
        return self.risk.dtype

    @property
    def device(self) -> torch.device:
        """Of the parameters."""
        return self.risk.device

    @property
    def T(self) -> TransposedJacobian:  # noqa: N802 - the field's own name
        """The transpose, as a linear map."""
        return TransposedJacobian(self)

    @full_precision()
    @torch.enable_grad()
    def __matmul__(self, vectors: Tensor) -> Tensor:
        """J v for v (P,) or (P, k)."""
        block = self._checked(vectors, self.shape[1])
        own = self.risk.own_rows
        shape = (own.stop - own.start, block.shape[1])
        images = torch.empty(shape, dtype=self.dtype, device=self.device)
        start = 0
        with self.risk.ranks.together("products with the Jacobian", block):
            for inputs, _ in self.risk.own_batches():
                leaves = self.risk.leaves()
                graph = output_graph(self.risk, self.risk.outputs(leaves, inputs), leaves)
                stop = start + graph.outputs.numel()
                for number, column in enumerate(block.unbind(1)):
                    parts = self.risk.layout.parts(column.contiguous())
                    images[start:stop, number] = graph.push(parts, batched=False).reshape(-1)
                start = stop
        images = rows_of_all(self.risk, images)
        return images.reshape(-1, *vectors.shape[1:])

    @full_precision()
    @torch.enable_grad()
    def transposed_product(self, vectors: Tensor) -> Tensor:
        """J^T u for u (rows,) or (rows, k); the same as `J.T @ u`."""
        block = self._checked(vectors, self.shape[0])
        totals = torch.zeros(self.shape[1], block.shape[1], dtype=self.dtype, device=self.device)
        own = block[self.risk.own_rows]
        start = 0
        with self.risk.ranks.together("products with the transposed Jacobian", block):
            for inputs, _ in self.risk.own_batches():
                leaves = self.risk.leaves()
                f = self.risk.outputs(leaves, inputs)
                graph = output_graph(self.risk, f, leaves)
                stop = start + f.numel()
                for number, column in enumerate(own[start:stop].unbind(1)):
                    parts = graph.pull(column.reshape(f.shape), leaves, batched=False)
                    totals[:, number] += torch.cat([p.reshape(-1) for p in parts])
                start = stop
        self.risk.ranks.all_sum(totals)
        return totals.reshape(-1, *vectors.shape[1:])

    def dense(self, *, max_bytes: int = 2**33) -> Tensor:
        """J itself.

        Args:
            max_bytes: memory limit of the matrix (8 GiB).

        Raises:
            InputError: if it does not fit.

        Cost: layer by layer one gradient for each output of a sample; otherwise one for each row,
        or for each sample and its rows where the batch can be cut.
        """
        needed = self.shape[0] * self.shape[1] * self.dtype.itemsize
        if needed > memory("max_bytes", max_bytes):
            msg = (
                f"max_bytes: {max_bytes / 2**30:.3g} GiB; a Jacobian of {self.shape[0]} x "
                f"{self.shape[1]} needs {needed / 2**30:.3g} GiB (raise it, or restrict the risk)"
            )
            raise InputError(msg)
        if not self.risk.ranks.alone:
            unit = torch.eye(self.shape[0], dtype=self.dtype, device=self.device)
            return self.transposed_product(unit).mT.contiguous()
        return dense_columns(self.risk)[0]

    def to_scipy(self) -> scipy.sparse.linalg.LinearOperator:
        """A SciPy LinearOperator with both products."""

        def forth(array: AnyArray) -> AnyArray:
            return self._on_array(self.__matmul__, array)

        def back(array: AnyArray) -> AnyArray:
            return self._on_array(self.transposed_product, array)

        return scipy.sparse.linalg.LinearOperator(
            shape=self.shape, matvec=forth, matmat=forth, rmatvec=back, rmatmat=back,
            dtype=np.dtype(str(self.dtype).removeprefix("torch.")),
        )  # fmt: skip

    def _on_array(self, product: Callable[[Tensor], Tensor], array: AnyArray) -> AnyArray:
        block = torch.from_numpy(np.ascontiguousarray(array)).to(self.device, self.dtype)
        return product(block).cpu().numpy()

    def _checked(self, vectors: Tensor, length: int) -> Tensor:
        """Vectors as a block of columns.

        Raises:
            InputError: if shape, dtype or device are others.
        """
        if not isinstance(vectors, Tensor) or vectors.dim() not in (1, 2):
            msg = f"vectors: {type(vectors).__name__}; a tensor ({length},) or ({length}, k) needed"
            raise InputError(msg)
        wanted = (length, self.dtype, self.device)
        if (vectors.shape[0], vectors.dtype, vectors.device) != wanted:
            msg = (
                f"vectors: {tuple(vectors.shape)}, {vectors.dtype} on {vectors.device}; "
                f"({length}, k), {self.dtype} on {self.device} is required"
            )
            raise InputError(msg)
        return vectors.detach().reshape(length, -1)

    def __repr__(self) -> str:
        rows, columns = self.shape
        return f"Jacobian({rows} outputs x {columns} parameters, {self.dtype})"


class TransposedJacobian:
    """$J^T$, as `Jacobian.T` gives it."""

    def __init__(self, jacobian: Jacobian) -> None:
        self.T = jacobian

    @property
    def shape(self) -> tuple[int, int]:
        """(P, samples x outputs)."""
        rows, columns = self.T.shape
        return (columns, rows)

    def __matmul__(self, vectors: Tensor) -> Tensor:
        """J^T u for u (rows,) or (rows, k)."""
        return self.T.transposed_product(vectors)

    def __repr__(self) -> str:
        return f"{self.T!r}.T"

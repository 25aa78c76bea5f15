r"""The whitened Jacobian by its singular values, in parameter or in sample space.

$A = (S/\sqrt q)^T J = U \,\mathrm{diag}(s)\, V^T$. Everything that the posterior says of a linear
functional g of the parameters follows from its components $V^T g$ and from the rest of g outside
of the rows of A.

Where A fits into memory, V comes from an orthogonal factorisation: singular values are accurate to
$\epsilon s_1$. Otherwise U comes from $A A^T$, which is assembled without A: squares of singular
values are accurate to $\epsilon s_1^2$ only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hessium._typing import FloatArray
from hessium.curvature.jacobian_columns import Consumer, dense_columns, outer_gram, over_columns
from hessium.curvature.jacobian_map import Jacobian
from hessium.errors import InputError
from hessium.linalg.dense_matrices import require_memory
from hessium.posterior.entries import entries_of
from hessium.posterior.measurements import Measurements
from hessium.problem import EmpiricalRisk
from hessium.problem.other_inputs import OnInputs

_EPS = float(np.finfo(np.float64).eps)
_COPIES = 4  # of A that an orthogonal factorisation holds at once


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Functionals:
    r"""Linear functionals of the parameters, as rows g.

    Attributes:
        along: $g^T V$, shape (m, r).
        rest: Gram matrix of the parts outside of the rows of A, (m, m), or its diagonal, (m,).
        squares: $|g|^2$, shape (m,).
    """

    along: FloatArray
    rest: FloatArray
    squares: FloatArray

    @property
    def rest_diagonal(self) -> FloatArray:
        """Of `rest`."""
        return self.rest if self.rest.ndim == 1 else np.diagonal(self.rest).copy()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Factor:
    """Singular values with their rounding, and one set of singular vectors.

    Attributes:
        risk: in float64.
        data: its measurements.
        singular_values: s, descending, shape (r,).
        rounding: error of a singular value as large as s_1; for `gram` error of s^2 over s_1.
        right: V, (P, r), or None.
        left: U, (rows, r), if V is None.
    """

    risk: EmpiricalRisk
    data: Measurements
    singular_values: FloatArray
    rounding: float
    max_bytes: int
    right: Tensor | None
    left: Tensor | None

    @property
    def _scaled_left(self) -> Tensor:
        """U / s: V^T = (U / s)^T A."""
        assert self.left is not None
        return self.left / torch.from_numpy(self.singular_values).to(self.left)

    @property
    def route(self) -> str:
        """How the singular values were found."""
        return "orthogonal factorisation" if self.left is None else "Gram matrix"

    @property
    def resolution(self) -> float:
        """Singular values below this size cannot be told from zero."""
        top = float(self.singular_values[0])
        return self.rounding if self.left is None else math.sqrt(self.rounding * top)

    def subspace_error(self, kept: int) -> float:
        """Relative error of the part of a functional outside of the first `kept` directions.

        The angle between computed and true singular subspaces is at most the error of A over the
        smallest singular value that is kept.
        """
        if kept == 0 or kept >= self.risk.dim:
            return 0.0
        last = float(self.singular_values[kept - 1])
        top = float(self.singular_values[0])
        if self.left is None:
            return 4 * self.rounding / last
        # squares are subtracted: |g|^2 - |V^T g|^2
        return 4 * math.sqrt(self.rounding / top) * top / last

    def parameters(self, names: list[str] | None, *, joint: bool) -> Functionals:
        """Unit functionals of the entries of some parameters (all by default).

        Args:
            names: of parameters, as in `EmpiricalRisk.restrict`.
            joint: the whole Gram matrix of the rests.

        Cost: none, or with the Gram matrix one pass over columns.
        """
        entries = entries_of(self.risk, names)
        if self.right is not None:
            along = _array(self.right[torch.as_tensor(entries, device=self.right.device)])
        else:
            along = self._columns_along(names, len(entries))
        ones = np.ones(len(entries))
        if self.right is not None and self.right.shape[1] == self.risk.dim:
            rest = np.zeros((len(ones),) * 2) if joint else np.zeros(len(ones))
        elif joint:
            rest = np.eye(len(ones)) - along @ along.T
        else:
            rest = np.maximum(1 - np.einsum("ij,ij->i", along, along), 0.0)
        return Functionals(along=along, rest=rest, squares=ones)

    def _columns_along(self, names: list[str] | None, count: int) -> FloatArray:
        """Rows of V from U, by columns of A."""
        part = self.risk if names is None else self.risk.restrict(names)
        scaled = self._scaled_left
        need = count * scaled.shape[1] * 8
        if need > 4 * self.max_bytes:
            msg = (
                f"names: {count} parameters x {scaled.shape[1]} directions need "
                f"{need / 2**30:.3g} GiB; name fewer parameters, or use parameter_std"
            )
            raise InputError(msg)
        along = np.empty((count, scaled.shape[1]))

        def begin() -> Consumer:
            def consume(at: slice, block: Tensor) -> None:
                along[at] = _array(self.data.whiten(block).mT @ scaled)

            return consume

        over_columns(part, begin, self.max_bytes // 4)
        return along

    def outputs(self, inputs: Any, *, joint: bool) -> tuple[Functionals, torch.Size]:
        """Gradients of the outputs at some inputs, and the shape of these outputs."""
        there = OnInputs(self.risk, [inputs])
        shape = there.shapes[0]
        if self.right is None:
            return self._outputs_by_gram(inputs, shape, joint=joint), shape
        size = shape.numel()
        _require_room(size, self.risk.dim, joint, self.max_bytes)
        G, _ = dense_columns(there, self.max_bytes)
        along = G @ self.right
        squares = _array(G.square().sum(dim=1))
        if self.right.shape[1] == self.risk.dim:
            rest: Any = torch.zeros(size, size) if joint else torch.zeros(size)
        else:
            outside = G - along @ self.right.mT
            outside -= (outside @ self.right) @ self.right.mT
            rest = outside @ outside.mT if joint else outside.square().sum(dim=1)
        return Functionals(along=_array(along), rest=_array(rest), squares=squares), shape

    def _outputs_by_gram(self, inputs: Any, shape: torch.Size, *, joint: bool) -> Functionals:
        both = OnInputs(self.risk, [inputs], after_data=True)
        require_memory(both.num_outputs, torch.float64, 4 * self.max_bytes)
        K = outer_gram(both, 2 * self.max_bytes)
        data = self.risk.num_outputs
        cross = self.data.whiten(K[:data, data:]).mT  # (m, rows)
        along = _array(cross @ self._scaled_left)
        own = _array(K[data:, data:])
        squares = np.diagonal(own).copy()
        if joint:
            rest = own - along @ along.T
        else:
            rest = np.maximum(squares - np.einsum("ij,ij->i", along, along), 0.0)
        return Functionals(along=along, rest=rest, squares=squares)

    def to_parameters(self, weights: FloatArray) -> Tensor:
        """V w for w (r,) or (r, k): a flat vector, or columns. Cost: one gradient each by Gram."""
        w = torch.from_numpy(np.ascontiguousarray(weights)).to(self.risk.device)
        if self.right is not None:
            return self.right @ w
        u = self.data.unwhiten(self._scaled_left @ w)
        return Jacobian(self.risk, check=False).transposed_product(u)

    def from_parameters(self, vectors: Tensor) -> FloatArray:
        """V^T v for v (P,) or (P, k). Cost: one product J v each by Gram."""
        if self.right is not None:
            return _array(self.right.mT @ vectors)
        image = Jacobian(self.risk, check=False) @ vectors
        block = image if image.dim() == 2 else image[:, None]
        found = _array(self._scaled_left.mT @ self.data.whiten(block))
        return found if image.dim() == 2 else found[:, 0]


def factorise(risk: EmpiricalRisk, data: Measurements, max_bytes: int) -> Factor:
    """Singular values of the whitened Jacobian by the most accurate route that fits.

    Raises:
        InputError: if neither route fits into memory.
    """
    size, dim = risk.num_outputs, risk.dim
    if dim <= size:
        require_memory(2 * dim, torch.float64, 4 * max_bytes)
        triangle, error = _triangle(risk, data, max_bytes)
        _, s, vh = torch.linalg.svd(triangle, full_matrices=False)
        return _made(risk, data, s, error, max_bytes, right=vh.mT.contiguous())
    if _COPIES * size * dim * 8 <= max_bytes:
        J, error = dense_columns(risk, max_bytes)
        q, r = torch.linalg.qr(data.whiten(J).mT)
        u, s, _ = torch.linalg.svd(r)
        return _made(risk, data, s, error, max_bytes, right=q @ u)
    require_memory(2 * size, torch.float64, 4 * max_bytes)
    K = outer_gram(risk, 2 * max_bytes)
    K = data.whiten(data.whiten(K).mT)
    values, vectors = torch.linalg.eigh((K + K.mT) / 2)
    s = values.flip(0).clamp(min=0).sqrt()
    return _made(risk, data, s, 0.0, max_bytes, left=vectors.flip(1))


def _made(
    risk: EmpiricalRisk,
    data: Measurements,
    s: Tensor,
    error: float,
    max_bytes: int,
    *,
    right: Tensor | None = None,
    left: Tensor | None = None,
) -> Factor:
    values = _array(s)
    top = float(values[0]) if values.size else 0.0
    if top == 0:
        msg = (
            "risk: the outputs do not depend on the parameters to first order (J = 0), so the data "
            "determine nothing here; move theta, or free other parameters"
        )
        raise InputError(msg)
    if left is None:
        rounding = 4 * _EPS * max(4.0, math.sqrt(max(risk.num_outputs, risk.dim))) * top
        rounding += 4 * error * data.norm
    else:
        rounding = _EPS * max(8.0, float(risk.num_outputs)) * top
        kept = int((values > math.sqrt(rounding * top)).sum())
        values, left = values[:kept], left[:, :kept].contiguous()
    return Factor(
        risk=risk, data=data, singular_values=values, rounding=rounding, max_bytes=max_bytes,
        right=right, left=left,
    )  # fmt: skip


def _triangle(risk: EmpiricalRisk, data: Measurements, max_bytes: int) -> tuple[Tensor, float]:
    """R with R^T R = A^T A, batch after batch."""
    triangle = torch.zeros(0, risk.dim, dtype=torch.float64, device=risk.device)
    error = 0.0
    for number, (inputs, _) in enumerate(risk.batches()):
        part = OnInputs(risk, [inputs])
        J, missed = dense_columns(part, max_bytes)
        error = math.hypot(error, missed)
        stacked = torch.cat([triangle, data.whiten(J, number)])
        triangle = torch.linalg.qr(stacked, mode="r").R
    return triangle, error


def _require_room(size: int, dim: int, joint: bool, max_bytes: int) -> None:
    if 3 * size * dim * 8 > 4 * max_bytes:
        msg = (
            f"inputs: {size} outputs x {dim} parameters need {3 * size * dim * 8 / 2**30:.3g} GiB; "
            "give fewer inputs at once, or raise max_bytes"
        )
        raise InputError(msg)
    if joint:
        require_memory(3 * size, torch.float64, 4 * max_bytes)


def _array(tensor: Tensor) -> FloatArray:
    return np.asarray(tensor.detach().cpu().numpy(), dtype=np.float64)

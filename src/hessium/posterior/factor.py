r"""The whitened Jacobian by its singular values, in parameter or in sample space.

$A = (S/\sqrt q)^T J$ and $A D^{-1} = U \,\mathrm{diag}(s)\, V^T$, where the diagonal matrix D holds
the scale of every parameter. Everything that the posterior says of a linear functional g of the
parameters follows from its components $V^T D^{-1} g$ and from the rest of $D^{-1} g$ outside of the
rows of $A D^{-1}$.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hessium._typing import FloatArray
from hessium.curvature.jacobian_columns import Consumer, dense_columns, over_columns
from hessium.curvature.jacobian_map import Jacobian
from hessium.errors import InputError
from hessium.linalg.dense_matrices import require_memory
from hessium.posterior.entries import entries_of
from hessium.posterior.measurements import Measurements
from hessium.posterior.scales import scaled_cross_gram
from hessium.problem import EmpiricalRisk
from hessium.problem.other_inputs import OnInputs

_CANCELS = 1e-4  # of a squared length: a smaller part outside is not found by a difference


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Functionals:
    r"""Linear functionals of the parameters, as rows g.

    Attributes:
        along: $g^T D^{-1} V$, shape (m, r).
        rest: Gram matrix of the parts of $D^{-1} g$ outside of the rows of $A D^{-1}$, (m, m), or
            its diagonal, (m,).
        squares: $|D^{-1} g|^2$, shape (m,).
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
        scale: the diagonal of D, (P,).
        singular_values: s, descending, shape (r,).
        rounding: error of a singular value as large as s_1; for `gram` error of s^2 over s_1.
        right: V, (P, r), or None.
        left: U, (rows, r), if V is None.
    """

    risk: EmpiricalRisk
    data: Measurements
    scale: Tensor
    singular_values: FloatArray
    rounding: float
    max_bytes: int
    right: Tensor | None
    left: Tensor | None

    @property
    def _scaled_left(self) -> Tensor:
        """U / s: V^T = (U / s)^T A D^-1."""
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

    def outside_error(self, along: FloatArray, kept: int) -> FloatArray:
        r"""Bound on the error of the parts of functionals outside of `kept` directions, (m,).

        For a functional $g = A^T y$ within the rows of A and a computed A + E, the part outside of
        the rows of A + E is that of $E^T y$: at most $|E|\,|y|$, where $|y|$ is the standard
        deviation for unit noise. What other functionals need does not matter.

        Args:
            along: components of functionals, (m, r).
            kept: number of directions.
        """
        values = self.singular_values[:kept]
        return np.asarray(4 * self.resolution * np.linalg.norm(along[:, :kept] / values, axis=1))

    def parameters(self, names: list[str] | None, *, joint: bool) -> Functionals:
        """Unit functionals of the entries of some parameters (all by default).

        Args:
            names: of parameters, as in `EmpiricalRisk.restrict`.
            joint: the whole Gram matrix of the rests.

        Cost: none, or with the Gram matrix one pass over columns.
        """
        entries = entries_of(self.risk, names)
        if joint:
            self._require_room_for_entries(len(entries))
        at = torch.as_tensor(entries, device=self.scale.device)
        d = _array(self.scale[at])
        if self.right is not None:
            units = _array(self.right[at])
        else:
            units = self._columns_along(names, len(entries)) / d[:, None]
        if self.right is not None and self.right.shape[1] == self.risk.dim:
            rest = np.zeros((len(d),) * 2) if joint else np.zeros(len(d))
        elif joint:
            outside = None if self.right is None else self._outside(at, self.right)
            rest = np.eye(len(d)) - units @ units.T if outside is None else outside @ outside.T
            rest = _with_squares(rest / d[:, None] / d)
        else:
            rest = np.maximum(1 - np.einsum("ij,ij->i", units, units), 0.0)
            if self.right is not None:
                self._refine(rest, at, self.right)
            rest = rest / d**2
        return Functionals(along=units / d[:, None], rest=rest, squares=1 / d**2)

    def _require_room_for_entries(self, count: int) -> None:
        """Check that the parts of unit functionals outside fit into memory."""
        columns = count if self.right is None else 2 * self.risk.dim + count
        if count * columns * 8 > 4 * self.max_bytes:
            msg = (
                f"names: the joint covariance of {count} entries needs "
                f"{count * columns * 8 / 2**30:.3g} GiB; name fewer parameters, or raise max_bytes"
            )
            raise InputError(msg)

    def _outside(self, at: Tensor, right: Tensor) -> FloatArray:
        """Rows (I - V V^T) e_i, projected twice, for entries i: what 1 - |V^T e_i|^2 cancels."""
        outside = -right[at] @ right.mT
        outside[torch.arange(len(at), device=at.device), at] += 1.0
        outside -= (outside @ right) @ right.mT
        return _array(outside)

    def _refine(self, rest: FloatArray, at: Tensor, right: Tensor) -> None:
        """Squared lengths outside by their vectors, in place, where a difference cancels."""
        small = np.flatnonzero(rest < _CANCELS)
        step = max(1, self.max_bytes // (32 * self.risk.dim))
        for first in range(0, len(small), step):
            some = small[first : first + step]
            vectors = self._outside(at[torch.from_numpy(some).to(at.device)], right)
            rest[some] = np.einsum("ij,ij->i", vectors, vectors)

    def _columns_along(self, names: list[str] | None, count: int) -> FloatArray:
        """Rows of D V from U, by columns of A."""
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
            return self._outputs_by_gram(there, shape.numel(), joint=joint), shape
        size = shape.numel()
        _require_room(size, self.risk.dim, joint, self.max_bytes)
        G = dense_columns(there, self.max_bytes)[0] / self.scale
        along = G @ self.right
        squares = _array(G.square().sum(dim=1))
        if self.right.shape[1] == self.risk.dim:
            rest: Any = torch.zeros(size, size) if joint else torch.zeros(size)
        else:
            outside = G - along @ self.right.mT
            outside -= (outside @ self.right) @ self.right.mT
            rest = outside @ outside.mT if joint else outside.square().sum(dim=1)
        return Functionals(along=_array(along), rest=_array(rest), squares=squares), shape

    def _outputs_by_gram(self, there: OnInputs, size: int, *, joint: bool) -> Functionals:
        sides = size + self.risk.num_outputs if joint else self.risk.num_outputs
        require_memory(math.isqrt(size * sides) + 1, torch.float64, 4 * self.max_bytes)
        cross, own = scaled_cross_gram(
            self.risk, there, self.scale, joint=joint, max_bytes=2 * self.max_bytes
        )
        along = _array(self.data.whiten(cross.mT).mT @ self._scaled_left)
        rest = _array(own)
        squares = np.diagonal(rest).copy() if joint else rest
        if joint:
            rest = _with_squares(rest - along @ along.T)
        else:
            rest = np.maximum(squares - np.einsum("ij,ij->i", along, along), 0.0)
        return Functionals(along=along, rest=rest, squares=squares)

    def to_parameters(self, weights: FloatArray) -> Tensor:
        """D^-1 V w for w (r,) or (r, k): moves of the parameters, as a flat vector or columns.

        Cost: one gradient each by Gram.
        """
        w = torch.from_numpy(np.ascontiguousarray(weights)).to(self.risk.device)
        if self.right is not None:
            return self._divided(self.right @ w)
        return self._divided(self._divided(self._pulled(w)))

    def from_functionals(self, vectors: Tensor) -> FloatArray:
        """V^T D^-1 g for g (P,) or (P, k), such as gradients. Cost: one product J v by Gram."""
        if self.right is not None:
            return _array(self.right.mT @ self._divided(vectors))
        return self._pushed(self._divided(self._divided(vectors)))

    def to_functionals(self, weights: FloatArray) -> Tensor:
        """D V w for w (r,). Cost: one gradient by Gram."""
        w = torch.from_numpy(np.ascontiguousarray(weights)).to(self.risk.device)
        return self._pulled(w) if self.right is None else self.scale * (self.right @ w)

    def from_parameters(self, vector: Tensor) -> FloatArray:
        """V^T D v for a move v (P,) of the parameters. Cost: one product J v by Gram."""
        if self.right is not None:
            return _array(self.right.mT @ (self.scale * vector))
        return self._pushed(vector)

    def moves_of(self, functionals: Tensor) -> Tensor:
        """D^-2 g for g (P, k): the moves of the parameters that change functionals most."""
        return self._divided(self._divided(functionals))

    def in_units(self, moves: Tensor) -> Tensor:
        """D v for moves v (P,) or (P, k): entries that do not depend on the units."""
        return moves * (self.scale if moves.dim() == 1 else self.scale[:, None])

    def _divided(self, block: Tensor) -> Tensor:
        return block / (self.scale if block.dim() == 1 else self.scale[:, None])

    def _pulled(self, w: Tensor) -> Tensor:
        """A^T U w / s."""
        u = self.data.unwhiten(self._scaled_left @ w)
        return Jacobian(self.risk, check=False).transposed_product(u)

    def _pushed(self, vectors: Tensor) -> FloatArray:
        """(U / s)^T A v."""
        image = Jacobian(self.risk, check=False) @ vectors
        block = image if image.dim() == 2 else image[:, None]
        found = _array(self._scaled_left.mT @ self.data.whiten(block))
        return found if image.dim() == 2 else found[:, 0]


def _with_squares(rest: FloatArray) -> FloatArray:
    """A Gram matrix from a difference, whose diagonal may be negative by rounding."""
    np.fill_diagonal(rest, np.maximum(np.diagonal(rest), 0.0))
    return rest


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

"""Eigenpairs for deflation: given ones, verified once to belong to the operator, or computed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeAlias, final

import numpy as np
import torch
from torch import Tensor

from hessium._arguments import count
from hessium._typing import FloatArray
from hessium.errors import InputError
from hessium.estimate.eigenpairs import Eigenpairs, eigenpairs
from hessium.linalg.operator import SymmetricOperator
from hessium.linalg.shares import Shares
from hessium.linalg.vectors import norm, subtract_projection_
from hessium.progress import Progress


@final
class Deflation:
    """Eigenpairs of one operator, verified against it unless just computed from it.

    Several calls with the same pairs can share one instance and its verification.

    Args:
        operator: the operator.
        pairs: eigenpairs to deflate from the probes.
        proved: the pairs were just computed from this operator, so no verification is needed.

    Raises:
        InputError: if they belong to another operator.

    Cost: one product, none where `proved`.
    """

    def __init__(
        self, operator: SymmetricOperator, pairs: Eigenpairs, *, proved: bool = False
    ) -> None:
        self.operator, self.pairs = operator, pairs
        if not proved:
            _require_of(operator, pairs)

    def __len__(self) -> int:
        return len(self.pairs)

    def __repr__(self) -> str:
        return f"Deflation({self.pairs!r} of {self.operator!r})"


Deflate: TypeAlias = int | Eigenpairs | Deflation


def number_deflated(operator: SymmetricOperator, deflate: Deflate) -> int:
    """How many pairs an argument `deflate` takes.

    Raises:
        InputError: for a negative number.
    """
    if isinstance(deflate, (Eigenpairs, Deflation)):
        return len(deflate)
    return min(count("deflate", deflate, at_least=0), operator.shape[0])


def pairs_to_deflate(
    operator: SymmetricOperator,
    deflate: Deflate,
    rng: np.random.Generator,
    max_bytes: int,
    progress: Progress,
    folder: Path | None = None,
    every: float = 60.0,
) -> Eigenpairs | None:
    """The pairs that an argument `deflate` gives, or those largest in magnitude; None for zero.

    Args:
        operator: whose pairs.
        deflate: their number, or pairs.
        rng: generator of the search.
        max_bytes: its memory limit.
        progress: of the search.
        folder: for its state.
        every: seconds between two states.

    Raises:
        InputError: if given pairs belong to another operator.

    Cost: one product for given `Eigenpairs`, none for a `Deflation`.
    """
    if isinstance(deflate, Deflation):
        if deflate.operator is not operator:
            msg = f"deflate: {deflate!r}; eigenpairs of {operator!r} are required"
            raise InputError(msg)
        return deflate.pairs
    if isinstance(deflate, Eigenpairs):
        return Deflation(operator, deflate).pairs
    if not deflate:
        return None
    return eigenpairs(
        operator,
        min(deflate, operator.shape[0]),
        rng=rng,
        max_bytes=max_bytes,
        gather=False,
        checkpoint=folder,
        checkpoint_every=every,
        progress=progress,
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Deflated:
    """Eigenpairs whose vectors are projected out, of which this process holds its share.

    Attributes:
        values: eigenvalues, shape (k,).
        residuals: norms, shape (k,).
        rows: the vectors, shape (k, m).
        num_matvecs: products that the pairs took.
    """

    values: FloatArray
    residuals: FloatArray
    rows: Tensor | None
    num_matvecs: int

    @classmethod
    def of(cls, operator: SymmetricOperator, pairs: Eigenpairs | None) -> Self:
        """Those that converged and are not zero; at least one direction remains."""
        if pairs is None:
            return cls(values=np.zeros(0), residuals=np.zeros(0), rows=None, num_matvecs=0)
        keep = pairs.converged & (pairs.values != 0)
        keep[operator.shape[0] - 1 :] = False
        columns = own_columns(pairs, operator.shares)
        return cls(
            values=pairs.values[keep],
            residuals=pairs.residuals[keep],
            rows=columns[:, torch.as_tensor(keep, device="cpu")].mT.contiguous(),
            num_matvecs=pairs.num_matvecs,
        )

    def project_out_(self, vectors: Tensor, shares: Shares, passes: int = 1) -> Tensor:
        """Subtract the components along them, in place, from vectors in rows or from one."""
        if self.rows is not None:
            for _ in range(passes):
                subtract_projection_(vectors, self.rows, shares)
        return vectors


def own_columns(pairs: Eigenpairs, shares: Shares) -> Tensor:
    """The rows of the vectors that this process holds, shape (m, k)."""
    return pairs.vectors if pairs.rows else shares.part(pairs.vectors.mT).mT


def _require_of(operator: SymmetricOperator, pairs: Eigenpairs) -> None:
    """Check that eigenpairs belong to the operator, up to their residuals.

    Raises:
        InputError: if they do not: they would be counted as exact eigenvalues.
    """
    shares = operator.shares
    if pairs.rows and pairs.rows != shares.pieces:
        msg = f"deflate: eigenpairs of which this process holds other rows than of {operator!r}; "
        raise InputError(msg + "eigenpairs of this operator are required")
    if pairs.dim != operator.shape[0] or pairs.vectors.dtype != operator.dtype:
        msg = (
            f"deflate: eigenpairs of size {pairs.dim} in {pairs.vectors.dtype}; size "
            f"{operator.shape[0]} and {operator.dtype} are required"
        )
        raise InputError(msg)
    # with random signs the errors of many pairs do not cancel
    signs = np.random.default_rng(0).choice([-1.0, 1.0], size=len(pairs))
    weights = torch.from_numpy(np.stack([signs, signs * pairs.values], axis=1)).to(pairs.vectors)
    vector, expected = (own_columns(pairs, shares) @ weights).unbind(1)
    product = operator.times_shares(vector[None].contiguous())[0]
    error = float(norm(product - expected, shares))
    floor = float(torch.finfo(operator.dtype).eps) ** 0.75 * pairs.scale * len(pairs)
    if error > 2 * float(pairs.residuals.sum()) + floor:
        msg = (
            f"deflate: residual of the pairs under {operator!r} is {error:.3g}, expected "
            f"{float(pairs.residuals.sum()):.3g}; eigenpairs of this operator are required"
        )
        raise InputError(msg)

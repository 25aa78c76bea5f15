"""Eigenpairs for deflation, verified once to belong to the operator."""

from __future__ import annotations

from typing import final

import numpy as np
import torch
from torch import Tensor

from hessium.errors import InputError
from hessium.estimate.eigenpairs import Eigenpairs
from hessium.linalg.operator import SymmetricOperator
from hessium.linalg.shares import Shares
from hessium.linalg.vectors import norm


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

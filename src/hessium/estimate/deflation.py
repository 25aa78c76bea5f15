"""Eigenpairs that may be put back as exact: proved to be those of the operator, once."""

from __future__ import annotations

from typing import final

import numpy as np
import torch

from hessium.errors import InputError
from hessium.estimate.eigenpairs import Eigenpairs
from hessium.linalg.operator import SymmetricOperator
from hessium.linalg.vectors import norm


@final
class Deflation:
    """Eigenpairs of one operator, checked against it where they come from elsewhere.

    Work that is done in several calls with the same pairs makes one of these, and pays one proof.

    Args:
        operator: whose they are to be.
        pairs: to take out of the probes.
        proved: they have just been computed from products of this operator, so no proof is needed.

    Raises:
        InputError: if they are those of another operator: they would be put back as exact.

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


def _require_of(operator: SymmetricOperator, pairs: Eigenpairs) -> None:
    """Eigenpairs are those of the operator, up to their residuals.

    Raises:
        InputError: if not: they would be put back as exact eigenvalues.
    """
    if pairs.dim != operator.shape[0] or pairs.vectors.dtype != operator.dtype:
        msg = (
            f"deflate: eigenpairs of size {pairs.dim} in {pairs.vectors.dtype}; size "
            f"{operator.shape[0]} and {operator.dtype} are required"
        )
        raise InputError(msg)
    # added up with random signs, the errors of many pairs do not hide each other
    signs = np.random.default_rng(0).choice([-1.0, 1.0], size=len(pairs))
    weights = torch.from_numpy(np.stack([signs, signs * pairs.values], axis=1)).to(pairs.vectors)
    vector, expected = (pairs.vectors @ weights).unbind(1)
    error = float(norm(operator @ vector.contiguous() - expected))
    floor = float(torch.finfo(operator.dtype).eps) ** 0.75 * pairs.scale * len(pairs)
    if error > 2 * float(pairs.residuals.sum()) + floor:
        msg = (
            f"deflate: its pairs miss those of {operator!r} by {error:.3g}, their residuals say "
            f"{float(pairs.residuals.sum()):.3g}; eigenpairs of this operator are required"
        )
        raise InputError(msg)

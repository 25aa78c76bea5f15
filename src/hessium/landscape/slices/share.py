"""The share of the trace of a Hessian that a slice holds."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hessium._random import Rng, generator
from hessium.curvature import Hessian
from hessium.estimate import trace
from hessium.landscape.slices.radius import Plane
from hessium.linalg import SymmetricOperator

_MATVECS = 4  # products for the trace


class Beyond(SymmetricOperator):
    r"""$(I - U U^T) H (I - U U^T)$, for orthonormal columns U (P, k).

    Args:
        operator: H.
        basis: U.

    Cost of a product: one product with H.
    """

    def __init__(self, operator: SymmetricOperator, basis: Tensor) -> None:
        self._operator, self._basis = operator, basis

    @property
    def shape(self) -> tuple[int, int]:
        """(P, P)."""
        return self._operator.shape

    @property
    def dtype(self) -> torch.dtype:
        """Of the operator."""
        return self._operator.dtype

    @property
    def device(self) -> torch.device:
        """Of the operator."""
        return self._operator.device

    def _matmat(self, block: Tensor) -> Tensor:
        return self._without(self._operator @ self._without(block))

    def _without(self, block: Tensor) -> Tensor:
        return block - self._basis @ (self._basis.mT @ block)


@dataclass(frozen=True, slots=True)
class Share:
    """A share of a trace.

    Attributes:
        value: the estimate; NaN if the trace is zero.
        stderr: its standard error.
        lower, upper: Student's interval of 95 %; infinite if the trace may be zero.
    """

    value: float
    stderr: float
    lower: float
    upper: float


def trace_share(hessian: Hessian, plane: Plane, rng: Rng) -> Share:
    r"""$t / (t + r)$, with t the trace in the slice and r that of the rest.

    t is exact, r is the mean of Hutchinson's estimates with vectors that are orthogonal to the
    slice, so that an eigenvalue whose eigenvector lies in the slice adds no variance.

    Cost: 4 products.
    """
    beyond = Beyond(hessian, plane.basis)
    count = min(_MATVECS, hessian.shape[0])
    method = "hutchinson" if count < hessian.shape[0] else "exact"
    rest = trace(beyond, matvecs=count, method=method, rng=generator(rng))
    here = float(np.trace(plane.bend))
    whole = here + rest.value
    if whole == 0:
        return Share(math.nan, math.nan, math.nan, math.nan)
    ends = [here + end for end in rest.interval(0.95)]
    stderr = abs(here) * rest.stderr / whole**2
    if ends[0] * ends[1] <= 0:
        return Share(here / whole, stderr, -math.inf, math.inf)
    shares = sorted(here / end for end in ends)
    return Share(here / whole, stderr, shares[0], shares[1])

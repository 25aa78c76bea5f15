"""A multiple of the identity plus a matrix of low rank; the root of an L-BFGS matrix is one."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from hessium._arguments import positive
from hessium.errors import InputError
from hessium.linalg.congruence import Factor


class IdentityPlusLowRank(Factor):
    r"""$D = c\,(I - Q Q^T) + Q\,\mathrm{diag}(d)\,Q^T$ with orthonormal Q, $c > 0$ and $d_i > 0$.

    Args:
        scale: c.
        basis: Q, shape (n, r).
        values: d, shape (r,).

    Raises:
        InputError: if a number is not positive or a shape does not fit.

    Cost of a product: 4 n r multiply-adds for each column.

    Example:
        >>> u = torch.zeros(13, 1, dtype=torch.float64)
        >>> u[0] = 1.0
        >>> root = hs.linalg.IdentityPlusLowRank(1.0, u, torch.tensor([3.0], dtype=torch.float64))
        >>> (root @ H @ root).shape
        (13, 13)
    """

    def __init__(self, scale: float, basis: Tensor, values: Tensor) -> None:
        self.scale = positive("scale", scale)
        if basis.dim() != 2 or values.shape != basis.shape[1:]:
            msg = f"values: {tuple(values.shape)}; one for each column of the basis is required"
            raise InputError(msg)
        if not bool((torch.isfinite(values) & (values > 0)).all()):
            msg = "values: some are not positive; finite numbers > 0 are required"
            raise InputError(msg)
        self._basis, self._values = basis, values

    @property
    def shape(self) -> tuple[int, int]:
        """(n, n)."""
        return (self._basis.shape[0], self._basis.shape[0])

    @property
    def dtype(self) -> torch.dtype:
        """Of the basis."""
        return self._basis.dtype

    @property
    def device(self) -> torch.device:
        """Of the basis."""
        return self._basis.device

    @property
    def invertible(self) -> bool:
        """True."""
        return True

    def _matmat(self, block: Tensor) -> Tensor:
        return self._mapped(block, self.scale, self._values)

    def solve(self, block: Tensor) -> Tensor:
        """$D^{-1}$ times a block (n, k)."""
        return self._mapped(block, 1 / self.scale, 1 / self._values)

    def _mapped(self, block: Tensor, scale: float, values: Tensor) -> Tensor:
        along = self._basis.mT @ block
        return scale * block + self._basis @ ((values - scale)[:, None] * along)


def lbfgs_root(
    steps: Sequence[Tensor] | Tensor,
    changes: Sequence[Tensor] | Tensor,
    scale: float | None = None,
) -> IdentityPlusLowRank:
    r"""$B^{1/2}$ of the inverse Hessian B that L-BFGS builds from pairs of steps and gradients.

    $$B_0 = \gamma I, \quad
    B_{k+1} = (I - \rho_k s_k y_k^T)\, B_k\, (I - \rho_k y_k s_k^T) + \rho_k s_k s_k^T, \quad
    \rho_k = 1 / y_k^T s_k$$

    (Nocedal & Wright 2006, eqs. 7.16 to 7.20), formed in the span of all s and y in float64, so
    that it is positive definite whatever the pairs.

    Args:
        steps: s, changes of the parameters, oldest first, each (n,); or (m, n).
        changes: y, changes of the gradient, likewise.
        scale: $\gamma$; by default $s^T y / y^T y$ of the newest pair, as optimisers choose it.

    Returns:
        A factor D with $D^2 = B$: the Hessian as L-BFGS sees it is `D @ H @ D`.

    Raises:
        InputError: if `steps` is empty, or a pair violates the condition $s^T y > 0$.

    Cost: one factorisation of n x 2m numbers.

    Example:
        >>> step = torch.ones(13, dtype=torch.float64)
        >>> root = hs.linalg.lbfgs_root([step], [step * 4.0])  # changes of the gradient
        >>> (root @ H @ root).shape
        (13, 13)
    """
    if len(steps) == 0 or len(steps) != len(changes):
        msg = f"steps: {len(steps)} and {len(changes)} changes; as many, and at least one pair, are"
        raise InputError(msg + " required")
    first = steps[0]
    s = torch.stack([step.double() for step in steps], dim=1)
    y = torch.stack([change.double() for change in changes], dim=1)
    if s.dim() != 2 or s.shape != y.shape:
        msg = f"changes: of shape {tuple(y.shape)}; that of the steps, {tuple(s.shape)}, is needed"
        raise InputError(msg)
    curvature = (s * y).sum(dim=0)
    if not bool((torch.isfinite(curvature) & (curvature > 0)).all()):
        msg = (
            f"changes: s'y is {float(curvature.min()):.3g} for a pair; L-BFGS keeps only pairs "
            "with s'y > 0, leave the others out"
        )
        raise InputError(msg)
    if scale is None:
        scale = float(curvature[-1] / y[:, -1].square().sum())
    gamma = positive("scale", scale)
    # columns of unit length: later steps of a converging run are tiny
    basis, _ = torch.linalg.qr(torch.cat([s / s.norm(dim=0), y / y.norm(dim=0)], dim=1))
    inside = gamma * torch.eye(basis.shape[1], dtype=s.dtype, device=s.device)
    eye = torch.eye(basis.shape[1], dtype=s.dtype, device=s.device)
    for one, other, product in zip((basis.mT @ s).mT, (basis.mT @ y).mT, curvature, strict=True):
        left = eye - torch.outer(one, other) / product
        inside = left @ inside @ left.mT + torch.outer(one, one) / product
    values, vectors = torch.linalg.eigh(inside)
    floor = torch.finfo(torch.float64).eps * float(values[-1])
    roots = values.clamp(min=floor).sqrt()
    return IdentityPlusLowRank(gamma**0.5, (basis @ vectors).to(first), roots.to(first))

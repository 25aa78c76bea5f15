"""Minimum-norm least-squares solutions of symmetric, possibly singular systems by MINRES."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from hessium._typing import FloatArray
from hessium.linalg.operator import SymmetricOperator
from hessium.linalg.vectors import inner, norm


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Solved:
    r"""Result of `minres`.

    Attributes:
        solution: x, shape (n,).
        residual: $|Ax - b| / |b|$, of the recurrence.
        normal_residual: $|A r| / (|A| |r|)$, with |A| of the projection: small where x solves the
            least-squares problem although the residual is not.
        ritz: eigenvalues of the projection, ascending; by interlacing A has at least as many
            negative eigenvalues as these.
        num_matvecs: products.
    """

    solution: Tensor
    residual: float
    normal_residual: float
    ritz: FloatArray
    num_matvecs: int

    def __repr__(self) -> str:
        return (
            f"Solved(residual {self.residual:.2g}, normal residual {self.normal_residual:.2g}, "
            f"{self.num_matvecs} products)"
        )


def minres(
    operator: SymmetricOperator,
    vector: Float[Tensor, " n"],
    *,
    tol: float = 1e-10,
    steps: int = 200,
    truncation: float = 1e-12,
) -> Solved:
    r"""$\arg\min \{|x| : x \in \arg\min_{K_k} |Ax - b|\}$ over Krylov spaces $K_k$.

    The iterates are those of MINRES-QLP (Choi, Paige & Saunders 2011, in exact arithmetic). Here
    the Lanczos vectors are kept and orthogonalised in full, and the small tridiagonal least-squares
    problem is solved once, at the end, by a singular value decomposition. This stores n k numbers
    and keeps the iterates accurate to rounding.

    Args:
        operator: A.
        vector: b.
        tol: stop at this relative residual, or at this relative normal residual.
        steps: largest number of products.
        truncation: singular values of the projection below this fraction of the largest are zero.

    Cost: one product and 4 n k multiply-adds a step.
    """
    beta = float(norm(vector))
    if beta == 0:
        return Solved(
            solution=torch.zeros_like(vector),
            residual=0.0,
            normal_residual=0.0,
            ritz=np.empty(0),
            num_matvecs=0,
        )
    steps = min(steps, operator.shape[0])
    basis = vector.new_empty(steps + 1, len(vector))
    basis[0] = vector / beta
    projected = np.zeros((steps + 1, steps))
    scale = 0.0
    residual, normal, k = 1.0, 1.0, 0
    left = np.zeros(steps + 1)  # of the residual: spans the complement of the range
    left[0] = 1.0
    while k < steps:
        image = operator @ basis[k]
        known = basis[: k + 1]
        along = inner(known, image)
        image = image - along @ known
        again = inner(known, image)
        image = image - again @ known
        projected[k, k] = float(along[k] + again[k])
        if k:
            projected[k - 1, k] = projected[k, k - 1]
        rest = float(norm(image))
        scale = max(scale, abs(projected[k, k]) + rest + (projected[k, k - 1] if k else 0.0))
        k += 1
        broken = rest <= np.finfo(np.float64).eps * 10 * scale
        projected[k, k - 1] = 0.0 if broken else rest
        if scale == 0:  # b is in the kernel
            residual, normal = 1.0, 0.0
            break
        if not broken:
            basis[k] = image / rest
        left, residual, normal = _extended(left, projected, k, scale)
        if broken or residual <= tol or normal <= tol:
            break
    small = projected[: k + 1, :k]
    rhs = np.zeros(k + 1)
    rhs[0] = beta
    weights = np.linalg.lstsq(small, rhs, rcond=truncation)[0]
    solution = torch.from_numpy(weights).to(vector) @ basis[:k]
    return Solved(
        solution=solution,
        residual=float(np.linalg.norm(small @ weights - rhs)) / beta,
        normal_residual=normal,
        ritz=np.asarray(np.linalg.eigvalsh(projected[:k, :k]), dtype=np.float64),
        num_matvecs=k,
    )


def _extended(
    left: FloatArray, projected: FloatArray, k: int, scale: float
) -> tuple[FloatArray, float, float]:
    """Left null vector z of the first k columns, relative residual, normal residual before that.

    The residual of the least-squares problem is along z, which follows from the three-term
    recurrence z'T = 0 with z[0] = 1; how A acts on a residual shows when the next column is known.
    """
    column, weight = k - 1, projected[k, k - 1]
    partial = left[column] * projected[column, column]
    if column:
        partial += left[column - 1] * projected[column - 1, column]
    normal = float(np.hypot(partial, weight * left[column])) / scale  # of left[:k], a unit vector
    if weight == 0:
        return left, 1.0, normal
    left = left.copy()
    left[k] = -partial / weight
    size = float(np.linalg.norm(left[: k + 1]))
    return left / size, abs(left[0]) / size, normal

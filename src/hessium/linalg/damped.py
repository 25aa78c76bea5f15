"""Dense symmetric kernels of Newton-like methods: one factorisation a step, on any device."""

from __future__ import annotations

import math

import numpy as np
import scipy.linalg
import torch
from jaxtyping import Float
from torch import Tensor


def damped_solve(
    matrix: Float[Tensor, "n n"], vector: Float[Tensor, " n"], damping: float
) -> Float[Tensor, " n"]:
    r"""$A (A^2 + \mu I)^{-1} b = \mathrm{Re}\,(A + i\sqrt\mu\, I)^{-1} b$, without squaring A.

    The Levenberg-Marquardt solution of $A x = b$. The complex symmetric system has the condition
    number of A, not its square, and one Bunch-Kaufman factorisation solves it.

    Args:
        matrix: A, symmetric, float64.
        vector: b.
        damping: $\mu \ge 0$; zero is the solution of $A x = b$ itself, and $A^+ b$, the limit,
            where A is exactly singular.

    Cost: $n^3/3$ complex multiply-adds on a CPU, twice that elsewhere.
    """
    if damping == 0:
        solution, failed = torch.linalg.solve_ex(matrix, vector)
        if not bool(failed):
            return solution
        values, vectors = eigensystem(matrix)
        rounding = len(vector) * torch.finfo(matrix.dtype).eps * float(values.abs().max())
        return pseudo_solve(values, vectors, vector, rounding)
    shift = math.sqrt(damping)
    if matrix.device.type == "cpu":
        shifted = matrix.numpy().astype(np.complex128, order="F")
        shifted.flat[:: matrix.shape[0] + 1] += 1j * shift
        _, _, solution, _ = scipy.linalg.lapack.zsysv(
            shifted, vector.numpy().astype(np.complex128), lower=1, overwrite_a=1
        )
        return torch.from_numpy(np.ascontiguousarray(solution.real).reshape(-1))
    moved = matrix.to(torch.complex128)
    moved.diagonal().add_(1j * shift)
    return torch.linalg.solve(moved, vector.to(torch.complex128)).real


def eigensystem(matrix: Float[Tensor, "n n"], *, coarse: bool = False) -> tuple[Tensor, Tensor]:
    """Eigenvalues, ascending, and eigenvectors of a symmetric float64 matrix, in float64.

    Args:
        matrix: shape (n, n).
        coarse: compute in float32, twice as fast, where six digits suffice.
    """
    # float32 overflows above 3e38: scale by the largest entry
    unit = float(matrix.abs().max()) or 1.0
    work = (matrix / unit).float() if coarse else matrix
    unit = unit if coarse else 1.0
    if matrix.device.type == "cpu":
        # SciPy's divide and conquer is a quarter faster than torch's at a few hundred rows
        values, vectors = scipy.linalg.eigh(work.numpy(), driver="evd", check_finite=False)
        return unit * torch.from_numpy(values).double(), torch.from_numpy(vectors).double()
    values, vectors = torch.linalg.eigh(work)
    return unit * values.double(), vectors.double()


def pseudo_solve(
    values: Tensor, vectors: Tensor, vector: Tensor, cut: float, *, drop: int = 0
) -> Tensor:
    """$H^+ b$ from the eigensystem of H.

    Args:
        values: eigenvalues.
        vectors: eigenvectors, in columns.
        vector: b.
        cut: threshold; eigenvalues of absolute value at most this are left out.
        drop: number of modes of smallest absolute eigenvalue to leave out at least.
    """
    size = values.abs()
    kept = size > cut
    if drop:
        kept[size.argsort()[:drop]] = False
    along = torch.where(kept, (vectors.mT @ vector) / torch.where(kept, values, 1.0), 0.0)
    return vectors @ along

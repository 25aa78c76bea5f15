"""Eigenvalues of all the matrices of a risk, and how many of them count."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hessium._typing import FloatArray, IntArray
from hessium.curvature import GaussNewton, Gram, Hessian
from hessium.linalg import SymmetricOperator
from hessium.problem import EmpiricalRisk


def eigenvalues(operator: SymmetricOperator) -> FloatArray:
    """All eigenvalues of the dense matrix, ascending (LAPACK)."""
    return np.linalg.eigvalsh(operator.dense().numpy())


def matrices(risk: EmpiricalRisk) -> dict[str, FloatArray]:
    """Eigenvalues of H, of H0 by two routes, and the size of H - H0.

    Returns:
        `hessian`, `gauss_newton` and `gram` eigenvalues, ascending, and `residual_share`: the
        Frobenius norm of H - H0 over that of H, shape ().
    """
    hessian = Hessian(risk).dense().numpy()
    gauss_newton = GaussNewton(risk).dense().numpy()
    return {
        "hessian": np.linalg.eigvalsh(hessian),
        "gauss_newton": np.linalg.eigvalsh(gauss_newton),
        "gram": eigenvalues(Gram(risk)),
        "residual_share": np.array(
            np.linalg.norm(hessian - gauss_newton) / np.linalg.norm(hessian)
        ),
    }


def positive(values: FloatArray, tol: float) -> int:
    """How many eigenvalues exceed `tol` times the largest absolute one."""
    return int(np.count_nonzero(values > tol * np.abs(values).max()))


def negative(values: FloatArray, tol: float) -> int:
    """How many eigenvalues lie below minus `tol` times the largest absolute one."""
    return positive(-values, tol)


def positive_at(values: FloatArray, tols: Sequence[float]) -> IntArray:
    """`positive` for each of `tols`."""
    return np.array([positive(values, tol) for tol in tols], dtype=np.int64)

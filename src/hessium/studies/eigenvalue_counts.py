"""Eigenvalues of the matrices of a risk, and how many of them count."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from hessium._typing import FloatArray, IntArray
from hessium.curvature import GaussNewton, Gram, Hessian
from hessium.estimate import rank_profile, spectrum
from hessium.figures.records import Numbers
from hessium.problem import EmpiricalRisk
from hessium.runs.experiment import Result
from hessium.spectra import Spectrum


def matrices(risk: EmpiricalRisk) -> dict[str, FloatArray]:
    """Eigenvalues of H, of H0 by two routes, and the size of H - H0.

    Returns:
        `hessian`, `gauss_newton` (from the dense matrix) and `gram` eigenvalues, ascending, and
        `residual_share`: the Frobenius norm of H - H0 over that of H, shape ().
    """
    hessian = Hessian(risk).dense()
    gauss_newton = GaussNewton(risk).dense()
    share = torch.linalg.norm(hessian - gauss_newton) / torch.linalg.norm(hessian)
    return {
        "hessian": spectrum(hessian).nodes,
        "gauss_newton": spectrum(gauss_newton).nodes,
        "gram": spectrum(Gram(risk)).nodes,
        "residual_share": share.numpy(),
    }


def positive_at(values: FloatArray, tols: Numbers) -> IntArray:
    """How many eigenvalues exceed each of `tols` (descending) times the largest absolute one."""
    return rank_profile(Spectrum.of(values), np.asarray(tols)).positive


def positive(values: FloatArray, tol: float) -> int:
    """How many eigenvalues exceed `tol` times the largest absolute one."""
    return int(positive_at(values, [tol])[0])


def negative(values: FloatArray, tol: float) -> int:
    """How many eigenvalues lie below minus `tol` times the largest absolute one."""
    return positive(-values, tol)


def positive_of(name: str, tol: float) -> Callable[[Result], int]:
    """`positive` as a function of a result that holds eigenvalues as `name`."""
    return lambda result: positive(result[name], tol)

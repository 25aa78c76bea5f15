"""Everything about the curvature of one risk: spectra of H, H0, H1, counts, layer blocks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from hessium._typing import FloatArray
from hessium.curvature import GaussNewton, Hessian, ResidualHessian
from hessium.errors import InputError
from hessium.estimate import spectrum
from hessium.experiments.experiment import Result
from hessium.linalg import SymmetricOperator
from hessium.problem import EmpiricalRisk
from hessium.progress import Progress, silent


def layers(risk: EmpiricalRisk) -> dict[str, list[str]]:
    """Parameter names by the module that owns them, in the order of the flat vector."""
    groups: dict[str, list[str]] = {}
    for name in risk.names:
        groups.setdefault(name.rpartition(".")[0] or "top level", []).append(name)
    return groups


def measure(
    risk: EmpiricalRisk, *, max_dim: int = 8000, progress: Progress = silent
) -> dict[str, FloatArray]:
    """Eigenvalues of the matrices of a risk and of its diagonal blocks, layer by layer.

    Args:
        risk: where.
        max_dim: largest size of a dense matrix.
        progress: called with matrices done and matrices in all.

    Returns:
        Eigenvalues, ascending: `hessian`, and for a loss of outputs `gauss_newton` and `residual`;
        with more than one layer `hessian/LAYER` and `gauss_newton/LAYER`. Where the parameters are
        more than `max_dim` but samples times outputs are not, `gauss_newton` alone, through the
        Gram matrix, zeros included.

    Raises:
        InputError: if no matrix is small enough.
    """
    kinds: dict[str, Callable[[EmpiricalRisk], SymmetricOperator]] = {"hessian": Hessian}
    if risk.has_outputs:
        kinds |= {"gauss_newton": GaussNewton, "residual": ResidualHessian}
    jobs = [(name, kind, risk) for name, kind in kinds.items()]
    if risk.dim > max_dim:
        if not risk.has_outputs or risk.num_outputs > max_dim:
            msg = (
                f"--max-dim: {max_dim}; the risk has {risk.dim} parameters and "
                f"{risk.num_outputs} samples x outputs, and one of them must not exceed it"
            )
            raise InputError(msg)
        jobs = [("gauss_newton", kinds["gauss_newton"], risk)]
    elif len(groups := layers(risk)) > 1:
        parts = {layer: risk.restrict(names) for layer, names in groups.items()}
        jobs += [
            (f"{name}/{layer}", kind, part)
            for layer, part in parts.items()
            for name, kind in kinds.items()
            if name != "residual"
        ]
    found = {}
    for done, (name, kind, part) in enumerate(jobs):
        progress(done, len(jobs), "matrices")
        found[name] = np.array(spectrum(kind(part)).nodes)
    progress(len(jobs), len(jobs), "matrices")
    return found


def layer_names(results: Sequence[Result]) -> list[str]:
    """The layers of which blocks were measured."""
    return [name.partition("/")[2] for name in results[0] if name.startswith("hessian/")]

"""Everything about the curvature of one risk: spectra of H, H0, H1, counts, layer blocks."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import numpy as np

from hessium._typing import FloatArray
from hessium.curvature import GaussNewton, Hessian, ResidualHessian
from hessium.estimate import spectrum
from hessium.linalg import SymmetricOperator
from hessium.problem import EmpiricalRisk
from hessium.progress import Progress, silent
from hessium.runs.experiment import Result
from hessium.runs.part_cache import Kept
from hessium.spectra import Spectrum
from hessium.spectra.measure import relative_resolution


def layers(risk: EmpiricalRisk, most: int | None = None) -> dict[str, list[str]]:
    """Parameter names by the module that owns them, in the order of the flat vector.

    Args:
        risk: whose parameters.
        most: with more modules than this, those inside one another are taken together.
    """
    owners = {name: name.split(".")[:-1] or ["top level"] for name in risk.names}
    depth = max(map(len, owners.values()))
    while True:
        groups: dict[str, list[str]] = {}
        for name, owner in owners.items():
            groups.setdefault(".".join(owner[:depth]), []).append(name)
        if most is None or len(groups) <= most or depth == 1:
            return groups
        depth -= 1


def measure(
    risk: EmpiricalRisk, *, progress: Progress = silent, kept: Kept | None = None
) -> dict[str, FloatArray]:
    """Eigenvalues of the matrices of a risk and of its diagonal blocks, layer by layer.

    Args:
        risk: where.
        progress: called with matrices done and matrices in all.
        kept: takes each matrix as it is finished, and gives those of a run that was stopped.

    Returns:
        Eigenvalues, ascending: `hessian`, and for a loss of outputs `gauss_newton` and `residual`;
        with more than one layer `hessian/LAYER` and `gauss_newton/LAYER`.

    Raises:
        InputError: if a dense matrix does not fit.
    """
    kinds: dict[str, Callable[[EmpiricalRisk], SymmetricOperator]] = {"hessian": Hessian}
    if risk.has_outputs:
        kinds |= {"gauss_newton": GaussNewton, "residual": ResidualHessian}
    jobs = [(name, kind, risk) for name, kind in kinds.items()]
    if len(groups := layers(risk)) > 1:
        parts = {layer: risk.restrict(names) for layer, names in groups.items()}
        jobs += [
            (f"{name}/{layer}", kind, part)
            for layer, part in parts.items()
            for name, kind in kinds.items()
            if name != "residual"
        ]
    kept = kept or Kept(None, {})
    for done, (name, kind, part) in enumerate(jobs):
        progress(done, len(jobs), "matrices")
        kept(name, {}, functools.partial(_values, kind, part))
    progress(len(jobs), len(jobs), "matrices")
    return finished(kept)


def finished(kept: Kept) -> dict[str, FloatArray]:
    """Eigenvalues of the matrices that are finished."""
    return {name: result["values"] for name, result in kept.found.items()}


def _values(kind: Callable[[EmpiricalRisk], SymmetricOperator], part: EmpiricalRisk) -> Result:
    return {"values": np.array(spectrum(kind(part)).nodes)}


def layer_names(results: Sequence[Result]) -> list[str]:
    """The layers of which blocks were measured."""
    return [name.partition("/")[2] for name in results[0] if name.startswith("hessian/")]


def exact_spectrum(
    values: FloatArray, name: str, num_outputs: int, unit: float, dim: int | None = None
) -> Spectrum:
    """The spectrum of a matrix of `measure`, with what is known of H0.

    Args:
        values: its eigenvalues.
        name: of the matrix.
        num_outputs: samples times outputs, which bound the rank of H0.
        unit: machine epsilon of the arithmetic that made the matrix.
        dim: size of the matrix, where eigenvalues that are zero are left out.
    """
    # a Gram matrix may be the larger one: then its other eigenvalues are zeros
    values = np.sort(values)[max(0, values.size - (dim or values.size)) :]
    dim = dim or values.size
    # `spectrum` leaves no negative value where none can be, and counts the samples' directions
    nonnegative = name.startswith("gauss_newton") and bool(values.min() >= 0)
    return Spectrum.of(
        values,
        dim=dim,
        resolution=relative_resolution(dim, unit) * float(np.abs(values).max()),
        nonnegative=nonnegative,
        rank_bound=num_outputs if nonnegative else None,
    )

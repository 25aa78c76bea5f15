"""Exact spectra of a risk and of its layers, from dense and Gram matrices."""

from __future__ import annotations

from collections.abc import Callable

from hessium.curvature import GaussNewton, Hessian, ResidualHessian
from hessium.estimate import spectrum
from hessium.linalg import SymmetricOperator
from hessium.problem import EmpiricalRisk
from hessium.profiles.layers import layers
from hessium.profiles.stored_parts import packed_spectrum, unpacked_spectrum
from hessium.progress import Progress, silent
from hessium.runs.experiment import Result
from hessium.runs.part_cache import PartCache
from hessium.spectra import Spectrum


def dense_spectra(
    risk: EmpiricalRisk, *, progress: Progress = silent, kept: PartCache | None = None
) -> dict[str, Spectrum]:
    """All eigenvalues of the matrices of a risk and of their diagonal blocks, layer by layer.

    Args:
        risk: where.
        progress: called with matrices done and matrices in all.
        kept: stores each matrix as it is finished, and holds those of an earlier run.

    Returns:
        By name: `hessian`; `gauss_newton` and `residual` where the model has outputs; with several
        layers also `hessian/LAYER` and `gauss_newton/LAYER`.

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
    kept = kept or PartCache(None, {})
    for done, (name, kind, part) in enumerate(jobs):
        progress(done, len(jobs), "matrices")

        def compute(
            kind: Callable[[EmpiricalRisk], SymmetricOperator] = kind, part: EmpiricalRisk = part
        ) -> Result:
            return packed_spectrum(spectrum(kind(part)))

        kept(name, {}, compute)
    progress(len(jobs), len(jobs), "matrices")
    return {name: unpacked_spectrum(kept.found[name]) for name, _, _ in jobs}

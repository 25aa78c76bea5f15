"""One risk beside random matrix theory: assumptions, symmetries, ranks and level spacings."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch

from hessium import _arguments
from hessium._display import Displayable
from hessium._typing import AnyArray
from hessium.compare import (
    Assumptions,
    Curvature,
    LevelStatistics,
    Ranks,
    Symmetries,
    assumptions,
    levels,
    ranks,
    symmetries,
)
from hessium.curvature.requirements import require_risk
from hessium.errors import InputError
from hessium.figures.records import Findings
from hessium.problem import EmpiricalRisk
from hessium.profiles.audit_page import audit_findings
from hessium.profiles.matrix_profile import LIKELY, MatrixProfile, matrix_rows
from hessium.profiles.measurement import MATRICES, describe
from hessium.profiles.report_page import Reported
from hessium.progress import Progress, silent
from hessium.spectra import Spectrum


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Audit(Reported, Displayable):
    """One risk beside random matrix theory.

    Attributes:
        assumptions: a test of each assumption.
        symmetries: null directions of H0 by the symmetry that causes them.
        ranks: of H0, H1 and H, measured and predicted.
        levels: spacings of the eigenvalues of H; None for the reason in `no_levels`.
        no_levels: why there are no spacings, or "".
        hessian: spectrum of H.
        gauss_newton: spectrum of H0.
        residual: spectrum of H1.
        model: class of the model, loss, sizes, dtype and device.
        settings: alpha, rotations, seed, max_dim.
        warnings: of the measurement.
        seconds: computing time.

    Example:
        >>> found = hs.audit(risk, rotations=99)
        >>> type(found.ranks).__name__
        'Ranks'
    """

    assumptions: Assumptions
    symmetries: Symmetries
    ranks: Ranks
    levels: LevelStatistics | None
    no_levels: str
    hessian: Spectrum
    gauss_newton: Spectrum
    residual: Spectrum
    model: Mapping[str, Any]
    settings: Mapping[str, Any]
    warnings: tuple[str, ...]
    seconds: float

    experiment = "compare"
    command = "hessium.audit(risk)"

    @property
    def arrays(self) -> dict[str, AnyArray]:
        """Eigenvalues, spacing ratios, and the spectra of rotated sums."""
        found: dict[str, AnyArray] = {
            "gauss_newton": np.array(self.gauss_newton.nodes),
            "residual": np.array(self.residual.nodes),
            "hessian": np.array(self.hessian.nodes),
            "spacing_ratios": np.empty(0) if self.levels is None else self.levels.ratios,
        }
        if self.assumptions.free is not None:
            found["rotated"] = self.assumptions.free.rotated
        return found

    @property
    def findings(self) -> Findings:
        """Statements, charts and tables of the page."""
        return audit_findings(self)

    @property
    def title(self) -> str:
        """Heading of the page."""
        return f"Random matrix theory and {self.model['model']}"

    @property
    def shows(self) -> str:
        """One sentence below the heading."""
        m = self.model
        return (
            f"Tests of the assumptions of random matrix theory on the loss {m['loss']} of "
            f"{m['model']}: {m['parameters']} parameters, {m['samples']} samples."
        )

    @property
    def config(self) -> dict[str, Any]:
        """Settings for the page."""
        return {**self.model, **self.settings}

    @property
    def seeds(self) -> tuple[int, ...]:
        """Of the random matrices."""
        return (int(self.settings["seed"]),)

    def rows(self) -> list[dict[str, Any]]:
        """One row for each matrix with its numbers, for `to_dataframe`."""
        spectra = (self.hessian, self.gauss_newton, self.residual)
        kept = {
            name: MatrixProfile(spectrum=one) for name, one in zip(MATRICES, spectra, strict=True)
        }
        return matrix_rows(kept, self.ranks.tol, LIKELY)

    def __repr__(self) -> str:
        return f"Audit({self.model['model']}: {self.assumptions!r}; {self.ranks!r})"


def audit(
    risk: EmpiricalRisk,
    *,
    alpha: float = 0.01,
    rotations: int = 99,
    tol: float = 1e-10,
    seed: int = 0,
    max_dim: int = 3000,
    progress: Progress = silent,
) -> Audit:
    """Test the assumptions of random matrix theory on a risk, as `hessium compare` does.

    Assumptions on H0, H1, residuals and weights (`hs.compare.assumptions`), null directions of H0
    (`symmetries`), ranks (`ranks`) and level spacings (`levels`), from one dense H0, H1 and H.

    Args:
        risk: where; in float64, with a loss of outputs.
        alpha: false-alarm rate of each test with a p-value.
        rotations: Haar rotations of the test of freeness.
        tol: eigenvalues count as zero up to this fraction of the largest absolute one.
        seed: of the random matrices.
        max_dim: largest number of parameters.
        progress: called with steps done and steps in all.

    Raises:
        InputError: if the risk is a closure, in float32, or has too many parameters.

    Cost: at most 12 passes over the data (14 if no graph of a batch fits in memory), dense H0 and
    H1, and an eigendecomposition for each random matrix and rotation.

    Example:
        >>> found = hs.audit(risk)
        >>> len(found.assumptions.checks) > 0
        True
    """
    require_risk(risk)
    seed = _arguments.count("seed", seed, 0)
    if risk.dtype != torch.float64:
        msg = f"risk: parameters are {risk.dtype}; float64 is required (model.double(), data too)"
        raise InputError(msg)
    if risk.dim > _arguments.count("max_dim", max_dim):
        msg = (
            f"max_dim: {max_dim}; the risk has {risk.dim} parameters, and the test of freeness "
            f"needs {rotations} eigendecompositions of that size (raise it, or restrict the risk)"
        )
        raise InputError(msg)
    start = time.perf_counter()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        curvature = Curvature(risk)
        table = assumptions(
            curvature, alpha=alpha, rotations=rotations, tol=tol, rng=seed, progress=progress
        )
        zeros = symmetries(curvature, tol=tol)
        ranked = ranks(curvature, tol)
        spaced = _spacings(curvature, tol)
    return Audit(
        assumptions=table,
        symmetries=zeros,
        ranks=ranked,
        levels=None if isinstance(spaced, str) else spaced,
        no_levels=spaced if isinstance(spaced, str) else "",
        hessian=curvature.hessian.spectrum,
        gauss_newton=curvature.gauss_newton.spectrum,
        residual=curvature.residual.spectrum,
        model=describe(risk),
        settings={"alpha": alpha, "rotations": rotations, "seed": seed, "max_dim": max_dim},
        warnings=tuple(dict.fromkeys(str(one.message) for one in caught)),
        seconds=time.perf_counter() - start,
    )


def _spacings(curvature: Curvature, tol: float) -> LevelStatistics | str:
    """Statistics of the spacings of H, or why there are none; the other tests do not need them."""
    try:
        return levels(curvature, tol=tol)
    except InputError as error:
        return str(error)

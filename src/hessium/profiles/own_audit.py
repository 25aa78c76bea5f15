"""A user's own risk beside random matrix theory: what holds, what does not, in words."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
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
from hessium.profiles.own_model import describe
from hessium.profiles.write_page import write_page
from hessium.progress import Progress, silent
from hessium.spectra import Spectrum


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Audit(Displayable):
    """One risk beside random matrix theory.

    Attributes:
        assumptions: each assumption of the theory, put to the test.
        symmetries: null directions of H0 by name.
        ranks: of H0, H1 and H, measured and predicted.
        levels: spacings of the eigenvalues of H; None where `no_levels` says why there are none.
        no_levels: why there are no spacings, or "".
        hessian, gauss_newton, residual: spectra of H, H0 and H1.
        model: what was measured: class, loss, sizes.
        settings: alpha, rotations, seed, max_dim.
        findings: statements, charts and tables of the page.
        seconds: computing time.
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
    findings: Findings
    seconds: float

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
    def shows(self) -> str:
        """One sentence for the head of the page."""
        m = self.model
        return (
            "Do the assumptions of random matrix theory hold for the loss "
            f"{m['loss']} of a {m['model']} with {m['parameters']} parameters over "
            f"{m['samples']} samples?"
        )

    def report(self, path: Path | str) -> Path:
        """Write the page about it, with the arrays behind it.

        Args:
            path: a run directory: new, empty, or with an earlier audit.

        Returns:
            The page, one HTML file that needs nothing else.

        Raises:
            InputError: if the directory holds something else, or cannot be written.
        """
        return write_page(
            path,
            experiment="compare",
            title=f"Theory beside {self.model['model']}",
            shows=self.shows,
            config={**self.model, **self.settings},
            seeds=(int(self.settings["seed"]),),
            command="hessium.audit(risk)",
            seconds=self.seconds,
            findings=self.findings,
            arrays=self.arrays,
        )

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
    """Assumptions, forced zeros, level spacings and ranks of a risk where it is.

    What `hessium compare` does.

    Args:
        risk: what to measure, in float64, a loss of outputs.
        alpha: false-alarm rate of each test with a p-value.
        rotations: Haar rotations of the test of freeness.
        tol: relative size of zero.
        seed: of the random matrices.
        max_dim: largest number of parameters.
        progress: called with steps done and steps in all.

    Raises:
        InputError: if the risk is a closure, in float32, or has too many parameters.

    Cost: at most 12 passes over the data, dense H0 and H1, and an eigendecomposition for each draw
    and rotation.
    """
    require_risk(risk)
    seed = _arguments.count("seed", seed, 0)
    if risk.dtype != torch.float64:
        msg = f"risk: parameters are {risk.dtype}; float64 is required (model.double(), data too)"
        raise InputError(msg)
    if risk.dim > _arguments.count("max_dim", max_dim):
        msg = (
            f"--max-dim, max_dim: {max_dim}; the risk has {risk.dim} parameters, and {rotations} "
            "rotations of dense matrices of that size are long work (raise it, or restrict the "
            "risk)"
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
    warned = [str(one.message) for one in caught]
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
        findings=audit_findings(table, zeros, ranked, spaced, warned),
        seconds=time.perf_counter() - start,
    )


def _spacings(curvature: Curvature, tol: float) -> LevelStatistics | str:
    """Statistics of the levels of H, or in words why there are none: no reason to lose the rest."""
    try:
        return levels(curvature, tol=tol)
    except InputError as error:
        return str(error)

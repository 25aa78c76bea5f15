"""A user's own risk, measured as the experiments measure theirs."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from hessium._typing import AnyArray
from hessium.experiments.measurement import measure
from hessium.experiments.portrait import Portrait
from hessium.experiments.records import Findings, Number, Table, exact
from hessium.experiments.wording import digits
from hessium.problem import EmpiricalRisk
from hessium.progress import Progress, silent


def portray(
    risk: EmpiricalRisk, *, tol: float = 1e-6, max_dim: int = 8000, progress: Progress = silent
) -> tuple[Findings, Mapping[str, AnyArray]]:
    """Spectra, rank, index and layer blocks of a risk where it is.

    Args:
        risk: what to measure.
        tol: eigenvalues count beyond this fraction of the largest absolute one.
        max_dim: largest size of a dense matrix.
        progress: called with matrices done and matrices in all.

    Returns:
        Findings for a page, and all eigenvalues.

    Raises:
        InputError: if no matrix is small enough.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = measure(risk, max_dim=max_dim, progress=progress)
    portrait = Portrait(
        results=[found],
        what="1 run",
        tol=tol,
        num_outputs=risk.num_outputs,
        unit_roundoff=float(torch.finfo(risk.dtype).eps),
    )
    notes = [
        "H = H₀ + H₁: H₀ is the Gauss-Newton part, positive semidefinite for a convex loss and "
        "of rank at most samples × outputs; H₁ is what the residuals add. Eigenvalues are those of "
        "the dense matrix (LAPACK), of H₀ through its Gram matrix where that is smaller.",
    ]
    if not portrait.has_hessian:
        notes.append(
            f"H was not measured: {risk.dim} parameters are more than --max-dim {max_dim}. "
            "H₀ was, through the Gram matrix of the samples."
        )
    if not risk.has_outputs:
        notes.append("The risk is a closure without outputs, so it has no parts H₀ and H₁.")
    if tol < portrait.resolution:
        notes.append(
            f"Parameters are {risk.dtype}: eigenvalues below {digits(portrait.resolution, 1)} of "
            "the largest are rounding, so counts at this tol are brackets. Take a larger --tol, "
            "or float64 (EmpiricalRisk(..., dtype=torch.float64))."
        )
    notes += list(dict.fromkeys(f"Warning: {w.message}" for w in caught))
    findings = Findings(
        statements=portrait.statements(),
        charts=portrait.charts(),
        tables=(_where(risk), *portrait.tables()),
        notes=tuple(notes),
    )
    return findings, {name.replace("/", "_"): np.array(v) for name, v in found.items()}


def describe(risk: EmpiricalRisk) -> dict[str, Any]:
    """What was measured, for the settings on the page."""
    return {
        "model": type(risk.model).__name__,
        "loss": repr(risk.loss),
        "parameters": risk.dim,
        "samples": risk.num_samples,
        "outputs": risk.num_outputs,
        "dtype": str(risk.dtype),
        "device": str(risk.device),
    }


def _where(risk: EmpiricalRisk) -> Table:
    unit = float(torch.finfo(risk.dtype).eps) * max(risk.num_samples, 1) ** 0.5
    loss, slope = risk.value(), float(risk.gradient().norm())
    rows: tuple[tuple[str | Number, ...], ...] = (
        ("loss", _rounded(loss, unit)),
        ("norm of the gradient", _rounded(slope, unit)),
        ("parameters", exact(risk.dim)),
        ("samples", exact(risk.num_samples)),
        ("outputs of all samples", exact(risk.num_outputs)),
    )
    return Table(
        title="Where the Hessian was taken",
        columns=("what", "value"),
        rows=rows,
        note="At a critical point the gradient is zero; elsewhere read the spectrum as a snapshot.",
    )


def _rounded(value: float, unit: float) -> Number:
    return Number(
        value=value,
        low=value - unit * abs(value),
        high=value + unit * abs(value),
        basis="value [bounds of rounding]",
        digits=4,
    )

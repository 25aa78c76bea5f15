"""What a profile says on its page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hessium.figures.formatting import digits
from hessium.figures.records import Findings, Number, Table, exact
from hessium.profiles.cells import Cell, known_cell, rounded_cell
from hessium.profiles.portrait import SIGNS, Portrait
from hessium.profiles.product_measurement import ACCURACY

if TYPE_CHECKING:
    from hessium.profiles.profile_result import Profile

_PARTS = (
    "H = H₀ + H₁. The Gauss-Newton part H₀ is positive semidefinite for a convex loss; its rank is "
    "at most samples × outputs. The residual part H₁ holds the second derivatives of the model, "
    "weighted by the derivative of the loss with respect to the outputs."
)
_CLOSURE = "The loss is a closure without outputs, so H has no parts H₀ and H₁."
_DENSE = (
    "All eigenvalues are computed from dense matrices (LAPACK), those of H₀ from the Gram matrix "
    "where that is smaller."
)
_PRODUCTS = (
    "Methods: thick-restart Lanczos for the largest and smallest eigenvalues; stochastic Lanczos "
    "quadrature, with their eigenvectors deflated, for the other numbers and the density. "
    "Intervals of sums cover the probes: trace and Frobenius norm have no quadrature error, the "
    "negative mass has a small one where the steps resolve the bulk. A wide bracket of a count is "
    "what the steps prove at this threshold; the chart of counts shows other thresholds."
)
_LAYERS = (
    "The trace of a layer is Hutchinson's estimate with probes of its own, so the sum over the "
    "layers is a second, independent estimate of the trace of H."
)
_STAGES = {
    "hessian/pairs": "eigenpairs of H",
    "hessian/probes": "density of H",
    "gauss_newton/exact": "H₀ from its Gram matrix",
    "gauss_newton/pairs": "eigenpairs of H₀",
    "gauss_newton/probes": "density of H₀",
    "layers": "layers",
    "residual/pairs": "eigenpairs of H₁",
    "residual/probes": "density of H₁",
    "": "all together",
}


def profile_findings(profile: Profile) -> Findings:
    """Tables, charts and statements."""
    portrait = Portrait(
        matrices={name: [one] for name, one in profile.matrices.items()},
        layers={name: [one] for name, one in profile.layers.items()},
        tol=profile.plan.tol,
        num_outputs=int(profile.model["outputs"]),
        confidence=profile.plan.confidence,
        top=profile.plan.top,
    )
    tables = [_point_table(profile), _ends_table(profile), _cost_table(profile)]
    return Findings(
        statements=portrait.statements(),
        charts=portrait.charts(),
        tables=tuple(table for table in tables if table is not None),
        quoted=portrait.quoted(),
        notes=tuple(_notes(profile)),
    )


def _notes(profile: Profile) -> list[str]:
    plan, model = profile.plan, profile.model
    large = bool(profile.gradient_seconds)
    notes = []
    if profile.stopped:
        notes.append(
            f"Stopped before the end by {profile.stopped}. The page shows the finished parts; the "
            "same command resumes."
        )
    notes.append(_PARTS if model["outputs"] else _CLOSURE)
    notes.append(_PRODUCTS if large else _DENSE)
    notes += [_LAYERS] if large and profile.layers else []
    unit = float(np.finfo(str(model["dtype"]).removeprefix("torch.")).eps)
    resolution = 4 * float(model["parameters"]) ** 0.5 * unit
    if plan.tol < resolution:
        notes.append(
            f"Parameters are {model['dtype']}: eigenvalues below {digits(resolution, 1)} max |λ| "
            "are not resolved, so index and rank at this threshold are brackets. Use a larger tol, "
            "or float64 (EmpiricalRisk(..., dtype=torch.float64))."
        )
    for name, matrix in profile.matrices.items():
        missing = int((~matrix.converged).sum())
        if missing:
            notes.append(
                f"{missing} of {matrix.converged.size} eigenpairs of {SIGNS[name]} have not "
                f"converged to a relative residual of {digits(ACCURACY)}: within its residual of "
                "each value there is an eigenvalue, but others may lie further out. A larger top "
                "allows more products."
            )
    notes += [f"Products of {SIGNS[name]}: {route}." for name, route in profile.routes.items()]
    return notes + [f"Warning: {text}" for text in profile.warnings]


def _point_table(profile: Profile) -> Table:
    model = profile.model
    dtype = np.finfo(str(model["dtype"]).removeprefix("torch."))
    unit = float(dtype.eps) * max(int(model["samples"]), 1) ** 0.5
    rows: list[tuple[Cell, ...]] = [
        ("loss", rounded_cell(profile.loss, unit)),
        ("norm of the gradient", rounded_cell(profile.gradient_norm, unit)),
        ("parameters", exact(int(model["parameters"]))),
    ]
    if model["outputs"]:  # a closure has none
        rows.append(("samples", exact(int(model["samples"]))))
        rows.append(("samples × outputs", exact(int(model["outputs"]))))
    return Table(
        title="Loss and gradient",
        columns=("number", "value"),
        rows=tuple(rows),
        note="The point is critical where the gradient is zero.",
    )


def _ends_table(profile: Profile) -> Table | None:
    """Extreme eigenvalues one by one, matrices side by side."""
    signs = {SIGNS[name]: one for name, one in profile.matrices.items()}
    ends = {sign: one.ends(profile.plan.top) for sign, one in signs.items()}
    rows: list[tuple[Cell, ...]] = []
    for side, word in enumerate(("largest", "smallest")):
        for place in range(max((len(end[side]) for end in ends.values()), default=0)):
            cells = [
                known_cell(one, ends[sign][side][place]) if place < len(ends[sign][side]) else ""
                for sign, one in signs.items()
            ]
            rows.append((f"{_ordinal(place + 1)}{word}", *cells))
    if not rows:
        return None
    return Table(
        title="Largest and smallest eigenvalues",
        columns=("eigenvalue", *signs),
        rows=tuple(rows),
    )


def _ordinal(number: int) -> str:
    """Before "largest": "" for the first, "2nd " for the second."""
    if number == 1:
        return ""
    last = number % 10 if number % 100 not in (11, 12, 13) else 0
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(last, 'th') } "


def _cost_table(profile: Profile) -> Table | None:
    """Products and seconds of each part of a large model."""
    if not profile.gradient_seconds:
        return None

    def total(stage: str, what: str) -> float:
        return sum(cost[what] for part, cost in profile.costs.items() if part.startswith(stage))

    rows: list[tuple[Cell, ...]] = []
    for stage, label in _STAGES.items():
        products, seconds = int(total(stage, "products")), total(stage, "seconds")
        if not seconds:
            continue
        alone = total(stage, "product_seconds") / max(products, 1) / profile.gradient_seconds
        rows.append(
            (
                label,
                exact(products),
                _once(seconds),
                _once(seconds / profile.gradient_seconds),
                _once(alone) if products else "",
            )
        )
    return Table(
        title="Cost",
        columns=("part", "products", "seconds", "in gradients", "gradients a product"),
        rows=tuple(rows),
        note=(
            f"One gradient takes {digits(profile.gradient_seconds)} s. Gradients a product: the "
            "product alone; seconds include the linear algebra of the Krylov bases."
        ),
    )


def _once(value: float) -> Number:
    return Number(value=value, basis="measured once, so no error is known", digits=3)

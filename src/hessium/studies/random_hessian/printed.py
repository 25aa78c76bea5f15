"""The critical energies of Pennington & Bahri (2017) as printed, and the digits that they lose."""

from __future__ import annotations

from decimal import Decimal, localcontext
from typing import TypeVar

import numpy as np

from hessium._typing import FloatArray
from hessium.figures.formatting import between, digits
from hessium.figures.records import OURS, Chart, Statement, judge
from hessium.figures.views.repetitions import curve
from hessium.studies.random_hessian.sampling import MODELS
from hessium.theory import critical_energy

_Number = TypeVar("_Number", float, Decimal)

_DIGITS = 60
_FLOAT_ERROR = 1e-10
_CLOSE = 10.0 ** -np.linspace(0.5, 4.5, 33)
"""Distances of the ratio from one at which the formulas are compared."""


def printed(ratio: _Number, activation: str) -> _Number:
    """Eq. 21 ("linear") or eq. 32 at scale one ("relu"), operation by operation."""
    kind, half = type(ratio), type(ratio)("1.5")
    if activation == "linear":
        return (1 - 20 * ratio - 8 * ratio**2 + (1 + 8 * ratio) ** half) / 16
    chi = kind(1) + 16 * ratio - 8 * ratio**2
    above = 27 - 18 * chi - chi**2 + 8 * chi**half
    return above / (32 * ratio * (1 - ratio) ** 3)


def reference(ratio: float, activation: str) -> float:
    """The printed formula in 60 digits, at the ratio that the float stands for exactly."""
    with localcontext() as context:
        context.prec = _DIGITS
        return float(printed(Decimal(ratio), activation))


def _formula_errors(model: str) -> tuple[FloatArray, FloatArray]:
    """Relative errors in float64 of the printed formula and of the closed form used here."""
    ratios = 1 - _CLOSE
    truth = np.array([reference(float(r), model) for r in ratios])
    plain = np.array([printed(float(r), model) for r in ratios])
    return np.abs(plain / truth - 1), np.abs(critical_energy(ratios, model) / truth - 1)


def formula_chart() -> Chart:
    """Relative errors in float64 near ratio one."""
    least = float(np.finfo(np.float64).eps) / 4
    series = tuple(
        curve(
            f"{label}, {name}",
            _CLOSE,
            np.maximum(errors, least),
            hue=hue,
            error="against the printed formula in 60 digits",
        )
        for hue, (model, name) in enumerate(MODELS.items())
        for label, errors in zip(
            ("as printed", "closed form here"), _formula_errors(model), strict=True
        )
    )
    return Chart(
        name="formulas",
        title="Relative error of the printed formulas in float64",
        caption="Both printed formulas subtract nearly equal numbers near ratio one. Errors below "
        "6×10⁻¹⁷ are drawn there.",
        x_label="distance of the ratio from one, 1 − φ",
        y_label="relative error in float64",
        x_scale="log",
        y_scale="log",
        series=series,
    )


def formula_statement() -> Statement:
    """Whether the printed formulas keep ten digits."""
    errors = [_formula_errors(model) for model in MODELS]
    worst, stable = (float(max(e.max() for e in kind)) for kind in zip(*errors, strict=True))
    starts = [float(_CLOSE[int(np.argmax(plain > _FLOAT_ERROR))]) for plain, _ in errors]
    return judge(
        "The printed formulas keep ten digits in float64 up to ratio one.",
        worst <= _FLOAT_ERROR,
        f"errors reach {digits(worst, 2)} and pass 10⁻¹⁰ at distances {between(starts, 2)} "
        f"of the ratio from one; the closed forms used here are off by {digits(stable, 2)} "
        "at most",
        origin=OURS,
        shown="formulas",
        reason="Both formulas subtract nearly equal numbers near ratio one; rounding stays.",
    )

"""Digits that the printed critical energies lose, and the closed forms used here do not."""

from __future__ import annotations

import numpy as np

from hessium._typing import FloatArray
from hessium.figures.formatting import between, digits
from hessium.figures.records import Chart, Series, Statement, judge
from hessium.studies.random_hessian.curves import MODELS
from hessium.studies.random_hessian.printed import printed, reference
from hessium.theory import critical_energy

_FLOAT_ERROR = 1e-10
_CLOSE = 10.0 ** -np.linspace(0.5, 4.5, 33)
"""Distances of the ratio from one at which the formulas are compared."""


def _formula_errors(model: str) -> tuple[FloatArray, FloatArray]:
    """Relative errors in float64 of the printed formula and of the closed form used here."""
    ratios = 1 - _CLOSE
    truth = np.array([reference(float(r), model) for r in ratios])
    plain = np.array([printed(float(r), model) for r in ratios])
    return np.abs(plain / truth - 1), np.abs(critical_energy(ratios, model) / truth - 1)


def formula_chart() -> Chart:
    """Relative errors in float64 on the way to ratio one."""
    series = []
    floor = float(np.finfo(np.float64).eps) / 4
    for hue, (model, name) in enumerate(MODELS.items()):
        plain, stable = _formula_errors(model)
        for label, errors in (("as printed", plain), ("closed form here", stable)):
            series.append(
                Series(
                    label=f"{label}, {name}",
                    x=_CLOSE,
                    y=np.maximum(errors, floor),
                    error="against the printed formula in 60 digits",
                    source="theory",
                    mark="line",
                    hue=hue,
                )
            )
    return Chart(
        name="formulas",
        title="Digits that the printed formulas lose",
        caption=(
            "Both printed formulas subtract nearly equal numbers near ratio one. Errors below "
            "6×10⁻¹⁷ are drawn there."
        ),
        x_label="distance of the ratio from one, 1 − φ",
        y_label="relative error in float64",
        x_scale="log",
        y_scale="log",
        series=tuple(series),
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
    )

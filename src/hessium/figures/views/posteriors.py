"""What the data determine, as charts."""

from __future__ import annotations

import numpy as np

from hessium._typing import IntArray
from hessium.errors import InputError
from hessium.figures.records import Chart, Series
from hessium.posterior import Design, ParameterTable, ProfileLikelihood, TrustRadius

_NAMED = 12  # directions in a caption


def parameters_chart(table: ParameterTable, *, label: str = "parameters") -> Chart:
    """Values with two standard deviations; undetermined ones have no bar and are left out.

    Raises:
        InputError: if no parameter is determined.
    """
    known = np.isfinite(table.std)
    if not known.any():
        msg = "parameters: none is determined, so there is nothing to plot"
        raise InputError(msg)
    at = np.flatnonzero(known)
    value, reach = table.value[at], 2 * table.std[at]
    left_out = int((~known).sum())
    rest = f"{left_out} undetermined parameters are left out." if left_out else ""
    return Chart(
        name="parameters",
        title=f"{at.size} parameters with a finite error",
        caption=f"In the order of the risk. {rest}".strip(),
        x_label="number of the parameter",
        x_ticks=_whole(at + 1),
        y_label="value",
        series=(
            Series(
                label=label,
                x=np.asarray(at + 1.0, dtype=np.float64),
                y=value,
                low=value - reach,
                high=value + reach,
                error="bars of two standard deviations",
                source="measured",
                mark="points",
            ),
        ),
    )


def profile_chart(profile: ProfileLikelihood, *, label: str = "refits") -> Chart:
    """Deviance of refits beside the parabola of the quadratic model."""
    order = np.argsort(profile.at)
    reach = float(np.abs(profile.at).max())
    line = np.linspace(-reach, reach, 101)
    return Chart(
        name="profile-likelihood",
        title=f"Profile likelihood of {profile.label}",
        caption=f"{profile.verdict}.",
        x_label="distance in standard deviations",
        y_label="deviance",
        series=(
            Series(
                label=label, x=profile.at[order], y=profile.deviance[order],
                error="deviances of refits, to within 10⁻⁵",
                source="measured", mark="points",
            ),
            Series(
                label="quadratic model", x=line, y=line**2, error="exact", source="theory",
                mark="line",
            ),
        ),
    )  # fmt: skip


def design_chart(found: Design, *, label: str = "root mean square standard deviation") -> Chart:
    """Error of the predictions after each measurement.

    Raises:
        InputError: if all are undetermined to the end.
    """
    known = np.isfinite(found.rms_std)
    if not known.any():
        msg = "design: predictions stay undetermined, so there is nothing to plot"
        raise InputError(msg)
    return Chart(
        name="design",
        title=f"{found.indices.size} next measurements",
        caption=f"Criterion {found.criterion}, one measurement after the other.",
        x_label="measurements added",
        y_label="standard deviation at the targets / noise",
        series=(
            Series(
                label=label, x=np.flatnonzero(known).astype(np.float64), y=found.rms_std[known],
                error="exact", source="measured", mark="both",
            ),
        ),
    )  # fmt: skip


def radius_chart(found: TrustRadius) -> Chart:
    """Radii of both models and the ends of intervals, by direction; infinite ones are left out.

    Raises:
        InputError: if the models hold everywhere.
    """
    series = []
    for label, radii in (
        ("first-order model", found.first_order),
        ("quadratic model", found.quadratic),
        ("end of the interval", found.needed),
    ):
        known = np.flatnonzero(np.isfinite(radii) & (radii > 0))
        if known.size:
            series.append(
                Series(
                    label=label, x=np.asarray(known + 1.0, dtype=np.float64), y=radii[known],
                    error="known to within 4 %",
                    source="theory" if radii is found.needed else "measured", mark="points",
                )
            )  # fmt: skip
    if not series:
        msg = "trust radius: both models hold everywhere, so there is nothing to plot"
        raise InputError(msg)
    return Chart(
        name="trust-radius",
        title=f"Distance at which a model is off by {100 * found.within:.3g} %",
        caption=f"{found.verdict[0].upper()}{found.verdict[1:]}. Directions: "
        f"{_listed(found.labels)}.",
        x_label="number of the direction",
        x_ticks=_whole(np.arange(1, len(found.labels) + 1)),
        y_label=f"radius, {found.unit}",
        y_scale="log",
        series=tuple(series),
    )


def _whole(numbers: IntArray) -> tuple[float, ...]:
    """Ticks at whole numbers, at most ten of them."""
    return tuple(float(one) for one in numbers[:: -(-numbers.size // 10)])


def _listed(labels: tuple[str, ...]) -> str:
    words = [f"{number} {label}" for number, label in enumerate(labels[:_NAMED], start=1)]
    return ", ".join(words) + (", ..." if len(labels) > _NAMED else "")


VIEWS = {
    "ParameterTable": parameters_chart,
    "ProfileLikelihood": profile_chart,
    "Design": design_chart,
    "TrustRadius": radius_chart,
}

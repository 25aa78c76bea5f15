"""The error of a linearised network as a chart."""

from __future__ import annotations

from hessium.curvature import LinearizationPath
from hessium.figures.records import Chart, Series


def path_chart(path: LinearizationPath) -> Chart:
    """Relative error of the linear model against the distance from its parameters."""
    return Chart(
        name="linearization",
        title="Error of the first-order Taylor model",
        caption=(
            "Error of the outputs relative to their change: 0 for a model that is linear in its "
            "parameters, 1 where constant outputs are as good."
        ),
        x_label="distance |θ − θ₀| / |θ₀|",
        y_label="relative error of the outputs",
        series=(
            Series(
                label="along the path",
                x=path.distance,
                y=path.relative,
                error="exact",
                source="measured",
                mark="both",
            ),
        ),
    )


VIEWS = {"LinearizationPath": path_chart}

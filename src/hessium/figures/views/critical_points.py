"""Critical points as charts."""

from __future__ import annotations

import dataclasses

from hessium.figures.records import Chart
from hessium.figures.views import slices
from hessium.figures.views.numbers import numbers_chart
from hessium.figures.views.spectra import spectrum_chart
from hessium.landscape import CriticalPoint
from hessium.theory import Law


def critical_point_chart(
    point: CriticalPoint, *, law: Law | None = None, label: str = "H"
) -> Chart:
    """The spectrum of the Hessian at the point; index and loss in the title."""
    if point.spectrum is None:
        return numbers_chart(point)
    chart = spectrum_chart(point.spectrum, law=law, label=label)
    title = f"{point.kind} point, index {point.index.bracket}, loss {point.loss:.3g}"
    return dataclasses.replace(chart, name="critical-point", title=title)


VIEWS = {"CriticalPoint": critical_point_chart, **slices.VIEWS}

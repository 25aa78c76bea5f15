"""How many eigenvalues lie where, by sign and size, the zeros in a bin of their own."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from hessium._typing import FloatArray
from hessium.figures.formatting import between, digits
from hessium.figures.records import Chart, Series

_PER_DECADE = 3


def bins(tol: float) -> FloatArray:
    """Ends of bins for eigenvalues over the largest absolute one, from -1 to 1, ascending.

    The middle bin holds |x| <= tol; beyond it lie three bins a decade, those of both signs alike.
    """
    count = max(1, math.ceil(-_PER_DECADE * math.log10(tol)))
    # a bin has its lower end and not its upper one; a zero is what is not beyond tol
    beyond = np.concatenate([[np.nextafter(tol, 1.0)], np.geomspace(tol, 1.0, count + 1)[1:]])
    return np.concatenate([-np.geomspace(tol, 1.0, count + 1)[::-1], beyond])


def histogram_chart(
    spectra: Mapping[str, Sequence[FloatArray]], tol: float, what: str, when: str, name: str
) -> Chart | None:
    """Counts of eigenvalues in bins, over the largest absolute one of their own matrix.

    Args:
        spectra: eigenvalues by the sign of their matrix, one array for each repetition.
        tol: beyond this fraction of the largest an eigenvalue counts as not zero.
        what: what is repeated, such as "3 seeds".
        when: for the heading, such as " after training".
        name: of the chart.

    Returns:
        None where all matrices are zero; one that is zero is left out.
    """
    ends = bins(tol)
    series = []
    for hue, (sign, repeated) in enumerate(spectra.items()):
        scales = [float(np.abs(values).max()) for values in repeated]
        if min(scales) == 0:
            continue
        rows = np.array(
            [np.histogram(v / s, ends)[0] for v, s in zip(repeated, scales, strict=True)],
            dtype=np.float64,
        )
        zeros = rows[:, rows.shape[1] // 2]
        # the last bin ends where the counts fall to none
        table = np.concatenate([rows, np.zeros((len(rows), 1))], axis=1)
        several = len(rows) > 1
        series.append(
            Series(
                label=f"{sign}: {between(zeros, 12)} of {repeated[0].size} within ±{digits(tol)}",
                x=ends,
                y=np.median(table, axis=0),
                low=table.min(axis=0) if several else None,
                high=table.max(axis=0) if several else None,
                error=f"median count, band from least to greatest over {what}"
                if several
                else "counts of exact eigenvalues",
                source="measured",
                mark="steps",
                hue=hue,
            )
        )
    if not series:
        return None
    return Chart(
        name=name,
        title=f"Where the eigenvalues lie{when}",
        caption=(
            "Eigenvalues over the largest absolute one of their matrix, counted in bins: the "
            f"middle bin holds all within ±{digits(tol)}, each of the others a third of a "
            "decade. The counts of a matrix add up to its size. In the numbers below, a bin is "
            "named by its lower end."
        ),
        x_label="eigenvalue / largest |eigenvalue|",
        y_label="eigenvalues in the bin",
        x_scale="symlog",
        x_linear=tol,
        y_scale="symlog",
        series=tuple(series),
    )

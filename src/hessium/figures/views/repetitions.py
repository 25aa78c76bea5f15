"""Repeated measurements, laws and published points as the series of a chart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np

from hessium._typing import AnyArray, FloatArray
from hessium.figures.records import EXACT, Mark, Numbers, Series
from hessium.theory import Law

CHOSEN = "none, a chosen value"
UNPUBLISHED = "published without an error"


def curve(
    label: str, x: Numbers, y: Numbers, *, hue: int | None = None, error: str = EXACT
) -> Series:
    """A line that theory gives.

    Args:
        label: legend entry.
        x: positions, shape (k,).
        y: values, shape (k,).
        hue: number of the colour, None for the next one.
        error: what the error of the values is.
    """
    return Series(
        label=label, x=_floats(x), y=_floats(y), error=error, source="theory", mark="line", hue=hue
    )


def level(
    label: str, x: Numbers, value: float, *, hue: int | None = None, error: str = EXACT
) -> Series:
    """A horizontal line from the first of the positions `x` to the last."""
    ends = _floats(x)[[0, -1]]
    return curve(label, ends, np.full(2, float(value)), hue=hue, error=error)


def density(label: str, law: Law, *, hue: int | None = None, num: int = 241) -> Series:
    """The density of a law from end to end of its support, at `num` points, dense at the ends."""
    low, high = law.support()
    x = low + (high - low) * 0.5 * (1 - np.cos(np.linspace(0, np.pi, num)))
    return curve(label, x, law.pdf(x), hue=hue)


def published(
    label: str,
    x: Numbers,
    y: Numbers,
    *,
    error: str = UNPUBLISHED,
    hue: int | None = None,
    nudge: float = 0.0,
) -> Series:
    """Points from a paper."""
    return Series(
        label=label, x=_floats(x), y=_floats(y), error=error, source="published",
        mark="points", hue=hue, nudge=nudge,
    )  # fmt: skip


def points(
    label: str,
    x: Numbers,
    y: Numbers,
    *,
    error: str,
    hue: int | None = None,
    nudge: float = 0.0,
    ids: tuple[str, ...] = (),
) -> Series:
    """Measured points without bars; `error` says why there are none."""
    return Series(
        label=label, x=_floats(x), y=_floats(y), error=error, source="measured",
        mark="points", hue=hue, nudge=nudge, ids=ids,
    )  # fmt: skip


def histogram(rows: Iterable[FloatArray], edges: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Densities of several spectra in bins of equal width.

    Args:
        rows: eigenvalues, one array for each spectrum.
        edges: of the bins, shape (k + 1,); eigenvalues outside count in the total.

    Returns:
        The middles of the bins, shape (k,), and the densities, shape (spectra, k).
    """
    shares = np.array([np.histogram(row, edges)[0] / row.size for row in rows])
    return 0.5 * (edges[:-1] + edges[1:]), shares / (edges[1] - edges[0])


def mean_and_stderr(samples: Numbers) -> tuple[FloatArray, FloatArray]:
    """Mean over repetitions, the first axis, and its standard error."""
    table = _floats(samples)
    error = table.std(axis=0, ddof=1) / np.sqrt(len(table))
    return np.asarray(table.mean(axis=0)), np.asarray(error)


def with_stderr(
    label: str,
    x: Numbers,
    mean: FloatArray,
    stderr: FloatArray,
    *,
    error: str,
    mark: Mark = "points",
    hue: int | None = None,
    nudge: float = 0.0,
    least: float | None = None,
) -> Series:
    """Measured points with bars of one standard error.

    Args:
        label: legend entry.
        x: positions, shape (k,).
        mean: values, shape (k,).
        stderr: their standard errors, shape (k,).
        error: what the bars are.
        mark: points, or points joined by a line.
        hue: number of the colour, None for the next one.
        nudge: sideways shift, see `Series`.
        least: lower ends and values below it are drawn there, for logarithmic axes.
    """
    low, high = mean - stderr, mean + stderr
    if least is not None:
        low = low.clip(min=least)
        mean, high = mean.clip(min=low), high.clip(min=low)
    return Series(
        label=label, x=_floats(x), y=mean, low=low, high=high, error=error, source="measured",
        mark=mark, hue=hue, nudge=nudge,
    )  # fmt: skip


def ranges(
    label: str,
    x: Numbers,
    groups: Sequence[AnyArray],
    *,
    what: str,
    centre: Literal["median", "mean"] = "median",
    mark: Mark = "points",
    hue: int | None = None,
    nudge: float = 0.0,
) -> Series:
    """Median or mean of repetitions with bars from the least to the greatest.

    Args:
        label: legend entry.
        x: positions, shape (k,).
        groups: the repetitions at each position, k arrays; positions without any are left out.
        what: what the bars extend over, such as "5 seeds".
        centre: what the points are.
        mark: see `Series`.
        hue: number of the colour, None for the next one.
        nudge: sideways shift, see `Series`.
    """
    kept = [(at, group) for at, group in zip(_floats(x), groups, strict=True) if len(group)]
    middle = np.median if centre == "median" else np.mean
    single = all(len(group) == 1 for _, group in kept)
    return Series(
        label=label,
        x=_floats([at for at, _ in kept]),
        y=_floats([middle(group) for _, group in kept]),
        low=None if single else _floats([np.min(group) for _, group in kept]),
        high=None if single else _floats([np.max(group) for _, group in kept]),
        error=f"none, {what}" if single else f"{centre}, bars from least to greatest over {what}",
        source="measured",
        mark=mark,
        hue=hue,
        nudge=nudge,
    )


def _floats(values: Numbers) -> FloatArray:
    return np.asarray(values, dtype=np.float64)

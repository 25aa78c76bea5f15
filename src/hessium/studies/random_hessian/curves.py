"""What the pages on random Hessians share: names of the two models and curves of laws."""

from __future__ import annotations

from hessium._typing import FloatArray
from hessium.figures.records import Series

MODELS = {"linear": "without activation", "relu": "ReLU"}


def law(label: str, x: FloatArray, y: FloatArray, hue: int | None = None) -> Series:
    """A curve that theory knows exactly."""
    return Series(label=label, x=x, y=y, error="exact", source="theory", mark="line", hue=hue)


def means(
    label: str,
    x: FloatArray,
    mean: FloatArray,
    stderr: FloatArray,
    error: str,
    *,
    hue: int | None = None,
    nudge: float | None = None,
    floor: float | None = None,
) -> Series:
    """Points with bars of one standard error; joined if nudged, cut at `floor` for log axes."""
    low, high = mean - stderr, mean + stderr
    if floor is not None:
        low = low.clip(min=floor)
        mean, high = mean.clip(min=low), high.clip(min=low)
    return Series(
        label=label,
        x=x,
        y=mean,
        low=low,
        high=high,
        error=error,
        source="measured",
        mark="points" if nudge is None else "both",
        nudge=nudge or 0.0,
        hue=hue,
    )

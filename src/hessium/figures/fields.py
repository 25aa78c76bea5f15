"""A quantity over a plane, as contours or as cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from hessium._typing import FloatArray
from hessium.errors import InputError

Style: TypeAlias = Literal["contours", "cells"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Field:
    """Values on a rectangular grid; the colours of a chart.

    Attributes:
        label: name and unit of the values, beside the colour bar.
        x, y: coordinates, (n,) and (m,), increasing.
        z: values (m, n), one row for each y.
        log: whether colours follow the logarithm; all values are positive then.
        style: filled contours with lines, interpolated between the values, or one cell a value.
        y_names: names of the rows, in place of numbers; empty for none.
        error: meaning of the errors of the values, or "exact".
        equal: whether the scales of the axes are tied to each other.
        unit_ratio: length of a unit of y over that of a unit of x, where they are tied.
    """

    label: str
    x: FloatArray
    y: FloatArray
    z: FloatArray
    log: bool = False
    style: Style = "contours"
    y_names: tuple[str, ...] = ()
    error: str
    equal: bool = False
    unit_ratio: float = 1.0

    def __post_init__(self) -> None:
        for name in ("x", "y", "z"):
            array = np.array(getattr(self, name), dtype=np.float64)
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        shape = (self.y.size, self.x.size)
        for wrong, message in (
            (self.x.ndim != 1 or self.y.ndim != 1, f"x, y of {self.label!r}: must be (n,), (m,)"),
            (self.z.shape != shape, f"z of {self.label!r}: {self.z.shape} is not {shape}"),
            (not _increasing(self.x) or not _increasing(self.y), "x, y: must increase"),
            (not bool(np.isfinite(self.z).all()), f"z of {self.label!r}: not all finite"),
            (not 0 < self.unit_ratio < np.inf, f"unit_ratio: {self.unit_ratio} is not positive"),
            (self.log and not bool((self.z > 0).all()), "log: values must be positive"),
            (
                len(self.y_names) not in (0, self.y.size),
                f"y_names of {self.label!r}: {len(self.y_names)} for {self.y.size} rows",
            ),
        ):
            if wrong:
                raise InputError(message)


def _increasing(values: FloatArray) -> bool:
    return bool(np.isfinite(values).all() and (np.diff(values) > 0).all())

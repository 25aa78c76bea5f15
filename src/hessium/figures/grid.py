"""A quantity over positions and named rows, drawn as a heat map."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hessium._typing import FloatArray
from hessium.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Grid:
    """Values over positions and named rows.

    Attributes:
        x: positions, ascending, shape (k,).
        rows: names of the rows, from top to bottom.
        values: shape (rows, k); NaN is left white.
        label: of the values.
    """

    x: FloatArray
    rows: tuple[str, ...]
    values: FloatArray
    label: str

    def __post_init__(self) -> None:
        shape = (len(self.rows), np.size(self.x))
        if np.shape(self.values) != shape or not all(shape):
            msg = f"values: shape {np.shape(self.values)}; {shape} is required, and not empty"
            raise InputError(msg)

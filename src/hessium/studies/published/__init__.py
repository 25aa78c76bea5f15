"""Numbers from papers, as small CSV files that name their paper."""

from __future__ import annotations

import csv
from importlib.resources import files

import numpy as np

from hessium._typing import FloatArray
from hessium.errors import InputError


def column_table(name: str) -> dict[str, FloatArray]:
    """The columns of a published table; lines that start with # name the paper.

    Raises:
        InputError: if there is no such table.
    """
    path = files(__name__) / f"{name}.csv"
    if not path.is_file():
        msg = f"name: {name!r}; no such table is shipped"
        raise InputError(msg)
    lines = [line for line in path.read_text("utf-8").splitlines() if not line.startswith("#")]
    rows = list(csv.DictReader(lines))
    return {key: np.array([float(row[key]) for row in rows]) for key in rows[0]}

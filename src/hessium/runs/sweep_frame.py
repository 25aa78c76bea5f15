"""A sweep as a table."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from hessium.errors import InputError
from hessium.runs.point_store import stores

if TYPE_CHECKING:
    import pandas as pd


def load_sweep(path: str | os.PathLike[str]) -> pd.DataFrame:
    """All points of a sweep, one row each, by id; also while it runs.

    Columns are what the task says (ratio, method, seed, target, ...) and what came out (kind,
    energy, index, index_lower, index_upper, radius, ...). Spectra and parameters are beside the
    database, in `arrays/ID.npz`.

    Args:
        path: a run directory, a folder with a `points.sqlite`, or that file.

    Raises:
        InputError: if there is no sweep, or pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError as error:
        msg = "pandas: not installed; `pip install 'hessium[dataframe]'` brings it"
        raise InputError(msg) from error
    rows = [row for store in stores(Path(path), "path") for row in store.rows()]
    return pd.DataFrame(rows).set_index("id") if rows else pd.DataFrame()

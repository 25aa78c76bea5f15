"""The finished tasks of a run: all of them as a table, or one by its id."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hessium.errors import InputError
from hessium.runs.result_store import Store

if TYPE_CHECKING:
    import pandas as pd


def stores(path: Path, argument: str = "STORE") -> list[Store]:
    """The result stores at a path: a run directory, or one folder of its tasks.

    Raises:
        InputError: if nothing is stored there.
    """
    tasks = sorted((path / "tasks").glob("*/")) or [path]
    folders = [folder for task in tasks for folder in (task, task / "arrays")]
    if found := [store for store in map(Store, folders) if store.names()]:
        return found
    msg = f"{argument}: {path} has no finished task in it; give a run directory"
    raise InputError(msg)


def find_point(path: Path, start: str) -> dict[str, Any]:
    """The one finished task whose id starts with `start`, with its arrays.

    Raises:
        InputError: if there is none, or there are several.
    """
    found = [(s, name) for s in stores(path) for name in s.names() if name.startswith(start)]
    rows = [row for s, name in found if (row := s.row(name, with_arrays=True)) is not None]
    if len(rows) != 1:
        what = f"{len(rows)} points start so; give more of it" if rows else "no such point"
        msg = f"ID: {start!r}; {what}"
        raise InputError(msg)
    return rows[0]


def load_sweep(path: str | os.PathLike[str]) -> pd.DataFrame:
    """All finished tasks of a run as a table, one row each, by id; also while it runs.

    For a sweep the columns are the fields of the task (ratio, method, seed, target, ...) and of the
    result (kind, energy, index, index_lower, index_upper, radius, ...). Arrays such as spectra are
    in the files `tasks/EXPERIMENT/arrays/ID.npz`, which `numpy.load` opens.

    Args:
        path: a run directory, or one folder `tasks/EXPERIMENT` in it.

    Raises:
        InputError: if nothing is stored there, or pandas is not installed.

    Example:
        >>> import tempfile
        >>> try:
        ...     hs.load_sweep(tempfile.mkdtemp())
        ... except hs.errors.InputError as error:
        ...     print(str(error).split(':')[0])
        path
    """
    try:
        import pandas as pd
    except ImportError as error:
        msg = "pandas: not installed; `pip install 'hessium[dataframe]'` brings it"
        raise InputError(msg) from error
    rows = [row for store in stores(Path(path), "path") for row in store.rows()]
    return pd.DataFrame(rows).set_index("id") if rows else pd.DataFrame()

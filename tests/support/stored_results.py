"""Everything that a run directory stores, without times, so that two runs can be compared."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

TIMES = ("cpu", "seconds", "product_seconds", "least")


def stored_results(run: Path) -> dict[str, Any]:
    """All that is stored, by name: arrays bit for bit, numbers, points; but for times."""
    found: dict[str, Any] = {}
    for path in run.rglob("*.npz"):
        with np.load(path, allow_pickle=False) as file:
            content: dict[str, Any] = {k: file[k] for k in file.files if k not in TIMES}
        document = json.loads(str(content.pop("__json__", "{}")))
        arrays = {k: (str(v.dtype), v.shape, v.tobytes()) for k, v in content.items()}
        found[str(path.relative_to(run))] = arrays, untimed(document)
    for path in run.rglob("points.sqlite"):
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=20)) as connection:
            if connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,):
                continue  # killed before its first row
            query = "SELECT key, experiment, task, code, arrays, result FROM points"
            for name, *columns, result in connection.execute(query):
                rest = {k: v for k, v in json.loads(result).items() if k != "__seal__"}
                found[name] = columns, untimed(rest)
    return found


def untimed(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: untimed(v) for k, v in value.items() if k not in TIMES}
    return value

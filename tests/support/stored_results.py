"""Everything that a run directory stores, without times, so that two runs can be compared."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

TIMES = ("cpu", "seconds", "product_seconds", "least", "finished", "seal")


def stored_results(run: Path) -> dict[str, Any]:
    """All that is stored, by file: arrays bit for bit, and documents, but for times."""
    found: dict[str, Any] = {}
    for path in run.rglob("*.npz"):
        with zipfile.ZipFile(path) as archive:
            members = archive.namelist()
            text = archive.read("document.json") if "document.json" in members else b"{}"
        with np.load(path, allow_pickle=False) as file:
            content = {k: file[k] for k in file.files if k not in (*TIMES, "document.json")}
        arrays = {k: (str(v.dtype), v.shape, v.tobytes()) for k, v in content.items()}
        found[str(path.relative_to(run))] = arrays, untimed(json.loads(text))
    return found


def untimed(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: untimed(v) for k, v in value.items() if k not in TIMES}
    return value

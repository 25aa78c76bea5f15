"""Measured spectra of run directories, small enough to travel inside a page."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from hessium._typing import FloatArray
from hessium.errors import InputError
from hessium.figures.records import Section
from hessium.runs.run_directory import RunDirectory

MATRICES = ("hessian", "gauss_newton", "residual")
# eigenvalues, or quadrature nodes with their weights, by matrix
Spectra: TypeAlias = Mapping[str, tuple[FloatArray, FloatArray | None]]

_ARGUMENT = "--overlay"
_ENDS = 50  # eigenvalues at each end that are never joined
_MOST_VALUES = 18_000  # of all spectra of a page
_LARGEST = 2**28  # bytes of one file of arrays


def overlays(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """What the page shows of each run directory: label, ratio, and the spectra of H, H0 and H1.

    Args:
        paths: run directories that `hessium spectrum` or `hessium compare` wrote.

    Raises:
        InputError: if a path is not a run directory, or contains no spectrum of a Hessian.
    """
    found = [
        (section, spectra)
        for path in paths
        for section, spectra in _measured(path, RunDirectory.open(path, _ARGUMENT).sections())
    ]
    most = max(2 * _ENDS + 40, _MOST_VALUES // max(sum(len(one) for _, one in found), 1))
    return [_record(section, spectra, most) for section, spectra in found]


def _measured(path: Path, sections: Sequence[Section]) -> list[tuple[Section, Spectra]]:
    """The sections with spectra of a Hessian, and these."""
    found = [(section, _spectra(path, section)) for section in sections]
    found = [(section, spectra) for section, spectra in found if spectra]
    if not found:
        msg = (
            f"{_ARGUMENT}: {path} holds no spectrum of a Hessian; give a directory that "
            "`hessium spectrum` or `hessium compare` wrote"
        )
        raise InputError(msg)
    return found


def _spectra(path: Path, section: Section) -> Spectra:
    """What the arrays of a section hold."""
    place = path / "arrays" / f"{section.experiment}.npz"
    if not place.is_file():
        return {}
    result: dict[str, tuple[FloatArray, FloatArray | None]] = {}
    try:
        if place.stat().st_size > _LARGEST:
            msg = f"{_ARGUMENT}: {place} has {place.stat().st_size} bytes; at most {_LARGEST}"
            raise InputError(msg)
        with np.load(place, allow_pickle=False) as arrays:
            for name in MATRICES:
                if name in arrays:
                    result[name] = _checked(place, name, arrays[name]), None
                elif f"{name}_nodes" in arrays:
                    nodes = _checked(place, name, arrays[f"{name}_nodes"])
                    result[name] = nodes, _checked(place, name, arrays[f"{name}_weights"])
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        reason = str(error).splitlines()[0]
        msg = f"{_ARGUMENT}: {place} cannot be read ({reason}); make the run again"
        raise InputError(msg) from error
    return result


def _checked(place: Path, name: str, values: Any) -> FloatArray:
    array = np.asarray(values)
    if array.ndim != 1 or not array.size or array.dtype.kind not in "fiu":
        msg = f"{_ARGUMENT}: {place}: {name} of shape {array.shape}; a list of numbers is required"
        raise InputError(msg)
    numbers = np.asarray(array, dtype=np.float64)
    if not np.isfinite(numbers).all():
        msg = f"{_ARGUMENT}: {place}: {name} holds infinities or NaN; finite numbers are required"
        raise InputError(msg)
    return numbers


def _record(section: Section, spectra: Spectra, most: int) -> dict[str, Any]:
    parts, joined = {}, False
    for name, (values, weights) in spectra.items():
        parts[name], short = thinned(values, weights, most)
        joined |= short
    note = (
        f"Of large spectra the page holds {_ENDS} eigenvalues at each end and means of neighbours "
        "between them."
    )
    estimated = any(weights is not None for _, weights in spectra.values())
    return {
        "label": section.title,
        "ratio": _ratio(section.config),
        "note": (note if joined else "")
        + (" Estimated from quadrature nodes with weights." if estimated else ""),
        "spectra": parts,
    }


def _ratio(config: Mapping[str, Any]) -> float | None:
    """Parameters over samples times outputs, where the run says them."""
    try:
        parameters, outputs = float(config["parameters"]), float(config["outputs"])
    except (KeyError, TypeError, ValueError):
        return None
    return parameters / outputs if parameters > 0 and outputs > 0 else None


def thinned(
    values: FloatArray, weights: FloatArray | None, most: int
) -> tuple[dict[str, list[float]], bool]:
    """Values in ascending order, with weights where they differ; neighbours joined if too many.

    A group has the mean of its values and the sum of their weights, so that the mean of the
    spectrum stays as it is.

    Args:
        values: eigenvalues or nodes.
        weights: of nodes; None for eigenvalues.
        most: the number of values that may remain.

    Returns:
        The record, and whether values were joined.
    """
    order = np.argsort(values)
    x = values[order]
    w = np.ones(x.size) if weights is None else weights[order]
    short = x.size > most
    if short:
        inner = np.linspace(_ENDS, x.size - _ENDS, most - 2 * _ENDS + 1).round().astype(np.int64)
        starts = np.concatenate([np.arange(_ENDS), inner[:-1], np.arange(x.size - _ENDS, x.size)])
        total = np.add.reduceat(w, starts)
        safe = np.where(total > 0, total, 1.0)
        x, w = np.add.reduceat(w * x, starts) / safe, total
    record = {"values": [float(f"{v:.6g}") for v in x]}
    if short or weights is not None:
        record["weights"] = [float(f"{v:.5g}") for v in w]
    return record, short

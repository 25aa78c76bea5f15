"""The numbers of a result as columns of a table."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from hessium.errors import InputError

if TYPE_CHECKING:
    import pandas as pd


# results that are arrays, by their columns, and results that are lists of other results
_COLUMNS = {
    "Spectrum": ("nodes", "weights"),
    "DiscreteMeasure": ("nodes", "weights"),
    "Band": ("x", "value", "lower", "upper", "algorithmic"),
    "RankProfile": ("tol", "positive", "negative", "rank", "lower", "upper"),
    "Eigenpairs": ("values", "residuals", "converged", "multiplicity_known"),
    "DiagonalEstimate": ("value", "stderr"),
    "LinearizationPath": ("distance", "absolute", "relative", "loss", "linear_loss"),
    "Cumulants": ("moments", "moment_errors", "free", "free_errors"),
}
_TABLES = (
    "Profile",
    "Audit",
    "TermCurvature",
    "CheckpointSeries",
    "Identification",
)  # with a method `rows`
_ROWS = {"Assumptions": ("checks",), "Symmetries": ("parts",), "Outliers": ("above", "below")}


def frame_of(result: Any) -> pd.DataFrame:
    """A pandas data frame of a result.

    A result of arrays has them as columns, a list of results one row for each; every other result
    becomes one row of its numbers, those of nested results with their name in front.

    Raises:
        InputError: if pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError as error:
        msg = "to_dataframe: pandas is not installed; pip install 'hessium[dataframe]' does that"
        raise InputError(msg) from error
    return pd.DataFrame(columns_of(result))


def columns_of(result: Any) -> dict[str, list[Any]]:
    """Columns by name, of equal length."""
    name = type(result).__name__
    if name in _COLUMNS:
        return {column: list(plain(getattr(result, column))) for column in _COLUMNS[name]}
    if name in _ROWS:
        rows = [
            {"part": part} | scalars_of(row)
            for part in _ROWS[name]
            for row in getattr(result, part)
        ]
        if rows:
            return {column: [row[column] for row in rows] for column in rows[0]}
    if name in ("LossSlice", "LossPath"):
        return {column: array.tolist() for column, array in result.columns.items()}
    if name in _TABLES:
        rows = result.rows()
        if rows:
            return {column: [row[column] for row in rows] for column in rows[0]}
    return {column: [value] for column, value in scalars_of(result).items()}


def fields_of(result: Any) -> dict[str, Any]:
    """Public fields of a result by name, tensors as arrays."""
    return {
        field.name: plain(getattr(result, field.name))
        for field in dataclasses.fields(result)
        if not field.name.startswith("_")
    }


def scalars_of(result: Any, prefix: str = "") -> dict[str, Any]:
    """Numbers and words of a result, those of nested results with their name in front."""
    fields = fields_of(result)
    found: dict[str, Any] = {}
    if "value" not in fields and isinstance(getattr(result, "value", None), float):
        found[f"{prefix}value"] = result.value
    for name, value in fields.items():
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            found |= scalars_of(value, f"{prefix}{name}.")
        elif isinstance(value, Mapping):
            for key, part in value.items():
                if dataclasses.is_dataclass(part) and not isinstance(part, type):
                    found |= scalars_of(part, f"{prefix}{key}.")
        elif value is None or isinstance(value, (bool, int, float, str, np.generic)):
            found[f"{prefix}{name}"] = value
    return found


def plain(value: Any) -> Any:
    """Tensors as NumPy arrays, everything else as it is."""
    detach = getattr(value, "detach", None)
    if detach is None:
        return value
    tensor = detach().cpu()
    return (tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor).numpy()

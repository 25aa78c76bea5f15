"""The numbers of a result as columns of a table."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from hessium.errors import InputError

if TYPE_CHECKING:
    import pandas as pd


def frame_of(result: Any) -> pd.DataFrame:
    """A pandas data frame of a result.

    Arrays and tuples of one length become columns; a tuple of results becomes one row each; a
    result of scalars becomes one row, nested results with their name in front.

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
    fields = fields_of(result)
    rows = next((v for v in fields.values() if _records(v)), None)
    if rows is not None:
        found = [scalars_of(row) for row in rows]
        return {name: [one.get(name) for one in found] for name in found[0]}
    columns = {name: list(v) for name, v in fields.items() if _is_column(v)}
    if columns:
        length = len(next(iter(columns.values())))
        return {name: column for name, column in columns.items() if len(column) == length}
    return {name: [value] for name, value in scalars_of(result).items()}


def fields_of(result: Any) -> dict[str, Any]:
    """Public fields of a result by name, tensors as arrays."""
    return {
        field.name: plain(getattr(result, field.name))
        for field in dataclasses.fields(result)
        if not field.name.startswith("_")
    }


def scalars_of(result: Any, prefix: str = "") -> dict[str, Any]:
    """Numbers and words of a result, those of nested results with their name in front."""
    found: dict[str, Any] = {}
    for name, value in fields_of(result).items():
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


def _is_column(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return value.ndim == 1 and value.size > 0
    return isinstance(value, tuple) and bool(value) and all(np.isscalar(v) for v in value)


def _records(value: Any) -> bool:
    return isinstance(value, tuple) and bool(value) and all(map(dataclasses.is_dataclass, value))

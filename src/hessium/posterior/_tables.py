"""Columns of a result as a data frame, and as HTML for notebooks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from hessium.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

Columns = Mapping[str, Sequence[Any]]
_ROWS = 40  # of a table in a notebook


def frame(columns: Columns) -> pd.DataFrame:
    """A pandas data frame.

    Raises:
        InputError: if pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError as error:
        msg = "to_dataframe: pandas is not installed; pip install 'hessium[dataframe]' does that"
        raise InputError(msg) from error
    return pd.DataFrame({name: list(values) for name, values in columns.items()})


def html(sentence: str, columns: Columns) -> str:
    """A sentence and a table below it."""
    rows = list(zip(*columns.values(), strict=True))
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(_cell(value))}</td>" for value in row) + "</tr>"
        for row in rows[:_ROWS]
    )
    more = f"<p>and {len(rows) - _ROWS} more rows</p>" if len(rows) > _ROWS else ""
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f"<p>{escape(sentence)}</p>{table if rows else ''}{more}"


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)

"""Records written to a file, each before the training goes on."""

from __future__ import annotations

import csv
import importlib
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hessium._extras import missing
from hessium._files import replace_atomically
from hessium.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

Row = Mapping[str, Any]

_PARQUET = (".parquet", ".pq")
_NOT_REAL = ("step", "mode", "restarted", "reason", "bound_steps", "num_matvecs")


class Log(ABC):
    """A file with one row a record; a run that is killed keeps all rows but the one being written.

    A file of another run at the same place is kept under a new name.

    Args:
        path: of the file.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._mine = False

    def append(self, row: Row) -> None:
        """Write one row more."""
        if not self._mine:
            self.begin([])
        self._append(row)

    def begin(self, rows: Iterable[Row], *, continues: bool = False) -> None:
        """Start with some rows.

        Args:
            rows: of the records so far.
            continues: whether the file is of this run, so that it may be replaced.
        """
        self._mine = True
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.exists() and not continues:
            number = 1
            while (kept := self.path.with_name(f"{self.path.name}.{number}")).exists():
                number += 1
            self.path.rename(kept)
        self._begin(list(rows))

    @abstractmethod
    def _append(self, row: Row) -> None: ...

    @abstractmethod
    def _begin(self, rows: list[Row]) -> None: ...


class CsvLog(Log):
    """A CSV file, to which rows are appended.

    Raises:
        InputError: for the name of a Parquet file.
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__(path)
        if self.path.suffix.lower() in _PARQUET:
            msg = f"csv: {self.path} is the name of a Parquet file; give parquet={str(path)!r}"
            raise InputError(msg)

    def _append(self, row: Row) -> None:
        with self.path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(row))
            if file.tell() == 0:
                writer.writeheader()
            writer.writerow(row)
            file.flush()
            os.fsync(file.fileno())

    def _begin(self, rows: list[Row]) -> None:
        replace_atomically(self.path, lambda path: _write_csv(path, rows))


class ParquetLog(Log):
    """A Parquet file, which is written whole with each record: the format has no rows to append to.

    At any time the file is complete. A thousand records of 20 columns take some 10 ms.

    Raises:
        InputError: if pandas or pyarrow is not installed.
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__(path)
        for package in ("pandas", "pyarrow"):
            try:
                importlib.import_module(package)
            except ImportError as error:
                raise (missing("parquet", error) or error) from error
        self._rows: list[Row] = []

    def _append(self, row: Row) -> None:
        self._begin([*self._rows, row])

    def _begin(self, rows: list[Row]) -> None:
        self._rows = rows
        if rows:
            replace_atomically(
                self.path,
                lambda path: table_of(rows, "parquet").to_parquet(
                    path, engine="pyarrow", index=False
                ),
            )


def logs_of(csv: str | Path | None, parquet: str | Path | None) -> list[Log]:
    """The files that were asked for.

    Raises:
        InputError: as the classes.
    """
    found: list[Log] = [] if csv is None else [CsvLog(csv)]
    return found if parquet is None else [*found, ParquetLog(parquet)]


def table_of(rows: Sequence[Row], what: str) -> pd.DataFrame:
    """Rows as a data frame; what is not known is NaN.

    Args:
        rows: of records, with the same columns.
        what: needs it, for the error.

    Raises:
        InputError: if pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise (missing(what, error) or error) from error
    frame = pd.DataFrame(list(rows))
    real = [name for name in frame.columns if name not in _NOT_REAL]
    return frame.replace({name: {"": None} for name in real}).astype(dict.fromkeys(real, float))


def _write_csv(path: Path, rows: Sequence[Row]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        if rows:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)

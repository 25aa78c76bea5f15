"""Records appended to a CSV file, each before the training goes on."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hessium.errors import InputError


class Log:
    """A CSV file; a run that is killed keeps all rows but the one being written.

    A file of another run at the same place is kept under a new name.

    Args:
        path: of the file.

    Raises:
        InputError: for the name of a Parquet file, to which rows cannot be appended.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if self.path.suffix.lower() in (".parquet", ".pq"):
            msg = f"csv: {self.path} is the name of a Parquet file; name a .csv file, and write "
            raise InputError(msg + "monitor.to_dataframe().to_parquet(path) after the training")
        self._mine = False

    def append(self, row: Mapping[str, Any]) -> None:
        """Write one row, and the header before the first one."""
        if not self._mine:
            self.begin([])
        with self.path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(row))
            if file.tell() == 0:
                writer.writeheader()
            writer.writerow(row)
            file.flush()
            os.fsync(file.fileno())

    def begin(self, rows: Iterable[Mapping[str, Any]], *, continues: bool = False) -> None:
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
        rows = list(rows)
        beside = self.path.with_name(f"{self.path.name}.new")
        with beside.open("w", newline="", encoding="utf-8") as file:
            if rows:
                writer = csv.DictWriter(file, list(rows[0]))
                writer.writeheader()
                writer.writerows(rows)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self.path)

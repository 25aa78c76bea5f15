"""The points of a sweep in one SQLite file, arrays beside it; killed at any time, it is whole."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from hessium.errors import InputError
from hessium.runs.codec import encode
from hessium.runs.experiment import Result
from hessium.runs.result_store import (
    About,
    CorruptTaskWarning,
    Results,
    Store,
    require_mark,
    warn_again,
)

_T = TypeVar("_T")
FILE = "points.sqlite"
_SCHEMA = 1
_SEAL = "__seal__"  # beside the numbers of a result
_WAIT = 60.0  # seconds for another sweep to finish its row
_TABLE = f"""
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS points (
    key TEXT PRIMARY KEY, experiment TEXT NOT NULL, task TEXT NOT NULL, result TEXT NOT NULL,
    arrays INTEGER NOT NULL, code TEXT NOT NULL, finished TEXT NOT NULL
) WITHOUT ROWID;
PRAGMA user_version = {_SCHEMA};
COMMIT;
"""


class SweepStore(Results):
    """Finished points by content: task, result, code version; spectra in `arrays/KEY.npz`.

    A row is written, in one transaction, after its arrays are on disk, so every row is complete.
    It is sealed by a hash of all its columns, and its arrays hold its key, so that rows and files
    that were exchanged or edited are not taken for results.

    The journal is a write-ahead log: readers look on while a sweep writes, two sweeps take turns,
    and a process that is killed leaves nothing half done.

    Args:
        folder: holds the file and the arrays; made on the first write.
        mark: a file that must be there at each write, if any.
    """

    def __init__(self, folder: Path, mark: Path | None = None) -> None:
        self.folder, self._mark = folder, mark
        self._arrays = Store(folder / "arrays")

    @property
    def path(self) -> Path:
        """The database."""
        return self.folder / FILE

    def load(self, name: str) -> dict[str, Any] | None:
        """The result kept as `name`, with its arrays; None, with a warning, if it is not valid."""
        found = self._select(
            "SELECT key, experiment, task, result, code, arrays FROM points WHERE key = ?", name
        )
        if not found:
            return None
        *row, has_arrays = found[0]
        rest, seal = _opened(row)
        if rest is None or seal is not True:
            warn_again(f"point {name}", "its row is not as it was written")
            return None
        if not has_arrays:
            return rest
        arrays = self._arrays.load(name)
        if arrays is None:
            if not self._arrays.path(name).exists():
                warn_again(f"point {name}", f"{self._arrays.path(name)} is gone")
            return None
        return arrays | rest

    def save(self, name: str, result: Result, about: About | None = None) -> None:
        """Arrays first, then the row; an earlier row of the same name is replaced."""
        require_mark(self._mark)
        arrays = {k: v for k, v in result.items() if isinstance(v, np.ndarray)}
        rest = {k: encode(v) for k, v in result.items() if k not in arrays}
        self.folder.mkdir(parents=True, exist_ok=True)
        if arrays:
            self._arrays.save(name, arrays)
        task = json.dumps(encode(about.task) if about else {}, allow_nan=False)
        experiment, code = (about.experiment, about.code) if about else ("", "")
        rest[_SEAL] = _seal(name, experiment, task, rest, code)
        row = (
            name,
            experiment,
            task,
            json.dumps(rest, allow_nan=False),
            int(bool(arrays)),
            code,
            datetime.now(UTC).isoformat(timespec="seconds"),
        )

        def write(connection: sqlite3.Connection) -> None:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.executescript(_TABLE)
            connection.execute("INSERT OR REPLACE INTO points VALUES (?,?,?,?,?,?,?)", row)

        self._run("mode=rwc", write)

    def tidy(self) -> None:
        """Remove states of computations that are not under way any more."""
        self._arrays.tidy()

    def rows(self) -> Iterator[dict[str, Any]]:
        """All points, oldest key first: `id`, the fields of the task, those of the result."""
        columns = "key, experiment, task, result, code"
        for *row, finished in self._select(f"SELECT {columns}, finished FROM points ORDER BY key"):
            key, experiment, task, _, code = row
            rest, seal = _opened(row)
            if rest is None or seal is False:
                warnings.warn(
                    f"point {key} is left out: its row is not as it was written",
                    CorruptTaskWarning,
                    stacklevel=2,
                )
                continue
            about = {"id": key, "experiment": experiment, "code": code, "finished": finished}
            # a task and a result may share a name, such as the method: the result is the truth
            yield about | json.loads(task) | rest

    def _select(self, query: str, *values: str) -> list[Any]:
        """All rows at once: a reader must not stand in the way of a sweep that writes."""
        if not self.path.is_file():
            return []

        def read(connection: sqlite3.Connection) -> list[Any]:
            connection.execute("BEGIN")  # another process may make the tables in the meantime
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            if version == 0 and tables == 0:  # killed before its first row
                return []
            if version != _SCHEMA:
                msg = f"{self.path}: not a sweep of schema {_SCHEMA}"
                raise InputError(msg)
            return connection.execute(query, values).fetchall()

        try:
            return self._run("mode=ro", read)
        except OSError:
            # WAL readers write beside the file; in a folder without rights, with nothing pending
            # beside it and nobody writing, the file alone is the whole store
            if self.path.with_name(f"{FILE}-wal").exists() or os.access(self.path.parent, os.W_OK):
                raise
            return self._run("immutable=1", read)

    def _run(self, how: str, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """Do some work with a connection, again while another process locks the file.

        SQLite itself waits for rows of others, but not while the journal is switched to a log, or
        while the last other process takes the log away.
        """
        end = time.monotonic() + _WAIT
        address = f"{self.path.absolute().as_uri()}?{how}"
        while True:
            try:
                with closing(
                    sqlite3.connect(address, uri=True, timeout=_WAIT, isolation_level=None)
                ) as connection:
                    return work(connection)
            except sqlite3.DatabaseError as error:
                # the rest of the program knows OSError
                if (
                    getattr(error, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_BUSY
                    or time.monotonic() > end
                ):
                    raise OSError(0, str(error), str(self.path)) from error
                time.sleep(0.01)


def _seal(key: str, experiment: str, task: str, rest: Mapping[str, Any], code: str) -> str:
    content = json.dumps([key, experiment, task, rest, code], sort_keys=True, allow_nan=False)
    return hashlib.sha256(content.encode()).hexdigest()[:32]


def _opened(row: Sequence[str]) -> tuple[dict[str, Any] | None, bool | None]:
    """The result of a row, None if it is none, and whether the seal fits; None without a seal.

    Versions before the seal wrote none: readers take such rows, a run computes them again.
    """
    key, experiment, task, result, code = row
    try:
        rest = json.loads(result)
        seal = rest.pop(_SEAL, None)
        fits = None if seal is None else seal == _seal(key, experiment, task, rest, code)
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None, None
    return rest, fits


def stores(path: Path, argument: str = "STORE") -> list[SweepStore]:
    """The sweeps at a path: a database, its folder, or a run directory.

    Raises:
        InputError: if there is none.
    """
    if path.is_file():
        return [SweepStore(path.parent)]
    found = [path] if (path / FILE).is_file() else []
    found += sorted(p.parent for p in (path / "tasks").glob(f"*/{FILE}"))
    if not found:
        msg = f"{argument}: {path} has no sweep in it ({FILE}, or tasks/*/{FILE})"
        raise InputError(msg)
    return [SweepStore(folder) for folder in found]


def find_point(path: Path, start: str) -> dict[str, Any]:
    """The one point whose id starts so, with its arrays.

    Raises:
        InputError: if there is no sweep at `path`, or no such point in it, or several.
    """
    found = [
        (store, row)
        for store in stores(path)
        for row in store.rows()
        if row["id"].startswith(start)
    ]
    if len(found) != 1:
        what = f"{len(found)} points start so; give more of it" if found else "no such point"
        msg = f"ID: {start!r}; {what}"
        raise InputError(msg)
    store, row = found[0]
    return row | (store.load(row["id"]) or {})

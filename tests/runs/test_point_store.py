"""The database of a sweep under real processes: killed, side by side, without room or rights."""

from __future__ import annotations

import functools
import os
import resource
import signal
import sqlite3
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hessium.errors import InputError
from hessium.runs.experiment import Experiment
from hessium.runs.point_store import SweepStore, find_point, stores
from hessium.runs.result_store import About, CorruptTaskWarning
from hessium.runs.runner import run
from hessium.studies.critical_points.config import CriticalPointsConfig
from hessium.studies.critical_points.fig6 import SWEEP
from support.toy_experiment import ToyConfig, toy

ABOUT = About(experiment="toy", task={"size": 3, "ratio": 0.5}, code="c0de")
RESULT = {"kind": "critical", "energy": 0.25, "index": 7, "spectrum": np.arange(5.0)}


def points(pause: float = 0.0, seeds: int = 2) -> tuple[Experiment[ToyConfig], ToyConfig]:
    experiment = replace(toy(pause=pause), points=True)
    config = ToyConfig(sizes=tuple(range(4, 14)), seeds=tuple(range(seeds)), pause=pause)
    return experiment, config


def table(folder: Path) -> list[dict[str, Any]]:
    """All rows, without what depends on the clock."""
    clock = {"finished", "seconds", "cpu"}
    return [{k: v for k, v in row.items() if k not in clock} for row in SweepStore(folder).rows()]


def in_process(work: Callable[[], object]) -> int:
    """Start a real process that does some work; its id."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of fork beside threads
        child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return child


def sweep(folder: Path, pause: float = 0.0, seeds: int = 2) -> None:
    experiment, config = points(pause, seeds)
    run(experiment, config, SweepStore(folder))


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    store = SweepStore(tmp_path / "deep")
    assert store.load("a") is None
    store.save("abc", RESULT, ABOUT)
    loaded = store.load("abc")
    assert loaded is not None
    np.testing.assert_array_equal(loaded.pop("spectrum"), RESULT["spectrum"])
    assert loaded == {"kind": "critical", "energy": 0.25, "index": 7}
    (row,) = store.rows()
    assert (row["id"], row["ratio"], row["kind"], row["code"]) == ("abc", 0.5, "critical", "c0de")
    store.save("abc", RESULT | {"index": 8}, ABOUT)
    assert [row["index"] for row in store.rows()] == [8]
    with closing(sqlite3.connect(store.path)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    with pytest.raises(ValueError, match="JSON"):
        store.save("nan", {"energy": float("nan")}, ABOUT)


def test_one_point_by_the_start_of_its_id(tmp_path: Path) -> None:
    store = SweepStore(tmp_path / "tasks" / "toy")
    for name in ("abc1", "abd2"):
        store.save(name, RESULT, ABOUT)
    assert find_point(tmp_path, "abc")["id"] == "abc1"
    assert find_point(store.path, "abd")["spectrum"].size == 5
    with pytest.raises(InputError, match="ID: 'ab'; 2 points start so"):
        find_point(tmp_path, "ab")
    with pytest.raises(InputError, match="ID: 'x'; no such point"):
        find_point(tmp_path, "x")
    with pytest.raises(InputError, match="has no sweep in it"):
        stores(tmp_path / "tasks" / "other")


@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_lost_arrays_are_computed_again(tmp_path: Path, damage: str) -> None:
    sweep(tmp_path)
    path = next(iter((tmp_path / "arrays").iterdir()))
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:20])
    else:
        path.unlink()
    experiment, config = points()
    with pytest.warns(CorruptTaskWarning):
        outcome = run(experiment, config, SweepStore(tmp_path))
    assert (outcome.computed, outcome.reused) == (1, 19)


EDITS = [
    *(
        f"UPDATE points SET {column} = (SELECT {column} FROM points ORDER BY key DESC LIMIT 1)"
        for column in ("task", "result")
    ),
    "UPDATE points SET code = 'other'",
    "UPDATE points SET experiment = 'other'",
    """UPDATE points SET result = replace(result, '"largest": ', '"largest": 1')""",
    "UPDATE points SET result = '[]'",
    "UPDATE points SET result = '{'",
    "UPDATE points SET result = 3",
]


@pytest.mark.parametrize("edit", EDITS, ids=range(len(EDITS)))
def test_a_row_that_was_edited_or_exchanged_is_computed_again(tmp_path: Path, edit: str) -> None:
    sweep(tmp_path)
    whole = table(tmp_path)
    victim = whole[0]["id"]
    with closing(sqlite3.connect(tmp_path / "points.sqlite")) as connection:
        connection.execute(f"{edit} WHERE key = ?", (victim,))
        connection.commit()
    with pytest.warns(CorruptTaskWarning, match=f"point {victim} is left out"):
        assert [row["id"] for row in table(tmp_path)] == [row["id"] for row in whole[1:]]
    experiment, config = points()
    with pytest.warns(CorruptTaskWarning, match=f"point {victim} cannot be used"):
        outcome = run(experiment, config, SweepStore(tmp_path))
    assert (outcome.computed, outcome.reused) == (1, 19)
    assert table(tmp_path) == whole


@pytest.mark.parametrize("how", ["exchanged", "copied", "from another sweep"])
def test_arrays_of_another_point_are_computed_again(tmp_path: Path, how: str) -> None:
    sweep(tmp_path)
    first, second, *_ = sorted((tmp_path / "arrays").iterdir())
    if how == "exchanged":
        first.rename(tmp_path / "x")
        second.rename(first)
        (tmp_path / "x").rename(second)
    elif how == "copied":
        first.write_bytes(second.read_bytes())
    else:
        SweepStore(tmp_path / "other").save("z", RESULT, ABOUT)
        (tmp_path / "other" / "arrays" / "z.npz").rename(first)
    experiment, config = points()
    with pytest.warns(CorruptTaskWarning, match="holds another computation"):
        outcome = run(experiment, config, SweepStore(tmp_path))
    assert outcome.computed == (2 if how == "exchanged" else 1)


def test_rows_of_versions_without_a_seal_are_read_and_computed_again(tmp_path: Path) -> None:
    sweep(tmp_path)
    with closing(sqlite3.connect(tmp_path / "points.sqlite")) as connection:
        connection.execute("UPDATE points SET result = json_remove(result, '$.__seal__')")
        connection.commit()
    assert len(table(tmp_path)) == 20
    experiment, config = points()
    with pytest.warns(CorruptTaskWarning):
        assert run(experiment, config, SweepStore(tmp_path)).computed == 20


def test_a_file_that_is_no_sweep(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "points.sqlite")) as connection:
        connection.execute("CREATE TABLE other (a)")
    with pytest.raises(InputError, match="not a sweep of schema 1"):
        SweepStore(tmp_path).load("a")
    (tmp_path / "points.sqlite").write_text("this is text, and long enough to be looked at" * 9)
    with pytest.raises(OSError, match="not a database"):
        SweepStore(tmp_path).load("a")


def killed_twenty_times(
    work: Callable[[Path], None], folder: Path, calm: Path, pauses: float
) -> None:
    """Kill the work at random moments; what was finished stays, and the end is the calm one."""
    work(calm)
    expected = table(calm)
    source = np.random.default_rng(0)
    kills, there = 0, folder / "0"
    before: list[dict[str, Any]] = []
    while kills < 20:
        child = in_process(functools.partial(work, there))
        time.sleep(float(source.uniform(0, pauses)))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        kills += os.WIFSIGNALED(status)
        now = table(there) if (there / "points.sqlite").exists() else []
        assert [row for row in before if row not in now] == []  # nothing accepted is lost
        assert len({row["id"] for row in now}) == len(now)
        before = now
        if len(now) == len(expected):  # all done before twenty kills: once more from the start
            assert now == expected
            there, before = folder / str(kills), []
    work(there)
    assert table(there) == expected
    for row in expected:
        ours, quiet = (SweepStore(one).load(row["id"]) for one in (there, calm))
        assert ours is not None
        assert quiet is not None
        assert ours.keys() == quiet.keys()
        for name, value in ours.items():
            if isinstance(value, np.ndarray):
                np.testing.assert_array_equal(value, quiet[name])


def test_killed_at_twenty_random_moments_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    killed_twenty_times(
        functools.partial(sweep, pause=0.02), tmp_path / "killed", tmp_path / "calm", 0.1
    )


@pytest.mark.slow
def test_searches_for_critical_points_killed_twenty_times(tmp_path: Path) -> None:
    """The same with tanh networks: the certified points, bit for bit."""
    config = CriticalPointsConfig(
        size=6, ratios=(0.5,), targeted=24, published=2, plain=0, others=2, minimisers=1
    )

    def searches(folder: Path) -> None:
        run(SWEEP, config, SweepStore(folder))

    killed_twenty_times(searches, tmp_path / "killed", tmp_path / "calm", 1.0)
    assert len(table(tmp_path / "calm")) == 24 + 2 + 2 * 2 + 1


def test_tables_that_another_process_makes_during_a_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, connect = SweepStore(tmp_path), sqlite3.connect
    with closing(connect(store.path)) as connection:
        connection.execute("PRAGMA journal_mode = wal")

    class Slow(sqlite3.Connection):
        """Between its two questions, somebody else saves the first point."""

        def execute(self, query: str, *values: Any) -> sqlite3.Cursor:
            if "sqlite_master" in query:
                with monkeypatch.context() as patch:
                    patch.setattr(sqlite3, "connect", connect)
                    store.save("abc", RESULT, ABOUT)
            return super().execute(query, *values)

    monkeypatch.setattr(sqlite3, "connect", functools.partial(connect, factory=Slow))
    assert store.load("abc") is None
    monkeypatch.undo()
    assert store.load("abc") is not None


def test_two_sweeps_into_one_store(tmp_path: Path) -> None:
    children = [in_process(lambda: sweep(tmp_path, pause=0.005)) for _ in range(2)]
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
    sweep(tmp_path / "alone", pause=0.005)
    assert table(tmp_path) == table(tmp_path / "alone")
    with closing(sqlite3.connect(tmp_path / "points.sqlite")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"


def test_a_full_disk_is_one_clear_error_and_loses_nothing(tmp_path: Path) -> None:
    """A limit on the size of files, which the write-ahead log meets first."""
    log = tmp_path / "log"

    def until_full() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (36_000, resource.RLIM_INFINITY))
        try:
            sweep(tmp_path / "run", seeds=12)
        except OSError as error:
            log.write_text(f"{error.filename}: {error.strerror}")

    assert os.waitpid(in_process(until_full), 0)[1] == 0
    message = log.read_text()
    assert "points.sqlite" in message
    kept = table(tmp_path / "run")
    assert 0 < len(kept) < 120
    sweep(tmp_path / "run", seeds=12)
    whole = table(tmp_path / "run")
    assert len(whole) == 120
    assert [row for row in kept if row not in whole] == []


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user can reach; that of pytest is its owner's alone."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        path.chmod(0o755)
        yield path


def test_a_store_without_rights(open_folder: Path) -> None:
    sweep(open_folder)
    whole = table(open_folder)
    assert len(whole) == 20
    folders = (open_folder, open_folder / "arrays")

    def read_and_try_to_write() -> None:
        if os.geteuid() == 0:  # root may write anywhere: go on as nobody
            os.setgid(65534)
            os.setuid(65534)
        assert table(open_folder) == whole
        with pytest.raises(OSError, match=r"[Pp]ermission|readonly|unable to open"):
            SweepStore(open_folder).save("new", RESULT, ABOUT)

    for path in folders:
        path.chmod(0o555)
    try:
        assert os.waitpid(in_process(read_and_try_to_write), 0)[1] == 0
    finally:
        for path in folders:
            path.chmod(0o755)

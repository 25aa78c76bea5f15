"""The results of a sweep under real processes: killed, side by side, without room or rights."""

from __future__ import annotations

import functools
import json
import os
import resource
import signal
import tempfile
import time
import warnings
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hessium.errors import InputError
from hessium.runs.experiment import Experiment
from hessium.runs.result_store import Computation, CorruptTaskWarning, Store, key
from hessium.runs.runner import run
from hessium.runs.sweep_table import find_point, load_sweep, stores
from hessium.studies.critical_points.config import CriticalPointsConfig
from hessium.studies.critical_points.fig6 import SWEEP
from support.toy_experiment import ToyConfig, toy

POINT = Computation("toy", {"size": 3, "ratio": 0.5}, "c0de")
RESULT = {"kind": "critical", "energy": 0.25, "index": 7, "spectrum": np.arange(5.0)}


def points(pause: float = 0.0, seeds: int = 2) -> tuple[Experiment[ToyConfig], ToyConfig]:
    experiment = replace(toy(pause=pause), points=True)
    config = ToyConfig(sizes=tuple(range(4, 14)), seeds=tuple(range(seeds)), pause=pause)
    return experiment, config


def table(folder: Path) -> list[dict[str, Any]]:
    """All rows, without what depends on the clock."""
    clock = {"finished", "seconds", "cpu"}
    return [{k: v for k, v in row.items() if k not in clock} for row in Store(folder).rows()]


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
    run(experiment, config, Store(folder))


def test_rows_hold_the_task_and_what_came_out(tmp_path: Path) -> None:
    store = Store(tmp_path / "deep")
    assert list(store.rows()) == []
    store.save(POINT, RESULT)
    (row,) = store.rows()
    assert row.pop("finished").startswith("20")
    assert row == {
        "id": key(*POINT), "experiment": "toy", "code": "c0de", "size": 3, "ratio": 0.5,
        "kind": "critical", "energy": 0.25, "index": 7,
    }  # fmt: skip
    store.save(POINT, RESULT | {"index": 8})
    assert [row["index"] for row in store.rows()] == [8]


def test_one_point_by_the_start_of_its_id(tmp_path: Path) -> None:
    store = Store(tmp_path / "tasks" / "toy")
    sweep(store.folder)
    one, *others = store.names()
    short = next(one[:k] for k in range(1, 32) if not any(o.startswith(one[:k]) for o in others))
    for place in (tmp_path, store.folder):
        point = find_point(place, short)
        assert point["id"] == one
        assert point["eigenvalues"].size == point["size"]
    with pytest.raises(InputError, match="ID: ''; 20 points start so"):
        find_point(tmp_path, "")
    with pytest.raises(InputError, match="ID: 'x'; no such point"):
        find_point(tmp_path, "x")
    for place in (tmp_path / "tasks" / "other", store.path(one)):
        with pytest.raises(InputError, match="has no finished task in it"):
            stores(place)


def test_the_table_of_a_run_has_the_tasks_of_all_experiments(tmp_path: Path) -> None:
    pytest.importorskip("pandas")
    for name in ("a", "b"):
        Store(tmp_path / "tasks" / name).save(POINT._replace(experiment=name), RESULT)
    frame = load_sweep(tmp_path)
    assert list(frame["experiment"]) == ["a", "b"]
    assert list(frame["index"]) == [7, 7]
    assert list(load_sweep(tmp_path / "tasks" / "b")["experiment"]) == ["b"]


@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_lost_result_is_computed_again(tmp_path: Path, damage: str) -> None:
    sweep(tmp_path)
    path = next(iter(tmp_path.iterdir()))
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:20])
    else:
        path.unlink()
    experiment, config = points()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        outcome = run(experiment, config, Store(tmp_path))
    assert [w.category for w in caught] == [CorruptTaskWarning] * (damage == "cut")
    assert (outcome.computed, outcome.reused) == (1, 19)


EDITS: list[Callable[[dict[str, Any]], Any]] = [
    lambda document: document | {"task": document["task"] | {"seed": 7}},
    lambda document: document | {"result": document["result"] | {"threads": 3}},
    lambda document: document | {"code": "other"},
    lambda document: document | {"experiment": "other"},
    lambda document: document | {"result": []},
    lambda document: {k: v for k, v in document.items() if k != "seal"},
    lambda document: {k: v for k, v in document.items() if k != "task"},
    lambda document: [],
    lambda document: 3,
]


@pytest.mark.parametrize("edit", EDITS, ids=range(len(EDITS)))
def test_a_document_that_was_edited_is_computed_again(
    tmp_path: Path, edit: Callable[[dict[str, Any]], Any]
) -> None:
    sweep(tmp_path)
    whole = table(tmp_path)
    victim = whole[0]["id"]
    with zipfile.ZipFile(tmp_path / f"{victim}.npz") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    document = json.loads(members["document.json"])
    with zipfile.ZipFile(tmp_path / f"{victim}.npz", "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    assert table(tmp_path) == whole  # packed again, but the same
    with zipfile.ZipFile(tmp_path / f"{victim}.npz", "w") as archive:
        members["document.json"] = json.dumps(edit(document)).encode()
        for name, content in members.items():
            archive.writestr(name, content)
    with pytest.warns(CorruptTaskWarning, match=f"{victim}.npz is left out"):
        assert [row["id"] for row in table(tmp_path)] == [row["id"] for row in whole[1:]]
    experiment, config = points()
    with pytest.warns(CorruptTaskWarning, match=f"{victim}.npz cannot be used"):
        outcome = run(experiment, config, Store(tmp_path))
    assert (outcome.computed, outcome.reused) == (1, 19)
    assert table(tmp_path) == whole


@pytest.mark.parametrize("how", ["exchanged", "copied", "from another sweep"])
def test_the_result_of_another_point_is_computed_again(tmp_path: Path, how: str) -> None:
    sweep(tmp_path)
    first, second, *_ = sorted(tmp_path.iterdir())
    if how == "exchanged":
        first.rename(tmp_path / "x")
        second.rename(first)
        (tmp_path / "x").rename(second)
    elif how == "copied":
        first.write_bytes(second.read_bytes())
    else:
        other = Store(tmp_path / "other")
        other.save(POINT, RESULT)
        other.path(key(*POINT)).rename(first)
    experiment, config = points()
    with pytest.warns(CorruptTaskWarning, match="holds another computation"):
        outcome = run(experiment, config, Store(tmp_path))
    assert outcome.computed == (2 if how == "exchanged" else 1)


def test_a_file_in_place_of_the_folder_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("precious")
    with pytest.raises(OSError, match="store"):
        sweep(tmp_path / "store")
    assert (tmp_path / "store").read_text() == "precious"


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
        now = table(there)
        assert [row for row in before if row not in now] == []  # nothing accepted is lost
        assert len({row["id"] for row in now}) == len(now)
        before = now
        if len(now) == len(expected):  # all done before twenty kills: once more from the start
            assert now == expected
            there, before = folder / str(kills), []
    work(there)
    assert table(there) == expected
    for row in expected:
        ours, quiet = (Store(one).load(row["id"]) for one in (there, calm))
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
        run(SWEEP, config, Store(folder))

    killed_twenty_times(searches, tmp_path / "killed", tmp_path / "calm", 1.0)
    assert len(table(tmp_path / "calm")) == 24 + 2 + 2 * 2 + 1


def test_two_sweeps_into_one_store_and_a_reader(tmp_path: Path) -> None:
    children = [in_process(lambda: sweep(tmp_path, pause=0.005)) for _ in range(2)]
    seen: list[dict[str, Any]] = []
    while children:
        rows = table(tmp_path)  # a warning would be an error
        assert [row for row in seen if row not in rows] == []
        seen = rows
        pid, status = os.waitpid(children[-1], os.WNOHANG)
        if pid:
            assert status == 0
            children.pop()
    sweep(tmp_path / "alone", pause=0.005)
    assert table(tmp_path) == table(tmp_path / "alone")


def test_a_full_disk_is_one_clear_error_and_loses_nothing(tmp_path: Path) -> None:
    """A limit on the size of files, which the largest results exceed."""
    log = tmp_path / "log"
    experiment, _ = points()
    config = ToyConfig(sizes=(4, 8, 400), seeds=(0, 1))

    def until_full() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, resource.RLIM_INFINITY))
        try:
            run(experiment, config, Store(tmp_path / "run"))
        except OSError as error:
            log.write_text(f"{error.filename}: {error.strerror}")

    assert os.waitpid(in_process(until_full), 0)[1] == 0
    assert f"{tmp_path / 'run'}/" in log.read_text()
    kept = table(tmp_path / "run")
    assert [row["size"] for row in sorted(kept, key=lambda row: row["size"])] == [4, 4, 8, 8]
    assert not list(tmp_path.rglob(".unfinished-*"))
    run(experiment, config, Store(tmp_path / "run"))
    whole = table(tmp_path / "run")
    assert len(whole) == 6
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

    def read_and_try_to_write() -> None:
        if os.geteuid() == 0:  # root may write anywhere: go on as nobody
            os.setgid(65534)
            os.setuid(65534)
        assert table(open_folder) == whole
        with pytest.raises(OSError, match=r"[Pp]ermission"):
            Store(open_folder).save(POINT, RESULT)

    open_folder.chmod(0o555)
    try:
        assert os.waitpid(in_process(read_and_try_to_write), 0)[1] == 0
    finally:
        open_folder.chmod(0o755)

"""Files of records, and records in checkpoints."""

from __future__ import annotations

import builtins
import csv
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import hessium as hs
from hessium.errors import InputError
from hessium.training import Record
from hessium.training.log import CsvLog, Log, ParquetLog, table_of
from hessium.training.settings import QUANTITIES

pd = pytest.importorskip("pandas")
pytest.importorskip("pyarrow")


def row(step: int, loss: float | str = 1.0) -> dict[str, Any]:
    return {"step": step, "loss": loss, "trace": "", "mode": "eval", "restarted": False,
            "reason": "", "num_matvecs": 3, "seconds": 0.1}  # fmt: skip


def steps(path: Path) -> list[int]:
    if path.suffix == ".csv":
        with path.open(encoding="utf-8", newline="") as file:
            return [int(one["step"]) for one in csv.DictReader(file)]
    return list(pd.read_parquet(path)["step"])


def log(path: Path) -> Log:
    return CsvLog(path) if path.suffix == ".csv" else ParquetLog(path)


NAMES = ("records.csv", "records.parquet")


@pytest.mark.parametrize("name", NAMES)
def test_the_file_is_complete_after_each_record(tmp_path: Path, name: str) -> None:
    path = tmp_path / "new" / name
    written = log(path)
    for step in range(1, 5):
        written.append(row(step))
        assert steps(path) == list(range(1, step + 1))
    written.begin([row(1), row(2)], continues=True)
    written.append(row(7))
    assert steps(path) == [1, 2, 7]
    assert [file.name for file in path.parent.iterdir()] == [name]


@pytest.mark.parametrize("name", NAMES)
def test_a_file_of_another_run_is_kept(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("mine")
    log(path).append(row(2))
    assert (tmp_path / f"{name}.1").read_text() == "mine"
    assert steps(path) == [2]


SCRIPT = """
import os, signal, sys
from pathlib import Path
from training.test_record_files import log, row
def run(path):
    written = log(Path(path))
    for step in range(1, 4):
        written.append(row(step))
    def killed(handle):
        os.kill(os.getpid(), signal.SIGKILL)
    os.fsync = killed  # while the fourth is written
    written.append(row(4))
for path in sys.argv[1:]:
    child = os.fork()
    if not child:
        run(path)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status == -signal.SIGKILL, (path, status)
"""


def test_a_run_that_is_killed_while_it_writes_keeps_all_but_the_last(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in NAMES]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", SCRIPT, *map(str, paths)], check=True, env=environment)
    assert [steps(path)[:3] for path in paths] == [[1, 2, 3]] * 2


def test_what_was_not_measured_is_nan_in_a_table(tmp_path: Path) -> None:
    frame = table_of([row(1), row(2, "")], "a table")
    assert frame["trace"].isna().all()
    assert list(frame["loss"].isna()) == [False, True]
    assert {frame[name].dtype.kind for name in ("loss", "trace", "seconds")} == {"f"}
    assert list(frame["reason"]) == ["", ""]
    written = ParquetLog(tmp_path / "t.parquet")
    for one in (row(1), row(2, "")):
        written.append(one)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "t.parquet"), frame)


def test_names_and_missing_packages_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match=r"csv: .*Parquet.*parquet="):
        CsvLog(tmp_path / "records.parquet")
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name.split(".")[0] == "pyarrow":
            raise ModuleNotFoundError(name=name)
        return real(name, *rest, **more)

    monkeypatch.setattr("importlib.import_module", without)
    with pytest.raises(InputError, match=r"parquet: pyarrow is not installed.*hessium\[parquet\]"):
        ParquetLog(tmp_path / "records.parquet")


X = torch.randn(30, 4, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > X[:, 1]).long()
BATCHES = [(X[:15], Y[:15]), (X[15:], Y[15:])]


def monitor(**options: Any) -> hs.Monitor:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 2))
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    return hs.Monitor(model, nn.CrossEntropyLoss(), BATCHES, optimizer, **options)


def test_a_monitor_writes_both_files(tmp_path: Path) -> None:
    table, columns = tmp_path / "r.csv", tmp_path / "r.parquet"
    watched = monitor(track=["loss", "sharpness"], csv=table, parquet=columns)
    for _ in range(2):
        watched.measure()
    frame = watched.to_dataframe()
    pd.testing.assert_frame_equal(pd.read_parquet(columns), frame)
    pd.testing.assert_frame_equal(pd.read_csv(table)[["loss", "sharpness"]],
                                  frame[["loss", "sharpness"]])  # fmt: skip


def test_every_quantity_survives_a_checkpoint(tmp_path: Path) -> None:
    watched = monitor(track=QUANTITIES, spectrum_every=1, prior_precision=1e-2, probes=2)
    record = watched.measure()
    torch.save(watched.state_dict(), tmp_path / "state")
    state = torch.load(tmp_path / "state", weights_only=True)
    again = Record.of_state(state["records"][0])
    assert again.row(watched.track, ["0", "2"]) == record.row(watched.track, ["0", "2"])
    assert again.inertia == record.inertia
    assert again.spectrum is not None
    assert record.spectrum is not None
    for name in ("nodes", "weights", "known"):
        assert np.array_equal(getattr(again.spectrum, name), getattr(record.spectrum, name))
    assert again.spectrum.moment(3) == record.spectrum.moment(3)
    assert again.spectrum.count(0, 1) == record.spectrum.count(0, 1)

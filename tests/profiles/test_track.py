"""Curvature along checkpoints: right numbers, nothing measured twice, page and table."""

from __future__ import annotations

import csv
import importlib.util
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import hessium as hs
from hessium.cli import main
from hessium.errors import InputError
from hessium.training import read_checkpoint
from support.cli_processes import ENVIRONMENT

FILE = """
import os, signal, torch, hessium as hs
from torch import nn
X = torch.randn(40, 4, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > X[:, 1]).long()
LOSS = nn.CrossEntropyLoss()

def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 2)).double()

def build(path):
    net = network()
    net.load_state_dict(hs.training.read_checkpoint(path)["model"])
    return hs.EmpiricalRisk(net, LOSS, (X.double(), Y))

def bare(path):
    return build(path)

def wrong(path):
    return 3

def fails(path):
    raise RuntimeError("no weights")

def without():
    return None
"""
TRACK = ["loss", "distance", "sharpness", "preconditioned_sharpness", "threshold", "trace"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five checkpoints of Adam, one of them before the first step."""
    path = tmp_path_factory.mktemp("series")
    (path / "m.py").write_text(FILE)
    names: dict[str, Any] = {}
    exec(FILE, names)
    model = names["network"]()
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    for step in range(101):
        if step % 25 == 0:
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
            torch.save(state, path / f"step-{step}.pt")
        optimizer.zero_grad()
        names["LOSS"](model(names["X"].double()), names["Y"]).backward()
        optimizer.step()
    return path


def build(path: str) -> hs.EmpiricalRisk:
    names: dict[str, Any] = {}
    exec(FILE, names)
    risk = names["build"](path)
    assert isinstance(risk, hs.EmpiricalRisk)
    return risk


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*.pt"))  # "100" before "25"


def test_records_are_those_of_dense_matrices(folder: Path) -> None:
    found = hs.track(build, files(folder), track=TRACK)
    assert [r.step for r in found.records] == [0, 25, 50, 75, 100]
    assert found.optimizer == "Adam"
    origin = build(str(folder / "step-0.pt")).theta
    for path, record in zip(found.checkpoints, found.records, strict=True):
        risk = build(path)
        dense = hs.Hessian(risk).dense()
        assert record.sharpness is not None
        top = float(torch.linalg.eigvalsh(dense)[-1])
        assert record.sharpness.value == pytest.approx(top, rel=0.01)
        assert top in record.sharpness
        assert record.loss == pytest.approx(risk.value())
        assert record.distance == pytest.approx(float((risk.theta - origin).norm()))
        state = read_checkpoint(path)["optimizer"]
        if not record.step:  # the optimiser has made no step
            assert record.preconditioned_sharpness is None
            continue
        second = torch.cat([s["exp_avg_sq"].reshape(-1) for s in state["state"].values()])
        t = record.step
        scale = ((1 - 0.9**t) * ((second / (1 - 0.999**t)).sqrt() + 1e-8)) ** -0.5
        scaled = float(torch.linalg.eigvalsh(scale[:, None] * dense * scale)[-1])
        assert record.preconditioned_sharpness is not None
        assert record.preconditioned_sharpness.value == pytest.approx(scaled, rel=0.01)
        assert record.threshold == pytest.approx(3800)


def test_warm_starts_save_products(folder: Path) -> None:
    series = hs.track(build, files(folder)[-2:], track=["sharpness"], bound_steps=1)
    cold = hs.track(build, files(folder)[-1:], track=["sharpness"], bound_steps=1)
    assert series.records[-1].num_matvecs < cold.records[-1].num_matvecs


def test_what_function_returns_and_what_is_told(folder: Path) -> None:
    path = files(folder)[-1]

    def pair(path: str) -> Any:
        risk = build(path)
        return risk, torch.optim.SGD(risk.model.parameters(), lr=0.1, momentum=0.5)

    (record,) = hs.track(pair, [path]).records
    assert record.threshold == pytest.approx(2 * 1.5 / 0.1)
    bare = path.parent / "bare.pt"
    torch.save({"model": read_checkpoint(path)["model"]}, bare)
    told = hs.track(build, [bare], threshold=20.0)
    assert told.records[0].threshold == 20.0
    assert "threshold" in told.track
    assert told.plot(quantity="sharpness").get_legend() is not None
    assert hs.track(build, [bare]).records[0].threshold is None
    with pytest.raises(InputError, match=r"track: preconditioned_sharpness; an optimizer"):
        hs.track(build, [bare], track=["preconditioned_sharpness"])
    with pytest.raises(InputError, match="last update is not in a checkpoint"):
        hs.track(build, [bare], track=["update_sharpness"])


def test_bad_arguments(folder: Path, tmp_path: Path) -> None:
    one = files(folder)[:1]
    wrong: dict[str, Any]
    for wrong in (
        {"checkpoints": []}, {"checkpoints": [tmp_path / "no.pt"]}, {"checkpoints": one * 2},
        {"steps": [1, 2]}, {"track": ["sharpnes"]}, {"threshold": -1.0}, {"workers": 0},
        {"function": lambda path: 3},
    ):  # fmt: skip
        with pytest.raises(InputError):
            hs.track(**{"function": build, "checkpoints": one} | wrong)  # type: ignore[arg-type]


def test_table_page_and_file(folder: Path, tmp_path: Path) -> None:
    found = hs.track(build, files(folder)[:2], track=[*TRACK, "layer_traces"], spectra=True)
    page = found.report(tmp_path / "page").read_text()
    assert page.count("<svg") >= 5
    assert "Spectrum at step 100" in page
    assert "trace of the block of H" in page
    with (tmp_path / "page" / "curvature.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["0", "100"]
    assert float(rows[1]["sharpness"]) == found.rows()[1]["sharpness"]
    assert list(found.to_dataframe()["step"]) == [0, 100]
    hs.save(found, tmp_path / "series")
    again = hs.load(tmp_path / "series")
    assert again.rows() == found.rows()
    assert np.array_equal(again.arrays["nodes_100"], found.arrays["nodes_100"])


def test_checkpoints_that_are_not_finite_are_passed_by(folder: Path, tmp_path: Path) -> None:
    paths = []
    for step in (0, 25, 50, 75, 100):
        state = read_checkpoint(folder / f"step-{step}.pt")
        if step in (25, 100):
            state["model"]["2.weight"][0, 0] = np.nan if step == 25 else np.inf
        elif step == 50:  # finite parameters, infinite loss
            state["model"]["2.weight"] *= 1e308
        paths.append(tmp_path / f"diverged-{step}.pt")
        torch.save(state, paths[-1])
    found = hs.track(build, paths, track=TRACK, out=tmp_path / "run")
    assert [bool(r.reason) for r in found.records] == [False, True, True, False, True]
    assert "'2.weight' has 1 entries that are NaN" in found.records[1].reason
    assert all(r.sharpness is None and np.isnan(r.loss or 0.0) for r in found.records if r.reason)
    alone = hs.track(build, [paths[3]], track=["sharpness"]).records[0].sharpness
    assert found.records[3].sharpness is not None
    assert alone is not None
    assert found.records[3].sharpness.value == pytest.approx(alone.value, rel=0.02)
    rows = found.rows()
    assert "NaN" in str(rows[1]["reason"])
    assert rows[0]["reason"] == ""
    assert np.isnan(found.arrays["loss"][1])
    page = found.report(tmp_path / "page").read_text()
    assert "Step 25 holds no curvature" in page
    assert "2.weight" in (tmp_path / "page" / "curvature.csv").read_text()
    assert "last finite checkpoint" in page
    again = hs.track(build, paths, track=TRACK, out=tmp_path / "run")
    assert again.reused == 5
    assert str(again.rows()) == str(rows)
    with pytest.raises(InputError, match="none of 2 is finite"):
        hs.track(build, [paths[1], paths[4]])


def counted(monkeypatch: pytest.MonkeyPatch, most: int) -> list[int]:
    """Products of each call; the process kills itself after as many as it is told."""
    multiply, counts = hs.Hessian.__matmul__, []

    def product(self: Any, block: Any) -> Any:
        counts.append(1 if block.ndim == 1 else block.shape[1])
        if sum(counts) > most:
            os.kill(os.getpid(), signal.SIGKILL)
        return multiply(self, block)

    monkeypatch.setattr(hs.Hessian, "__matmul__", product)
    return counts


def module(folder: Path) -> Any:
    spec = importlib.util.spec_from_file_location("m", folder / "m.py")
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


SCRIPT = """
import sys, pytest
from pathlib import Path
from profiles_of_track import counted, files, hs, module
folder, out, most = sys.argv[1:]
counted(pytest.MonkeyPatch(), int(most))
hs.track(module(Path(folder)).build, files(Path(folder)), track=["sharpness"], out=out)
"""


@pytest.mark.slow
def test_a_killed_series_repeats_nothing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = counted(monkeypatch, 10**9)

    def run(out: str) -> tuple[list[dict[str, Any]], int]:
        counts.clear()
        given = module(folder).build, files(folder)
        found = hs.track(*given, track=["sharpness"], out=tmp_path / out)
        rows = [{k: v for k, v in row.items() if k != "seconds"} for row in found.rows()]
        return rows, sum(counts)

    whole, total = run("whole")
    products = [row["num_matvecs"] for row in whole]
    check = total - sum(products)  # of the operator, once in a process
    assert 0 <= check < 10
    most = check + sum(products[:3]) + 2  # in the middle of the fourth checkpoint
    given = [str(folder), str(tmp_path / "killed"), str(most)]
    script = SCRIPT.replace("profiles_of_track", Path(__file__).stem)
    path = f"{ENVIRONMENT['PYTHONPATH']}:{Path(__file__).parent}:{Path(__file__).parents[1]}"
    command = [sys.executable, "-c", script, *given]
    code = subprocess.run(command, check=False, env=ENVIRONMENT | {"PYTHONPATH": path}).returncode
    assert code == -signal.SIGKILL
    resumed, rest = run("killed")
    # the fourth and the fifth, no product of the others; the check of a known architecture is short
    assert 0 <= rest - sum(products[3:]) <= check < min(products)
    assert resumed == whole  # warm vectors are kept: to the last digit


def test_the_command(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    given = [str(one) for one in files(folder)]
    line = ["track", f"{folder}/m.py:build", "--track", "loss,sharpness,threshold"]
    assert main([*line, "--json", *given[:3]]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["step"] for row in found["rows"]] == [0, 25, 100]
    assert found["reused"] == 0
    assert Path(found["page"]).is_file()
    assert main([*line, *given]) == 0  # the training went on: two more checkpoints
    words = capsys.readouterr().out
    assert "3 checkpoints from an earlier run" in words
    assert "stability threshold" in words
    for target, said in (("wrong", "returned int"), ("fails", "no weights"),
                         ("without", "with the path of a checkpoint")):  # fmt: skip
        assert main(["track", f"{folder}/m.py:{target}", given[0], "--out", target]) == 2
        assert said in capsys.readouterr().err
    assert main([*line, "nothing.pt"]) == 2
    assert "CHECKPOINT: nothing.pt does not exist" in capsys.readouterr().err
    assert main([*line[:3], "sharpnes", given[0]]) == 2
    assert "--track:" in capsys.readouterr().err


@pytest.mark.slow
def test_workers_give_the_same_numbers_within_tolerance(folder: Path, tmp_path: Path) -> None:
    given = [str(one) for one in files(folder)]
    line = ["track", f"{folder}/m.py:build", "--track", "loss,sharpness", *given]
    for workers in ("1", "2"):
        assert main([*line, "--out", str(tmp_path / workers), "--workers", workers]) == 0
    tables = [np.genfromtxt(tmp_path / w / "curvature.csv", delimiter=",", names=True)
              for w in ("1", "2")]  # fmt: skip
    assert np.allclose(tables[0]["sharpness"], tables[1]["sharpness"], rtol=0.02)
    assert np.array_equal(tables[0]["loss"], tables[1]["loss"])


def test_files_are_read_without_unpickling(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    model = nn.Linear(2, 2)
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    for path in (tmp_path / "model.safetensors", tmp_path):
        assert torch.equal(read_checkpoint(path)["weight"], model.weight)
    torch.save(model, tmp_path / "object.pt")
    with pytest.raises(InputError, match="save state dicts, not objects"):
        read_checkpoint(tmp_path / "object.pt")
    with pytest.raises(InputError, match="does not exist"):
        read_checkpoint(tmp_path / "none.pt")
    os.mkdir(tmp_path / "empty")
    with pytest.raises(InputError, match="neither"):
        read_checkpoint(tmp_path / "empty")

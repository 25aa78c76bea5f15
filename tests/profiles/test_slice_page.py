"""`hessium slice`: a page, a surface, a grid and the numbers of `hs.loss_slice`."""

from __future__ import annotations

import dataclasses
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import hessium as hs
from hessium.cli import main, slices
from hessium.cli.signals import Stopped
from hessium.cli.slices import _spent
from hessium.profiles.slice_page import SlicePage
from hessium.report.statements import bases, number
from hessium.spectra import Count

TARGET = """
import torch, hessium as hs
from torch import nn

def make():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()
    x = torch.randn(20, 3, dtype=torch.float64)
    return hs.EmpiricalRisk(model, nn.CrossEntropyLoss(), (x, torch.arange(20) % 2))
"""

BOWL = """
import torch, hessium as hs
from torch import nn

class Saddle(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.tensor([0.25, 0.5], dtype=torch.float64))

def make():
    return hs.EmpiricalRisk.from_closure(Saddle(), lambda m: m.w[0] ** 2 - 2 * m.w[1] ** 2 + 1)
"""


class Quartic(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor([0.2, 0.1, 0.3], dtype=torch.float64))


def quartic(model: nn.Module) -> Tensor:
    w: Tensor = model.w  # type: ignore[assignment]
    return w.square().sum() + (w**4).sum()


def test_the_command_writes_the_slice_of_the_library(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.py").write_text(TARGET)
    out = tmp_path / "run"
    code = main(
        ["slice", f"{tmp_path / 'mine.py'}:make", "--num", "7", "--out", str(out), "--json"]
    )
    assert code == 0
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    stored = np.load(next((out / "arrays").rglob("*.npz")))
    assert stored["values"].shape == (7, 7)
    assert np.abs(stored["values"] - stored["quadratic"])[3, 3] < 1e-14
    assert 0 < summary["validity_radius"] < np.inf
    page = (out / "report.html").read_text()
    assert "share of the trace" in page
    assert "<svg" in page
    assert (out / "surface.html").stat().st_size > 2000
    assert (out / "slice.vti").exists()
    # the values are reused
    (state,) = (out / "values").rglob("state.json")
    before = state.stat().st_mtime_ns
    assert main(["slice", f"{tmp_path / 'mine.py'}:make", "--num", "7", "--out", str(out)]) == 0
    assert state.stat().st_mtime_ns == before


def test_critical_points_refinement_and_figures_for_slides(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.py").write_text(BOWL)
    out = tmp_path / "run"
    line = ["slice", f"{tmp_path / 'mine.py'}:make", "--num", "7", "--refine", "1", "--json"]
    more = ["--critical", "levenberg-marquardt", "--figures", "pdf", "--out", str(out)]
    assert main([*line, *more]) == 0
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    (point,) = summary["critical_points"]
    assert (point["kind"], point["index"]) == ("critical", 1)
    assert point["distance"] < 1e-10
    np.testing.assert_allclose(np.abs(point["coordinates"]), [0.5, 0.25], atol=1e-10)
    assert (out / "figures" / "slice-loss-slice.pdf").read_bytes().startswith(b"%PDF")
    assert (point["index_lower"], point["index_upper"], point["ridge"]) == (1, 1, 0.0)
    assert point["lies_in_the_slice"]
    page = (out / "report.html").read_text()
    assert "critical point, index 1" in page
    assert "critical point, index 1" in (out / "surface.html").read_text()
    assert (out / "slice.vtp").exists()
    assert not (out / "slice.vti").exists()


@pytest.mark.slow
def test_searches_have_the_arguments_of_the_library(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.py").write_text(BOWL)
    out = tmp_path / "run"
    line = ["slice", f"{tmp_path / 'mine.py'}:make", "--num", "5", "--out", str(out)]
    searches = ["--critical", "saddle", "--critical", "newton-mr", "--index", "1"]
    more = ["--ridge", "0.5", "--restarts", "1", "--max-steps", "200", "--index-tolerance", "0"]
    assert main([*line, *searches, *more, "--json"]) == 0
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [one["method"] for one in summary["critical_points"]] == ["saddle", "newton-mr"]
    assert [one["ridge"] for one in summary["critical_points"]] == [0.5, 0.5]
    page = (out / "report.html").read_text()
    assert "critical point of L + 0.25 |θ|², index 1" in page
    for wrong, message in (
        (["--critical", "saddle"], "--index: None, --critical: "),
        (["--critical", "newton-mr", "--index", "1"], "--index: 1, --critical: "),
        (["--ridge", "1"], "--ridge: 1.0; used by --critical only"),
        (["--index-tolerance", "1"], "--index-tolerance: used by --critical saddle only"),
        (["--critical", "saddle", "--index", "3"], "--index: 3; 0 <= index <= 2"),
        (["--num", "600", "--refine", "1"], "--refine: 1 with "),
    ):
        assert main([*line, *wrong]) == 2
        assert message in capsys.readouterr().err


def test_the_page_says_which_numbers_are_exact_and_which_are_bracketed() -> None:
    risk = hs.EmpiricalRisk.from_closure(Quartic(), quartic)
    point = hs.find_critical_point(risk)
    found = hs.loss_slice(risk, torch.eye(3, dtype=torch.float64)[:, :2], num=5)
    page = SlicePage(found=found, risk="risk", seed=0, points=(point,), seconds=1.0)
    (numbers,), (table,) = page.findings.quoted, page.findings.tables
    assert bases(table) == "All numbers are exact."
    wide = dataclasses.replace(point, index=Count(value=1, lower=0, upper=2), ridge=0.5)
    (table,) = dataclasses.replace(page, points=(wide,)).findings.tables
    assert number(table.rows[0][3]) == "1 [0, 2]"
    assert table.rows[0][1] == "L + 0.25 |θ|²"
    assert bases(table) == (
        "Numbers: counts in brackets: the sign of eigenvalues within rounding is open. The other "
        "numbers are exact."
    )
    assert "the radius is estimated" in bases(numbers)
    assert "The other numbers are exact." in bases(numbers)


def test_the_time_counts_processes_that_have_ended() -> None:
    before, own = _spent(), time.process_time()
    subprocess.run([sys.executable, "-c", "sum(range(10**7))"], check=True)
    assert _spent() - before > time.process_time() - own + 0.05


@pytest.mark.parametrize("during", ["search", "slice"])
def test_a_slice_is_kept_when_the_search_after_it_is_interrupted(
    during: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "mine.py").write_text(BOWL)
    out = tmp_path / "run"
    line = ["slice", f"{tmp_path / 'mine.py'}:make", "--num", "5", "--out", str(out), "--json"]
    line += ["--critical", "saddle", "--index", "1"]

    def stopped(*given: object, **more: object) -> None:
        raise Stopped(signal.SIGTERM)

    with monkeypatch.context() as changed:
        changed.setattr(slices, "find_critical_point" if during == "search" else "sliced", stopped)
        assert main(line) == 128 + signal.SIGTERM
    err = capsys.readouterr().err.splitlines()[-1]
    if during == "slice":
        assert err == (
            "interrupted by SIGTERM: no value of the slice was finished; the same command begins "
            "again"
        )
        assert not (out / "report.html").exists()
        return
    assert err == (
        f"interrupted by SIGTERM: the slice is kept, and its page is {out / 'report.html'}; the "
        "search by saddle is not kept, and the same command begins it again"
    )
    page = (out / "report.html").read_text()
    assert "<svg" in page
    assert "The search for a critical point by saddle had not ended" in page
    assert (out / "surface.html").exists()
    assert len(list((out / "arrays").rglob("*.npz"))) == 1
    (state,) = (out / "values").rglob("state.json")
    before = state.stat().st_mtime_ns
    assert main(line) == 0
    assert state.stat().st_mtime_ns == before
    page = (out / "report.html").read_text()
    assert "had not ended" not in page
    assert "critical point, index 1" in page

"""`hessium slice`: a page, a surface, a grid and the numbers of `hs.loss_slice`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from hessium.cli import main

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
    page = (out / "report.html").read_text()
    assert "critical point, index 1" in page
    assert "critical point, index 1" in (out / "surface.html").read_text()
    assert (out / "slice.vtp").exists()
    assert not (out / "slice.vti").exists()

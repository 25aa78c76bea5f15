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
    before = (out / "values" / "values.npz").stat().st_mtime_ns
    assert main(["slice", f"{tmp_path / 'mine.py'}:make", "--num", "7", "--out", str(out)]) == 0
    assert (out / "values" / "values.npz").stat().st_mtime_ns == before

"""A process that is killed while it looks for eigenpairs: what it must do again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from hessium.runs.run_directory import RunDirectory

ROOT = Path(__file__).parents[2]
MODEL = """
import torch
from torch import nn
import hessium as hs

def build():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(10, 30), nn.Tanh(), nn.Linear(30, 3)).double()
    x = torch.randn(60, 10, dtype=torch.float64)
    return hs.EmpiricalRisk(net, nn.CrossEntropyLoss(), (x, torch.arange(60) % 3))
"""
# the command with a state after each tenth of a second in the place of a minute; every product
# takes time and writes one letter
SCRIPT = """
import functools, sys, time
if __name__ == "__main__":
    from hessium.profiles import product_measurement as products
    from hessium.profiles.counting_operator import CountingOperator
    for name in ("eigenpairs", "spectral_measure"):
        every = functools.partial(getattr(products, name), checkpoint_every={every})
        setattr(products, name, every)
    multiply = CountingOperator._matmat
    def slow(self, block):
        time.sleep(0.01 * block.shape[1])
        with open("products", "a") as file:
            file.write("x" * block.shape[1])
        return multiply(self, block)
    CountingOperator._matmat = slow
    from hessium.__main__ import main
    sys.exit(main())
"""
COMMAND = "spectrum m.py:build --out run --max-dim 50 --top 3 --probes 2 --steps 10"


def _run(folder: Path, stop_at: int | None = None) -> int:
    """Products of one run of the command, to its end or until it is killed."""
    products = folder / "products"
    products.write_text("")
    process = subprocess.Popen(
        [sys.executable, "script.py", *COMMAND.split()],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"},
    )
    limit = time.monotonic() + 120
    while stop_at is not None and products.stat().st_size < stop_at:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < limit
        time.sleep(0.002)
    if stop_at is not None:
        os.kill(process.pid, signal.SIGKILL)
    _, err = process.communicate(timeout=120)
    assert process.returncode == (0 if stop_at is None else -signal.SIGKILL), err
    return products.stat().st_size


def _setting(folder: Path, every: float) -> Path:
    folder.mkdir()
    (folder / "m.py").write_text(MODEL)
    (folder / "script.py").write_text(SCRIPT.format(every=every))
    return folder


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="needs SIGKILL")
@pytest.mark.slow
def test_a_kill_during_eigenpairs_loses_what_came_after_the_last_state(tmp_path: Path) -> None:
    whole = _run(_setting(tmp_path / "whole", 0.1))
    folder = _setting(tmp_path / "killed", 0.1)
    before = _run(folder, stop_at=45)
    assert not list((folder / "run" / "tasks" / "spectrum").glob("*.npz"))[1:]  # the gradient alone
    after = _run(folder)
    # ten products a tenth of a second, a restart of Lanczos, and those that identify the work
    assert before + after - whole <= 25
    control = _setting(tmp_path / "control", 1e6)  # no state in so short a time
    assert _run(control, stop_at=45) + _run(control) - whole >= 40
    arrays = [
        np.load(one / "run" / "arrays" / "spectrum.npz")["hessian_eigenvalues"]
        for one in (tmp_path / "whole", folder)
    ]
    np.testing.assert_array_equal(*arrays)
    assert RunDirectory.open(folder / "run").unfinished() == []

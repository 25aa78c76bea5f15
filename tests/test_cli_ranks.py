"""`torchrun -m hessium spectrum`: one page for several processes, and an end where one dies."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from hessium.cli import main

pytestmark = pytest.mark.slow  # every run imports torch in two processes

MODEL = """
import os, threading
import torch, hessium as hs
import torch.distributed as dist

def make():
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(5, 6), torch.nn.Tanh(), torch.nn.Linear(6, 3))
    x, y = torch.randn(21, 5), torch.randint(0, 3, (21,))
    several = dist.is_initialized()
    rank, size = (dist.get_rank(), dist.get_world_size()) if several else (0, 1)
    return hs.EmpiricalRisk(
        model, torch.nn.CrossEntropyLoss(), (x[rank::size], y[rank::size]), dtype=torch.float64,
        process_group=dist.group.WORLD if several else None,
    )

def dying():
    risk = make()
    if dist.get_rank() == 1:
        threading.Timer(0.3, os._exit, (9,)).start()
    return risk

def broken():
    return [] if dist.get_rank() == 1 else make()

def alone():
    data = torch.ones(2, 2), torch.ones(2, 1)
    return hs.EmpiricalRisk(torch.nn.Linear(2, 1), hs.SquaredError(), data)
"""
LARGE = ["--max-dim", "20", "--top", "2", "--probes", "2", "--steps", "12"]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.py"
    path.write_text(MODEL)
    return path


def children_of(process: subprocess.Popen[str]) -> list[str]:
    """Process numbers."""
    return Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()


def wait_for_the_end_of(processes: list[str]) -> None:
    """At most a minute."""
    begun = time.monotonic()
    while any(Path(f"/proc/{one}/cmdline").exists() for one in processes):
        assert time.monotonic() - begun < 60
        time.sleep(0.5)


def kill(processes: list[str]) -> None:
    for one in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(one), signal.SIGKILL)


def launched(*arguments: str) -> subprocess.Popen[str]:
    """The command in two processes, from their start on."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *launcher, "-m", "hessium", *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, env=env, stdout=pipe, stderr=pipe, text=True, start_new_session=True
    )


def together(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command in two processes."""
    started = launched(*arguments)
    try:
        out, err = started.communicate(timeout=200)
    finally:
        if started.poll() is None:  # the launcher, and the processes that it started
            os.killpg(started.pid, signal.SIGKILL)
    return subprocess.CompletedProcess(started.args, started.returncode, out, err)


def numbers(folder: Path) -> Any:
    summary = json.loads((folder / "summary.json").read_text())
    return summary["sections"][0]["findings"]["tables"][0]


@pytest.mark.parametrize("options", [[], LARGE], ids=["dense", "products"])
def test_two_processes_write_the_page_of_one(
    model: Path, tmp_path: Path, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    found = together("spectrum", f"{model}:make", "--out", str(two), *options)
    assert found.returncode == 0, found.stderr
    assert found.stdout.count("page: ") == 1
    assert "2 processes, with 33, 30 outputs" in found.stdout
    assert main(["spectrum", f"{model}:make", "--out", str(one), *options]) == 0
    assert numbers(one) == numbers(two)
    # one process resumes from the parts of two
    capsys.readouterr()
    assert main(["spectrum", f"{model}:make", "--out", str(two), *options]) == 0
    assert "parts from an earlier run" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("function", "told"),
    [
        ("dying", "another process has ended"),
        ("broken", "broken() returned a list"),
        ("alone", "2 processes were started, but the risk of alone() uses 1"),
    ],
)
def test_a_process_that_fails_ends_the_others(
    model: Path, tmp_path: Path, function: str, told: str
) -> None:
    start = time.monotonic()
    large = ["--max-dim", "20", "--probes", "500", "--steps", "60"] if function == "dying" else []
    out = str(tmp_path / "out")
    found = together("spectrum", f"{model}:{function}", "--out", out, *large)
    assert found.returncode != 0
    assert time.monotonic() - start < 60
    assert told in found.stderr or function == "dying"  # the launcher may end the other first


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_processes_end_after_their_launcher_is_killed(model: Path, tmp_path: Path) -> None:
    out, small = tmp_path / "out", ["--max-dim", "20", "--probes", "80", "--steps", "60"]
    started = launched("spectrum", f"{model}:make", "--out", str(out), *small)
    begun, children = time.monotonic(), list[str]()
    try:
        while not any((out / "tasks").glob("*/*")):  # a first part is finished
            assert time.monotonic() - begun < 150
            assert started.poll() is None, started.communicate()[1]
            time.sleep(0.2)
        children = children_of(started)
        started.kill()
        wait_for_the_end_of(children)
    finally:
        kill(children)
        if started.poll() is None:
            os.killpg(started.pid, signal.SIGKILL)
        started.communicate()
    assert len(children) >= 2
    # one process resumes, and ends with the numbers of undisturbed work
    other = tmp_path / "other"
    assert main(["spectrum", f"{model}:make", "--out", str(out), *small]) == 0
    assert main(["spectrum", f"{model}:make", "--out", str(other), *small]) == 0
    assert numbers(out) == numbers(other)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
@pytest.mark.parametrize("seconds", [0.0, 2.0])
def test_processes_end_whose_launcher_is_killed_before_they_meet(
    model: Path, tmp_path: Path, seconds: float
) -> None:
    started = launched("spectrum", f"{model}:make", "--out", str(tmp_path / "out"))
    begun, children = time.monotonic(), list[str]()
    try:
        while len(children) < 2:
            assert time.monotonic() - begun < 150
            assert started.poll() is None, started.communicate()[1]
            children = children_of(started)
            time.sleep(0.01)
        time.sleep(seconds)
        started.kill()
        wait_for_the_end_of(children)
    finally:
        kill(children)
        started.communicate()


def test_other_commands_refuse_several_processes(model: Path, tmp_path: Path) -> None:
    found = together("compare", f"{model}:make", "--out", str(tmp_path / "out"))
    assert found.returncode != 0
    assert "only `hessium spectrum` runs in several" in found.stderr

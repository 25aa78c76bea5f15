"""Real `hessium` processes: model files, a sweep, and a process that tests interrupt."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
MODEL = """
import torch, hessium as hs
from torch import nn

def build():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
    return hs.EmpiricalRisk(net, nn.MSELoss(), (torch.randn(9, 2), torch.randn(9, 1)))

def wrong():
    return 3

def forgets():
    pass

def fails():
    raise RuntimeError("two\\nlines")

def leaves():
    raise SystemExit(3)

def needs(path):
    return path

def empty():
    return hs.EmpiricalRisk(nn.Linear(2, 1), nn.MSELoss(), [])

def training():
    net = nn.Sequential(nn.Linear(2, 3), nn.Dropout(0.5), nn.Linear(3, 1))
    return hs.EmpiricalRisk(net, nn.MSELoss(), (torch.randn(9, 2), torch.randn(9, 1)))

value = 7
"""
LARGE = """
import torch, hessium as hs
from torch import nn

def build():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(50, 400), nn.Tanh(), nn.Linear(400, 200), nn.Tanh(),
                        nn.Linear(200, 2))
    x = torch.randn(30, 50)
    return hs.EmpiricalRisk(net, nn.CrossEntropyLoss(), (x, torch.arange(30) % 2))
"""
SWEEP = """
size = 2
ratios = [0.5]
targeted = 2
published = 0
plain = 0
others = 0
minimisers = 0
max_steps = 5
"""
SCRIPT = """
import sys
from hessium.cli import commands, main
from hessium.runs.experiment import Registry
from hessium.runs.run_directory import RunDirectory
from support.toy_experiment import toy
commands.REGISTRY = Registry([toy(pause=float(sys.argv[1]), log=sys.argv[2])])
if __name__ == "__main__":
    sys.exit(main(sys.argv[3:]))
"""


class Process:
    """`hessium reproduce toy` with slow tasks, in a process of its own."""

    def __init__(self, folder: Path, workers: int) -> None:
        self.folder = folder
        self.log = folder / "log"
        self.script = folder / "script.py"
        self.script.write_text(SCRIPT)
        self.workers = workers

    def start(self, pause: float = 0.3) -> subprocess.Popen[str]:
        command = [sys.executable, str(self.script), str(pause), str(self.log)]
        command += ["reproduce", "toy", "--out", str(self.folder / "run")]
        return subprocess.Popen(
            [*command, "--workers", str(self.workers)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env=os.environ | {"PYTHONPATH": f"{ROOT / 'tests'}:{ROOT / 'src'}"},
        )

    def finished(self) -> int:
        return len(list((self.folder / "run" / "tasks" / "toy").glob("*.npz")))

    def started(self) -> list[list[str]]:
        return [line.split() for line in self.log.read_text().splitlines()]

    def wait_for(self, tasks: int, process: subprocess.Popen[str]) -> None:
        end = time.monotonic() + 180
        while self.finished() < tasks:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < end
            time.sleep(0.01)

    def wait_for_workers(self) -> None:
        """None of them may outlive the run."""
        end = time.monotonic() + 60
        while not all(gone(int(pid)) for _, _, pid in self.started()):
            assert time.monotonic() < end, "workers outlive the run"
            time.sleep(0.02)


def gone(pid: int) -> bool:
    """Whether a process has ended (a zombie nobody waits for has)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True

"""Two ranks of one command, of which one is killed: `python -m support.rank_kills DIR N SEED`.

This process imports everything once and forks the ranks, so that a kill costs no start of Python.
It prints one line of JSON for each kill.
"""

from __future__ import annotations

import functools
import json
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hessium.cli import main
from hessium.profiles import product_measurement

MODEL = """
import torch, hessium as hs
import torch.distributed as dist

def make():
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(5, 9), torch.nn.Tanh(), torch.nn.Linear(9, 3))
    x, y = torch.randn(41, 5), torch.randint(0, 3, (41,))
    several = dist.is_initialized()
    rank, size = (dist.get_rank(), dist.get_world_size()) if several else (0, 1)
    return hs.EmpiricalRisk(
        model, torch.nn.CrossEntropyLoss(), (x[rank::size], y[rank::size]), dtype=torch.float64,
        process_group=dist.group.WORLD if several else None,
    )
"""
OPTIONS = ["--max-dim", "20", "--top", "1", "--probes", "2", "--steps", "8"]
PATIENCE = 60.0  # seconds in which the other rank must end


def start(size: int, out: Path) -> list[int]:
    """Fork the ranks of one run; returns their process numbers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    found = []
    for rank in range(size):
        child = os.fork()
        if not child:
            try:
                status = _run(rank, size, port, out)
            except BaseException as error:
                sys.stderr.write(repr(error))
                status = 99
            os._exit(status)
        found.append(child)
    return found


def _run(rank: int, size: int, port: int, out: Path) -> int:
    log = os.open(out.with_suffix(f".{rank}.log"), os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    if size > 1:
        os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1"}
        os.environ["MASTER_PORT"] = str(port)
    for name in ("eigenpairs", "spectral_measure"):  # a state after each product
        often = functools.partial(getattr(product_measurement, name), checkpoint_every=0.0)
        setattr(product_measurement, name, often)
    model = out.parent / "model.py"
    return main(["spectrum", f"{model}:make", "--out", str(out), *OPTIONS])


def wait(child: int, seconds: float) -> int | None:
    """The exit status, negative for a signal; None if the process runs on."""
    end = time.monotonic() + seconds
    while True:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > end:
            return None
        time.sleep(0.02)


def numbers(out: Path) -> Any:
    """The first table of the page."""
    summary = json.loads((out / "summary.json").read_text())
    return summary["sections"][0]["findings"]["tables"][0]


def joined(out: Path, seconds: float = 60.0) -> None:
    """Wait until both ranks are at work."""
    end = time.monotonic() + seconds
    while not out.exists() and time.monotonic() < end:
        time.sleep(0.01)


def trial(folder: Path, number: int, length: float, rng: np.random.Generator) -> dict[str, Any]:
    """One kill, the end of the other rank, and a resumed run with another number of ranks."""
    out = folder / f"run{number}"
    again = (1, 2, 4)[number % 3]
    while True:
        ranks = start(2, out)
        joined(out)
        moment = float(rng.uniform(0, length))
        time.sleep(moment)
        victim = int(rng.integers(2))
        os.kill(ranks[victim], signal.SIGKILL)
        begun = time.monotonic()
        killed = wait(ranks[victim], PATIENCE)
        status = wait(ranks[1 - victim], PATIENCE)
        seconds = time.monotonic() - begun
        if status is None:
            os.kill(ranks[1 - victim], signal.SIGKILL)
            wait(ranks[1 - victim], PATIENCE)
        if killed == -signal.SIGKILL and status != 0:
            break
        # it came too late: the run had ended
        out = folder / f"run{number}x{time.monotonic_ns()}"
    said = out.with_suffix(f".{1 - victim}.log").read_text(errors="replace").splitlines()
    parts = sorted(path.name for path in (out / "tasks").glob("*")) if out.exists() else []
    statuses = [wait(child, 120.0) for child in start(again, out)]
    return {
        "moment": round(moment, 2), "rank": victim, "status": status, "seconds": round(seconds, 2),
        "said": said[-1:], "errors": sum("error" in line.lower() for line in said),
        "parts": len(parts), "again": again, "resumed": statuses,
        "same": statuses == [0] * again and numbers(out) == numbers(folder / "whole"),
        "left": _children(),
    }  # fmt: skip


def _children() -> int:
    """Processes that this one started and that have not ended."""
    listed = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
    return len(listed.split())


def run(folder: Path, kills: int, seed: int) -> None:
    """Print a line for each kill."""
    torch.set_num_threads(1)
    (folder / "model.py").write_text(MODEL)
    begun = time.monotonic()
    first = [wait(child, 200.0) for child in start(2, folder / "whole")]
    if first != [0, 0]:
        sys.exit(f"the undisturbed run failed: {(folder / 'whole.0.log').read_text()}")
    length = time.monotonic() - begun
    rng = np.random.default_rng(seed)
    for number in range(kills):
        sys.stdout.write(json.dumps(trial(folder, number, length, rng)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    run(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))

"""Commands killed at random moments, over and over: nothing is lost, nothing doubled."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from test_cli import MODEL, ROOT, gone

ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
SWEEP = """
size = 4
ratios = [0.5]
targeted = 10
published = 2
plain = 0
others = 1
minimisers = 0
max_steps = 40
"""
COMMANDS = {
    "sweep": "sweep s.toml --out o",
    "sweep by two": "sweep s.toml --out o --workers 2",
    "reproduce": "reproduce pb-formulas --out o",
    "spectrum": "spectrum m.py:build --out o --max-dim 5 --probes 3 --steps 8 --top 2",
}


def start(folder: Path, line: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "hessium.cli", *line.split()],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
        start_new_session=True,
    )


def descendants(process: subprocess.Popen[str]) -> list[int]:
    path = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return [int(word) for word in path.read_text().split()] if path.exists() else []


def arrays(folder: Path) -> dict[str, dict[str, np.ndarray]]:
    found = {}
    for path in sorted((folder / "arrays").glob("*.npz")):
        with np.load(path, allow_pickle=False) as file:
            found[path.name] = {k: file[k] for k in file.files if k not in ("cpu", "seconds")}
    return found


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
@pytest.mark.parametrize("name", COMMANDS)
def test_killed_at_random_moments_the_end_is_the_calm_one(tmp_path: Path, name: str) -> None:
    """A run that is killed up to 15 times, within 45 s, and then left alone."""
    for place in ("calm", "killed"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "m.py").write_text(MODEL)
        (tmp_path / place / "s.toml").write_text(SWEEP)
    before = time.monotonic()
    calmly = start(tmp_path / "calm", COMMANDS[name])
    _, err = calmly.communicate(timeout=120)
    assert calmly.returncode == 0, err
    whole = time.monotonic() - before
    source = np.random.default_rng(0)
    kept: set[str] = set()
    end, kills = time.monotonic() + 45, 0
    folder = tmp_path / "killed"
    while kills < 15 and time.monotonic() < end:
        process = start(folder, COMMANDS[name])
        # more often while it works than while it imports
        time.sleep(whole * float(source.uniform(0.3, 1.0)))
        children = descendants(process)
        kills += process.poll() is None
        process.kill()
        _, err = process.communicate()
        assert "Traceback" not in err
        for child in children:
            limit = time.monotonic() + 20
            while not gone(child):
                assert time.monotonic() < limit, "a worker outlives its run"
                time.sleep(0.02)
        now = {str(p.relative_to(folder)) for p in folder.glob("o/tasks/*/*.npz")}
        now |= {str(p.relative_to(folder)) for p in folder.glob("o/tasks/*/arrays/*.npz")}
        assert kept <= now
        kept = now
        if process.returncode == 0:  # it was faster than the blow: once more from the start
            shutil.rmtree(folder / "o")
            kept = set()
    last = start(folder, COMMANDS[name])
    _, err = last.communicate(timeout=120)
    assert last.returncode == 0, err
    assert not list(folder.rglob(".unfinished-*"))
    assert not list(folder.rglob("*.checkpoint"))
    calm, killed = arrays(tmp_path / "calm" / "o"), arrays(folder / "o")
    assert calm.keys() == killed.keys()
    for file, those in calm.items():
        assert those.keys() == killed[file].keys()
        for key, value in those.items():
            np.testing.assert_array_equal(value, killed[file][key])
    (tmp_path / "kills").write_text(str(kills))
    assert kills

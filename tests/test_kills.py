"""Commands stopped at random moments, over and over: nothing is lost, nothing doubled."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from support.cli_processes import ENVIRONMENT, MODEL, gone
from support.stored_results import stored_results

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc"),
]
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
# the command, with a state of the estimators after each product
SCRIPT = """
import functools, sys
if __name__ == "__main__":
    from hessium.profiles import product_measurement
    for name in ("eigenpairs", "spectral_measure"):
        often = functools.partial(getattr(product_measurement, name), checkpoint_every=0.0)
        setattr(product_measurement, name, often)
    from hessium.__main__ import main
    sys.exit(main())
"""
COMMANDS = {
    "sweep": "sweep s.toml --out o",
    "sweep by two": "sweep s.toml --out o --workers 2",
    "reproduce": "reproduce pb-fig4 --out o",
    "reproduce by two": "reproduce linear-fig6 --out o --workers 2",
    "spectrum": "spectrum m.py:build --out o",
    "products": "spectrum m.py:build --out o --max-dim 5 --probes 3 --steps 8 --top 2",
}
SECONDS, MOST = 45, 15  # for one command, and how often it is stopped in them at most
BLOWS = [("SIGKILL", 1)] * 4 + [("SIGTERM", 1), ("SIGHUP", 1), ("SIGINT", 1), ("SIGINT", 5)]


def start(folder: Path, line: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "script.py", *line.split()],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
        start_new_session=True,
    )


def finish(folder: Path, line: str) -> None:
    process = start(folder, line)
    _, err = process.communicate(timeout=180)
    assert process.returncode == 0, err


def stop(process: subprocess.Popen[str], source: np.random.Generator) -> bool:
    """Stop a command somehow; whether it was still at work. No word but one line, no orphans."""
    name, times = BLOWS[source.integers(len(BLOWS))]
    number = signal.Signals[name]
    for _ in range(times):
        if not gone(process.pid):  # the group of a terminal, or the process alone
            (os.killpg if source.integers(2) else os.kill)(process.pid, number)
        time.sleep(float(source.uniform(0, 0.1)) if times > 1 else 0)
    _, err = process.communicate(timeout=180)
    lines = [line for line in err.splitlines() if " of " not in line]  # but for progress
    # a signal that comes while the command line is imported ends the process as it ends others
    assert process.returncode in (0, -number, 128 + number), err
    assert "Traceback" not in err
    # after SIGKILL, the tracker of multiprocessing says that it removes the semaphores of the run
    assert name == "SIGKILL" or len(lines) == (process.returncode == 128 + number), err
    limit = time.monotonic() + 60
    while session(process.pid):
        assert time.monotonic() < limit, "a worker outlives its run"
        time.sleep(0.02)
    return process.returncode != 0


def session(number: int) -> list[int]:
    """Processes of the session that process `number` began."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rsplit(")", 1)[1].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[3]) == number and fields[0] != "Z":
            found.append(int(path.parent.name))
    return found


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Of an undisturbed run, and of one that is stopped."""
    for place in ("calm", "stopped"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "m.py").write_text(MODEL)
        (tmp_path / place / "s.toml").write_text(SWEEP)
        (tmp_path / place / "script.py").write_text(SCRIPT)
    return tmp_path / "calm", tmp_path / "stopped"


@pytest.mark.parametrize("name", COMMANDS)
def test_stopped_at_random_moments_the_end_is_the_undisturbed_one(
    folders: tuple[Path, Path], name: str
) -> None:
    calm, folder = folders
    before = time.monotonic()
    finish(calm, COMMANDS[name])
    whole = time.monotonic() - before
    source = np.random.default_rng(list(COMMANDS).index(name))
    kept: set[str] = set()
    end, stops = time.monotonic() + SECONDS, 0
    while stops < MOST and time.monotonic() < end:
        process = start(folder, COMMANDS[name])
        # more often while it works than while it imports
        time.sleep(whole * float(source.uniform(0.3, 1.0)))
        stopped = stop(process, source)
        stops += stopped
        now = set(stored_results(folder / "o"))
        assert kept <= now
        kept = now
        if not stopped:  # it was faster than the blow: once more from the start
            shutil.rmtree(folder / "o")
            kept = set()
    assert stops
    finish(folder, COMMANDS[name])
    left = [path for pattern in (".unfinished-*", "*.checkpoint", "*.lock")
            for path in folder.rglob(pattern)]  # fmt: skip
    assert not left
    expected, found = stored_results(calm / "o"), stored_results(folder / "o")
    assert expected.keys() == found.keys()
    for key, value in expected.items():
        assert found[key] == value, key
    assert (folder / "o" / "report.html").read_text().rstrip().endswith("</html>")


def test_a_page_is_whole_whenever_its_writer_is_stopped(folders: tuple[Path, Path]) -> None:
    folder = folders[1]
    finish(folder, COMMANDS["reproduce"])

    def pages() -> dict[str, bytes]:
        paths = [folder / "o" / "report.html", *(folder / "o" / "figures").glob("*.svg")]
        return {path.name: path.read_bytes() for path in paths if path.exists()}

    before = time.monotonic()
    finish(folder, "report o")
    whole, expected = time.monotonic() - before, pages()
    source = np.random.default_rng(0)
    end, stops = time.monotonic() + SECONDS, 0
    while stops < MOST and time.monotonic() < end:
        if source.integers(2):
            shutil.rmtree(folder / "o" / "figures", ignore_errors=True)
            (folder / "o" / "report.html").unlink(missing_ok=True)
        process = start(folder, "report o")
        time.sleep(whole * float(source.uniform(0.5, 1.0)))
        stops += stop(process, source)
        assert pages().items() <= expected.items()
    assert stops
    finish(folder, "report o")
    assert pages() == expected
    assert not list(folder.rglob(".unfinished-*"))

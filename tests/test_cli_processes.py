"""The command as a real process whose reader, terminal or scheduler goes away."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hessium.cli import commands, main
from hessium.runs.experiment import Registry
from support.cli_processes import LARGE, MODEL, ROOT, SWEEP, Process, gone
from support.toy_experiment import toy

ENVIRONMENT = os.environ | {"PYTHONPATH": f"{ROOT / 'tests'}:{ROOT / 'src'}"}
COMMANDS = {
    "spectrum": ("spectrum m.py:build --out measured", "measured/report.html"),
    "compare": ("compare double.py:build --rotations 99 --out compared", "compared/report.html"),
    "sweep": ("sweep s.toml --out swept", "swept/report.html"),
    "reproduce": ("reproduce pb-fig4 --out reproduced", "reproduced/report.html"),
    "report": ("report made", "made/report.html"),
    "theory": ("theory --ratio 0.5 --plot a.svg", "a.svg"),
    "list": ("list", None),
    "show": ("show made 0", None),
    "help": ("spectrum --help", None),
    "version": ("--version", None),
    "error": ("example nowhere", None),
}
ENDINGS = ["| true", ">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-", "2>&1 | true", "> /dev/full"]
FAST = {("theory", ">&-"), ("list", "| true"), ("error", "2>&1 | true")}


def shell(folder: Path, line: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", line],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env=ENVIRONMENT,
        timeout=120,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model and the file of a sweep."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "m.py").write_text(MODEL)
    (folder / "double.py").write_text(
        f"import torch\ntorch.set_default_dtype(torch.float64)\n{MODEL}"
    )
    (folder / "s.toml").write_text(SWEEP)
    return folder


@pytest.fixture(scope="module")
def made(folder: Path) -> Path:
    """The same folder with a run directory."""
    shell(folder, f"{sys.executable} -m hessium.cli sweep s.toml --out made").check_returncode()
    return folder


@pytest.mark.parametrize(
    ("command", "ending"),
    [
        pytest.param(c, e, marks=() if (c, e) in FAST else pytest.mark.slow)
        for c in COMMANDS
        for e in ENDINGS
    ],
)
def test_a_reader_that_has_gone_loses_words_not_the_page(
    folder: Path, command: str, ending: str, request: pytest.FixtureRequest
) -> None:
    line, page = COMMANDS[command]
    if "made" in line:
        request.getfixturevalue("made")
    if page is not None:
        (folder / page).unlink(missing_ok=True)
    done = shell(folder, f"{sys.executable} -m hessium.cli {line} {ending}")
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    if page is not None:
        assert (folder / page).is_file(), done
    if ending == "> /dev/full" and command not in ("help", "version"):
        assert done.returncode == 2
    elif ending != "> /dev/full":
        assert done.returncode == (2 if command == "error" or command == "show" else 0)
    if command == "error" and "2>" not in ending:
        assert done.stderr.startswith("error: NAME: 'nowhere' is not an example; ")
        assert done.stderr.count("\n") == 1


def resume(run: Process, monkeypatch: pytest.MonkeyPatch) -> int:
    """The same command in this process, on one worker."""
    monkeypatch.setattr(commands, "REGISTRY", Registry([toy(log=str(run.log))]))
    return main(["reproduce", "toy", "--out", str(run.folder / "run")])


needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")


@needs_proc
@pytest.mark.parametrize(
    ("name", "times", "workers", "group"),
    [
        ("SIGINT", 2, 1, True),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in [
                ("SIGINT", 2, 2, True),
                ("SIGINT", 5, 2, True),
                ("SIGINT", 5, 1, True),
                ("SIGINT", 2, 2, False),
                ("SIGTERM", 1, 2, False),
                ("SIGTERM", 1, 2, True),
                ("SIGTERM", 3, 2, True),
                ("SIGHUP", 1, 2, True),
                ("SIGHUP", 2, 1, False),
            ]
        ),
    ],
)
def test_signals_however_many_are_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    times: int,
    workers: int,
    group: bool,
) -> None:
    run, number = Process(tmp_path, workers), signal.Signals[name]
    process = run.start()
    run.wait_for(1, process)
    for _ in range(times):
        if not gone(process.pid):
            (os.killpg if group else os.kill)(process.pid, number)
        time.sleep(0.05)
    _, err = process.communicate(timeout=180)
    assert process.returncode == 128 + number, err
    by = "" if name == "SIGINT" else f" by {name}"
    # no traceback, no word of leaked semaphores; on a slow machine, lines of progress before it
    *progress, last = err.splitlines()
    assert last == f"interrupted{by}: finished parts are kept; the same command resumes"
    assert all(line.startswith("toy: ") for line in progress)
    run.wait_for_workers()
    kept = run.finished()
    assert 1 <= kept < 6
    assert resume(run, monkeypatch) == 0
    # the pause is part of a task: those without it are others, and the first ones stay
    assert run.finished() == kept + 6
    assert "toy: 6 tasks computed\n" in capsys.readouterr().out


@pytest.mark.slow
@needs_proc
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_scheduler_that_ends_a_measurement_leaves_its_page(tmp_path: Path, name: str) -> None:
    (tmp_path / "large.py").write_text(LARGE)
    line = "spectrum large.py:build --out run --probes 4 --steps 30 --top 3"
    process = subprocess.Popen(
        [sys.executable, "-m", "hessium.cli", *line.split()],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
        start_new_session=True,
    )
    end = time.monotonic() + 120
    while len(list((tmp_path / "run" / "tasks" / "spectrum").glob("*.npz"))) < 3:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.01)
    for _ in range(2):
        os.killpg(process.pid, signal.Signals[name])
        time.sleep(0.1)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 128 + signal.Signals[name], err
    assert err.splitlines()[-1].startswith(f"interrupted by {name}: finished parts are kept")
    assert f"Stopped before the end by {name}" in (tmp_path / "run" / "report.html").read_text()


@pytest.mark.slow
def test_what_a_terminal_ignores_stays_ignored(tmp_path: Path) -> None:
    """As under `nohup`."""
    run = Process(tmp_path, 1)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        process = run.start(0.1)
    finally:
        signal.signal(signal.SIGHUP, before)
    run.wait_for(1, process)
    process.send_signal(signal.SIGHUP)
    _, err = process.communicate(timeout=180)
    assert process.returncode == 0, err

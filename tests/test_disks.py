"""Commands on file systems that are full, read-only, or change under them."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.cli_processes import ENVIRONMENT, MODEL, SWEEP
from support.stored_results import stored_results

pytestmark = pytest.mark.slow
root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="mounts, and works as another user"
)
NOBODY = 65534
COMMANDS = {
    "sweep": "sweep s.toml",
    "reproduce": "reproduce pb-fig4",
    "spectrum": "spectrum m.py:build",
    "products": "spectrum m.py:build --max-dim 5 --probes 3 --steps 8 --top 2",
}


def hessium(
    folder: Path, line: str, *out: str, user: int | None = None
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "hessium.cli", *line.split(), *out],
        cwd=folder,
        env=ENVIRONMENT,
        capture_output=True,
        check=False,
        timeout=120,
        user=user,
    )


def refused(done: subprocess.CompletedProcess[bytes]) -> str:
    """The one line with which a command ends; warnings, and progress if it is slow, come before."""
    lines = done.stderr.decode().splitlines()
    before = [line for line in lines if line.startswith("warning: ") or " of " in line]
    (line,) = [line for line in lines if line.startswith("error: ") or line not in before]
    assert done.returncode == 2, line
    assert line.startswith("error: ")
    return line


@contextlib.contextmanager
def mounted(place: Path, *options: str) -> Iterator[None]:
    done = subprocess.run(["mount", *options, str(place)], check=False, capture_output=True)
    if done.returncode:
        pytest.skip(f"no mounts here: {done.stderr!r}")
    try:
        yield
    finally:
        subprocess.run(["umount", str(place)], check=True)


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, a sweep, and one undisturbed run of each command."""
    folder = tmp_path_factory.mktemp("calm")
    folder.chmod(0o755)
    (folder / "m.py").write_text(MODEL)
    (folder / "s.toml").write_text(SWEEP)
    for name, line in COMMANDS.items():
        assert hessium(folder, line, "--out", name).returncode == 0
    return folder


@root
@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize(
    "limit", ["size=8k", "size=40k", "size=96k", "size=140k", "nr_inodes=3", "nr_inodes=9"]
)
def test_with_space_again_the_same_command_ends_as_undisturbed(
    calm: Path, tmp_path: Path, name: str, limit: str
) -> None:
    out = tmp_path / "small"
    out.mkdir()
    with mounted(out, "-t", "tmpfs", "-o", limit, "none"):
        done = hessium(calm, COMMANDS[name], f"--out={out / 'o'}")
        if done.returncode:
            assert str(out) in refused(done)
        else:  # it fits
            assert limit in ("size=96k", "size=140k", "nr_inodes=9")
        again = ["mount", "-o", "remount,size=8m,nr_inodes=10000", str(out)]
        subprocess.run(again, check=True)
        done = hessium(calm, COMMANDS[name], f"--out={out / 'o'}")
        assert done.returncode == 0, done.stderr
        assert stored_results(out / "o") == stored_results(calm / name)
        assert not list(out.rglob(".unfinished-*"))


@root
@pytest.mark.parametrize("name", COMMANDS)
def test_folders_without_rights_are_refused(calm: Path, tmp_path: Path, name: str) -> None:
    place = tmp_path / "fixed"
    place.mkdir()
    with mounted(place, "--bind", str(calm / name)):
        subprocess.run(["mount", "-o", "remount,bind,ro", str(place)], check=True)
        for out in (place, place / "new"):
            assert "cannot be written" in refused(hessium(calm, COMMANDS[name], f"--out={out}"))
        assert "cannot be written" in refused(hessium(calm, f"report {place}"))
    for line in (f"{COMMANDS[name]} --out {name}", f"report {name}"):
        try:
            done = hessium(calm, line, user=NOBODY)
        except PermissionError:
            pytest.skip("another user cannot start this Python")
        assert "cannot be written" in refused(done)


@pytest.mark.parametrize("name", ["sweep", "reproduce", "products"])
@pytest.mark.parametrize("how", ["removed", "replaced by a folder", "replaced by a file"])
def test_a_folder_that_goes_away_is_one_line(
    calm: Path, tmp_path: Path, name: str, how: str
) -> None:
    out = tmp_path / "o"
    process = subprocess.Popen(
        [sys.executable, "-m", "hessium.cli", *COMMANDS[name].split(), "--out", str(out)],
        cwd=calm, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    limit = time.monotonic() + 60
    while not list(out.glob("tasks/*/*")) and process.poll() is None:
        assert time.monotonic() < limit
        time.sleep(0.002)
    out.rename(tmp_path / "away")
    if how == "removed":
        shutil.rmtree(tmp_path / "away")
    elif how == "replaced by a folder":
        out.mkdir()
        (out / "theirs").write_text("precious")
    else:
        out.write_text("precious")
    _, err = process.communicate(timeout=120)
    lines = [line for line in err.decode().splitlines() if line.startswith("error: ")]
    assert process.returncode == 2
    assert len(lines) == 1
    assert "Traceback" not in err.decode()
    assert "is kept" not in lines[0]
    if out.is_file():
        assert out.read_text() == "precious"
        out.unlink()
    elif out.exists():
        assert [path.name for path in out.iterdir()] == ["theirs"]
        shutil.rmtree(out)
    assert hessium(calm, COMMANDS[name], f"--out={out}").returncode == 0
    assert stored_results(out) == stored_results(calm / name)


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize(
    "out", [b"\xff", b"a\nb", b"-x", b"%s{x}", "ü\u202ex".encode(), b"\x1b[1m"]
)
def test_any_name_of_a_folder_works(calm: Path, tmp_path: Path, name: str, out: bytes) -> None:
    place = Path(os.fsdecode(out))
    done = hessium(calm, COMMANDS[name], f"--out={tmp_path / place}")
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr
    assert stored_results(tmp_path / place) == stored_results(calm / name)
    done = hessium(calm, "report", str(tmp_path / place))
    assert done.returncode == 0, done.stderr


def garbage(path: Path) -> None:
    path.write_bytes(bytes(range(256)) * 40)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-60])


def half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def nulls(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("name", ["sweep", "reproduce", "products"])
def test_a_file_in_place_of_the_results_is_named(calm: Path, tmp_path: Path, name: str) -> None:
    out = tmp_path / "o"
    shutil.copytree(calm / name, out)
    (tasks,) = (out / "tasks").iterdir()
    shutil.rmtree(tasks)
    tasks.write_text("precious")
    assert str(tasks) in refused(hessium(calm, COMMANDS[name], f"--out={out}"))
    assert tasks.read_text() == "precious"
    tasks.unlink()
    assert hessium(calm, COMMANDS[name], f"--out={out}").returncode == 0
    assert stored_results(out) == stored_results(calm / name)


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("damage", [garbage, empty, cut, half, nulls, folder])
@pytest.mark.parametrize("what", ["tasks", "summary.json"])
def test_damaged_files_are_made_again(
    calm: Path, tmp_path: Path, name: str, damage: Callable[[Path], None], what: str
) -> None:
    out = tmp_path / "o"
    shutil.copytree(calm / name, out)
    path = out / what if what == "summary.json" else min((out / "tasks").rglob("*.npz"))
    damage(path)
    if what == "summary.json":
        assert what in refused(hessium(calm, "report", str(out)))
    done = hessium(calm, COMMANDS[name], f"--out={out}")
    if damage is folder:  # never removed for the user
        assert str(path) in refused(done)
        path.rmdir()
        done = hessium(calm, COMMANDS[name], f"--out={out}")
    assert done.returncode == 0, done.stderr
    assert stored_results(out) == stored_results(calm / name)


@pytest.mark.parametrize("name", COMMANDS)
def test_three_processes_in_one_folder(calm: Path, tmp_path: Path, name: str) -> None:
    out = tmp_path / "o"
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "hessium.cli", *COMMANDS[name].split(), "--out", str(out)],
            cwd=calm, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )
        for _ in range(3)
    ]  # fmt: skip
    for process in processes:
        _, err = process.communicate(timeout=180)
        assert process.returncode == 0, err
    assert stored_results(out) == stored_results(calm / name)
    assert not list(out.rglob("*.lock"))
    assert not list(out.rglob("*.checkpoint"))

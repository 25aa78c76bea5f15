"""The command as its user meets it: exit status, streams, files; partly as a real process."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from hessium.cli import commands, main
from hessium.runs.experiment import Registry
from hessium.runs.run_directory import RunDirectory
from hessium.studies.catalogue import CATALOGUE
from support.cli_processes import LARGE, MODEL, ROOT, Process
from support.toy_experiment import toy


@pytest.fixture(autouse=True)
def _toys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "REGISTRY", Registry([toy("toy"), toy("other")]))


def fails(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line that bad input gets; checks the contract on the way."""
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    return err


def test_reproduce_writes_a_run_directory(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert main(["reproduce", "--out", str(out)]) == 0
    words = capsys.readouterr().out
    assert "toy: 6 tasks computed" in words
    assert "  holds: It is near 2." in words
    assert "  does not hold: It is above 5." in words
    assert f"page: {out / 'report.html'}" in words
    assert {p.name for p in out.iterdir()} == {
        ".hessium-run",
        "README.md",
        "arrays",
        "figures",
        "report.html",
        "summary.json",
        "tasks",
    }
    assert main(["reproduce", "toy", "--out", str(out)]) == 0
    assert "toy: 0 tasks computed, 6 from an earlier run" in capsys.readouterr().out
    assert "hessium reproduce other" in (out / "report.html").read_text()
    assert main(["reproduce", "toy", "--force", "--out", str(out)]) == 0
    assert "toy: 6 tasks computed\n" in capsys.readouterr().out


def test_report_draws_again_what_is_stored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["reproduce", "toy", "--out", str(tmp_path)]) == 0
    page = tmp_path / "report.html"
    before = page.read_bytes()
    page.unlink()
    (tmp_path / "figures" / "toy-largest.svg").unlink()
    assert main(["report", str(tmp_path)]) == 0
    assert page.read_bytes() == before
    assert (tmp_path / "figures" / "toy-largest.svg").exists()
    capsys.readouterr()


def test_list_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    out = capsys.readouterr().out
    assert [line for line in out.splitlines() if line[0] != " "] == list(CATALOGUE)
    assert out.startswith("rank-vs-samples\n    Rank of the Hessian of a small network against")
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out.startswith("hessium ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "COMMAND"),
        (["reproduse"], "'reproduse'"),
        (["spectrm", "a.py:f"], "COMMAND: there is no 'spectrm'; did you mean 'spectrum'?"),
        (["completion", "bsh"], "shell: there is no 'bsh'; did you mean 'bash'?"),
        (["zzz"], "COMMAND: invalid choice: 'zzz'"),
        (["reproduce", "tqy"], "NAME: 'tqy' is not an experiment; did you mean 'toy'?"),
        (["reproduce", "toy", "--preset", "big"], "preset: 'big'; toy has quick, paper"),
        (["reproduce", "--workers", "0"], "--workers: 0; a positive integer is required"),
        (["reproduce", "--workers", "two"], "--workers: two; a positive integer is required"),
        (["reproduce", "--out", "/dev/null/x"], "--out: /dev/null/x cannot be written"),
        (["reproduce", "--colour"], "--colour"),
        (["report"], "RUN_DIR"),
        (["report", "/nowhere"], "RUN_DIR: /nowhere is not a directory"),
        (["spectrum", "a.py:f", "--tol", "2"], "--tol: 2; a number between 0 and 1 is required"),
        (["spectrum", "a.py:f", "--max-dim", "-1"], "--max-dim: -1; a positive integer"),
        (
            ["compare", "a.py:f", "--seed", "-1"],
            "--seed: -1; an integer >= 0, below 2^63, is required",
        ),
        (["compare", "a.py:f", "--rotations", "0"], "--rotations: 0; a positive integer"),
    ],
)
def test_bad_arguments(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert message in fails(capsys, *arguments)


def test_bad_names_come_before_any_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fails(capsys, "reproduce", "toy", "nonsense", "--out", str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_bad_directories(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "theirs").write_text("precious")
    assert "--out" in fails(capsys, "reproduce", "toy", "--out", str(tmp_path))
    assert "no summary.json" in fails(capsys, "report", str(tmp_path))
    (tmp_path / "summary.json").write_text('{"schema": 1, "sections": [{"title":')
    assert "summary.json is broken" in fails(capsys, "report", str(tmp_path))


def test_a_page_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce", "toy", "--out", str(tmp_path)]) == 0
    (tmp_path / "report.html").unlink()
    (tmp_path / "report.html").mkdir()
    capsys.readouterr()
    assert "cannot be written" in fails(capsys, "report", str(tmp_path))


@pytest.mark.filterwarnings("default")
def test_a_broken_task_is_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce", "toy", "--out", str(tmp_path)]) == 0
    capsys.readouterr()
    next((tmp_path / "tasks" / "toy").iterdir()).write_bytes(b"PK")
    assert main(["reproduce", "toy", "--out", str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    assert "1 tasks computed, 5 from an earlier run" in out
    assert err.startswith("warning: ")
    assert err.count("\n") == 1


# ---------------------------------------------------------------- real processes


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
@pytest.mark.parametrize(
    ("workers", "blows"),
    [
        pytest.param(1, ["Ctrl-C", "SIGKILL"], marks=pytest.mark.slow),
        pytest.param(2, ["Ctrl-C", "SIGKILL"], marks=pytest.mark.slow),
        pytest.param(2, ["SIGINT", "SIGTERM"], marks=pytest.mark.slow),
        pytest.param(1, ["SIGHUP", "SIGTERM"], marks=pytest.mark.slow),
    ],
)
def test_what_is_finished_survives_and_the_run_goes_on(
    tmp_path: Path, workers: int, blows: list[str]
) -> None:
    run = Process(tmp_path, workers)
    kept = 0
    for blow in blows:
        process = run.start()
        run.wait_for(kept + 1, process)
        if blow == "Ctrl-C":  # reaches the whole group of a terminal
            os.killpg(process.pid, signal.SIGINT)
        else:
            process.send_signal(signal.Signals[blow])
        _, err = process.communicate(timeout=180)
        if blow == "SIGKILL":
            assert process.returncode == -signal.SIGKILL
        else:
            number = signal.SIGINT if blow == "Ctrl-C" else signal.Signals[blow]
            assert process.returncode == 128 + number
            assert err.splitlines()[-1].startswith("interrupted")
            assert "Traceback" not in err
            assert "leaked" not in err
        run.wait_for_workers()
        assert kept < run.finished() < 6
        kept = run.finished()

    before = len(run.started())
    last = run.start()
    out, err = last.communicate(timeout=180)
    assert last.returncode == 0, err
    assert f"toy: {6 - kept} tasks computed, {kept} from an earlier run" in out
    assert len(run.started()) == before + 6 - kept
    assert (tmp_path / "run" / "report.html").exists()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
@pytest.mark.parametrize("wait", [0.0, 0.2, 0.4, 0.6, 0.8, 1.0])
def test_workers_that_are_still_starting_are_interrupted_without_a_word(
    tmp_path: Path, wait: float
) -> None:
    run = Process(tmp_path, 2)
    process = run.start()
    end = time.monotonic() + 180
    while not Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text():
        assert time.monotonic() < end
    time.sleep(wait)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=180)
    assert process.returncode == 130
    assert "Traceback" not in err


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_keeps_what_is_finished(tmp_path: Path) -> None:
    run = Process(tmp_path, 1)
    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'tests'}:{ROOT / 'src'}"}
    command = [sys.executable, str(run.script), "0", str(run.log), "reproduce", "toy", "--out"]
    # no file may grow beyond two kilobytes: tasks fit, the summary and the page do not
    limited = subprocess.run(
        ["bash", "-c", 'ulimit -f 2; exec "$@"', "bash", *command, str(tmp_path / "run")],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert limited.returncode == 2, limited
    assert limited.stderr.startswith("error: ")
    assert limited.stderr.endswith("finished parts are kept; the same command resumes\n")
    assert "Traceback" not in limited.stderr
    assert run.finished() == 6
    again = subprocess.run(
        [*command, str(tmp_path / "run")],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    assert "0 tasks computed, 6 from an earlier run" in again.stdout


# ---------------------------------------------------------------- a user's own model


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "path", list(sys.path))
    path = tmp_path / "model.py"
    path.write_text(MODEL)
    return path


def test_spectrum_measures_a_model(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert main(["spectrum", f"{model}:build", "--out", str(out), "--tol", "1e-5"]) == 0
    assert f"page: {out / 'report.html'}" in capsys.readouterr().out
    (section,) = RunDirectory.open(out).sections()
    assert section.command == f"hessium spectrum {model}:build --out {out} --tol 1e-5"
    assert section.config["parameters"] == 13
    assert section.config["samples"] == 9
    with np.load(out / "arrays" / "spectrum.npz", allow_pickle=False) as arrays:
        assert arrays["hessian"].shape == (13,)
        assert arrays["hessian_0"].shape == (9,)
    assert main(["report", str(out)]) == 0


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("wrong", "wrong() returned an int; a hessium.EmpiricalRisk is required"),
        ("forgets", "forgets() returned None"),
        ("fails", "line 17: RuntimeError: two"),
        ("leaves", "line 20: SystemExit: 3"),
        ("needs", "needs needs path"),
        ("value", "an int of that name"),
        ("nothing", "has no such function; nothing must be a function"),
        ("biuld", "has no such function: biuld; did you mean 'build'?"),
        ("not-a-name", "a Python file, a colon and a function are required"),
        ("empty", "data: "),
        ("training", "Dropout"),
    ],
)
def test_bad_targets(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], function: str, message: str
) -> None:
    out = str(tmp_path / "run")
    assert message in fails(capsys, "spectrum", f"{model}:{function}", "--out", out)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.py", None, "is not a file"),
        ("broken.py", "def f(:\n", "line 1: SyntaxError"),
        ("imports.py", "\nimport nonsense_xyz\n", "line 2: ModuleNotFoundError"),
        ("notes.txt", "def f(): pass", "its name must end in .py"),
    ],
)
def test_bad_files(
    model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    content: str | None,
    message: str,
) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    assert message in fails(
        capsys, "spectrum", f"{tmp_path / name}:f", "--out", str(model.parent / "r")
    )


@pytest.mark.slow
def test_compare_says_in_words_what_holds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    example, out = "hessium.examples.relu_landscape", tmp_path / "run"
    assert main(["compare", f"{example}:make", "--out", str(out), "--rotations", "99"]) == 0
    said = capsys.readouterr().out
    assert "does not hold: H₀ is Wishart of the network's ratio." in said
    assert "holds: Every zero eigenvalue of H₀ is explained" in said
    (section,) = RunDirectory.open(out).sections()
    assert section.seeds == (0,)
    assert "--rotations 99" in section.command
    page = (out / "report.html").read_text()
    assert "rescalings of the 12 units" in page
    assert fails(capsys, "compare", f"{example}:make", "--out", str(out), "--rotations", "3").count(
        "alpha: 0.01"
    )


@pytest.mark.slow
def test_a_folder_holds_one_target(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "run")
    assert main(["reproduce", "toy", "--out", out]) == 0
    capsys.readouterr()
    err = fails(capsys, "spectrum", f"{model}:build", "--out", out)
    assert f"--out: {out} holds another run (Toy" in err
    mine = str(tmp_path / "mine")
    assert main(["spectrum", f"{model}:build", "--out", mine]) == 0
    capsys.readouterr()
    other = tmp_path / "other.py"
    other.write_text(MODEL)
    before = (tmp_path / "mine" / "summary.json").read_bytes()
    assert "holds another run" in fails(capsys, "spectrum", f"{other}:build", "--out", mine)
    assert "holds another run" in fails(capsys, "reproduce", "toy", "--out", mine)
    assert (tmp_path / "mine" / "summary.json").read_bytes() == before
    # the same function again, after an edit that changes nothing, takes what is there
    model.write_text(MODEL + "\n")
    assert main(["spectrum", f"{model}:build", "--out", mine]) == 0
    assert "7 parts from an earlier run" in capsys.readouterr().out


@pytest.mark.slow
def test_without_out_every_function_has_a_folder(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["spectrum", "model.py:build"]) == 0
    assert "page: runs/spectrum/model-build/report.html" in capsys.readouterr().out
    assert (tmp_path / "runs/spectrum/model-build/report.html").exists()


def test_brackets_in_the_terminal_are_errors_of_numbers(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["spectrum", f"{model}:build", "--out", str(tmp_path / "run")]) == 0
    out = capsys.readouterr().out
    assert "  does not hold: " in out or "  holds: " in out
    for inside in re.findall(r"\[(.*?)\]", out):
        assert "," in inside or "bounds" in inside, inside


@pytest.mark.slow
def test_a_large_model_as_a_real_process(tmp_path: Path) -> None:
    """101,002 parameters: Ctrl-C while probes run, a page of what there is, and on to the end."""
    (tmp_path / "large.py").write_text(LARGE)
    out = tmp_path / "run"
    line = ["spectrum", "large.py:build", "--out", "run", "--probes", "4", "--steps", "30"]
    command = [sys.executable, "-m", "hessium.cli", *line, "--top", "3"]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    )
    end = time.monotonic() + 120
    while len(list((out / "tasks" / "spectrum").glob("*.npz"))) < 3:  # gradient, pairs, a probe
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    words, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "interrupted: finished parts are kept; the same command resumes" in err
    assert "Traceback" not in err
    assert "memory" in words  # said in advance
    assert "Stopped before the end by Ctrl-C" in (out / "report.html").read_text()

    def hessium(*arguments: str) -> str:
        return subprocess.run(
            [sys.executable, "-m", "hessium.cli", *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
            env=environment,
        ).stdout

    assert f"spectrum was stopped before its end; `hessium {' '.join(line)} --top 3` resumes" in (
        hessium("report", "run")
    )
    said = hessium(*line, "--top", "3")
    assert "parts from an earlier run" in said
    assert "stopped" not in hessium("report", "run").lower()
    page = (out / "report.html").read_text()
    assert "Stopped before" not in page
    (section,) = RunDirectory.open(out).sections()
    assert section.config["parameters"] == 101_002
    titles = [t.title for t in section.findings.tables]
    assert titles[-1] == "Cost"
    assert [c.name for c in section.findings.charts] == ["density", "eigenvalues", "threshold"]


def test_a_run_that_was_killed_says_how_to_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    RunDirectory.create(tmp_path, "hessium reproduce toy --out here")
    assert "nothing is finished yet; `hessium reproduce toy --out here` resumes" in fails(
        capsys, "report", str(tmp_path)
    )
    assert main(["reproduce", "toy", "--out", str(tmp_path)]) == 0
    (tmp_path / "tasks" / "other").mkdir()
    (tmp_path / "tasks" / "other" / "x.npz").write_bytes(b"")
    capsys.readouterr()
    assert main(["report", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert f"other was stopped before its end; `hessium reproduce toy --out {tmp_path}`" in out


@pytest.mark.parametrize(
    ("module", "name", "status"),
    [
        ("hessium.cli", "SIGINT", 130),
        ("hessium.cli.parser", "SIGINT", 130),
        ("torch", "SIGINT", 130),
        ("torch", "SIGTERM", 143),
    ],
)
def test_interrupted_while_it_imports(module: str, name: str, status: int) -> None:
    # an import hook stands for the finger: the signal comes while `module` is being imported
    script = f"""
import os, signal, sys
class Finger:
    def find_spec(self, name, path=None, target=None):
        if name == "{module}":
            os.kill(os.getpid(), signal.{name})
sys.meta_path.insert(0, Finger())
from hessium.__main__ import main
sys.argv[1:] = ["reproduce", "toy"]
sys.exit(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
    )
    assert done.returncode == status, done
    by = "" if name == "SIGINT" else f" by {name}"
    assert done.stderr == f"interrupted{by}: nothing had begun\n"

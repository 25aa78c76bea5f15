"""Command lines that ask for what cannot be done: one line, exit status 2, nothing left behind."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from hessium._text import wrapped
from hessium.cli import main

TARGET = """
import json

def inner():
    return outer()

def outer():
    raise KeyError("k")

def silent():
    raise ValueError

class Odd(Exception):
    def __str__(self):
        raise RuntimeError("no words")

def odd():
    raise Odd

def document():
    json.loads("\\n\\n\\n\\n{")

def leaves():
    raise SystemExit(3)

def deep():
    return deep()

def gone():
    raise BrokenPipeError

def memory():
    raise MemoryError

def disk():
    raise OSError(28, "No space left on device")
"""
SETTINGS = {
    "": "has no setting",
    "# a remark alone": "has no setting",
    "targeted = 1000000000000": "targeted: 1000000000000 is out of range; 0 to 1000000",
    "published = 1000000": "1 to 100000 are possible",
    "restarts = 1000000000000": "restarts: 1000000000000 is out of range; 0 to 1000",
    "max_steps = 1000000000000": "max_steps: 1000000000000 is out of range",
    "plain_steps = 0": "plain_steps: 0 is out of range; 1 to 1000000",
    "iterations = [1000000000000]": "iterations: (1000000000000,) is out of range",
    "ridge = inf": "ridge: inf is out of range; a finite number",
    "ridge = nan": "ridge: nan is out of range",
    "ratios = [1e-300]": "ratios: (1e-300,) is out of range; numbers from 1e-4 to 2",
    "ratios = [0.5, 0.5]": "differ by 0.001",
    "ratios = [nan]": "ratios: (nan,) is out of range",
    "seed = 99999999999999999999": "seed: 99999999999999999999 is out of range",
    "seed = " + "9" * 5000: "is no TOML",
    "activation = 'relu'": "activation: 'relu' is out of range; tanh or linear",
    "targeted = true": "targeted: 'True' does not belong there",
    "targeted = 1.5": "targeted: '1.5' does not belong there",
    "a = " + "[" * 3000 + "]" * 3000: "is no TOML",
    "x" * 2**21: "more than 1048576 bytes",
    "targeted = 0\npublished = 0\nplain = 0\nothers = 0\nminimisers = 0": "0 searches",
}
MANY = "1" + "0" * 20
LINES = [
    (["reproduce", "--workers", "10000"], "--workers: 10000; each takes a core"),
    (["sweep", "a.toml", "--workers", MANY], f"--workers: {MANY}; at most"),
    (["reproduce", "--workers", "9" * 5000], "...; a positive integer is required"),
    (["reproduce", "--workers", "1.5"], "--workers: 1.5; a positive integer is required"),
    (["reproduce", "--workers", "²"], "--workers: ²; a positive integer is required"),
    (["spectrum", "a.py:f", "--probes", MANY], f"--probes: {MANY}; at most 100000"),
    (["spectrum", "a.py:f", "--steps", MANY], f"--steps: {MANY}; at most 100000"),
    (["spectrum", "a.py:f", "--top", MANY], f"--top: {MANY}; at most 10000"),
    (["spectrum", "a.py:f", "--max-dim", MANY], f"--max-dim: {MANY}; at most"),
    (["spectrum", "a.py:f", "--memory", "1e308"], "--memory: 1e308; at most"),
    (["spectrum", "a.py:f", "--memory", "nan"], "--memory: nan; a number > 0"),
    (["spectrum", "a.py:f", "--seed", MANY], f"--seed: {MANY}; an integer >= 0, below 2^63"),
    (["spectrum", "a.py:f", "--seed", "²"], "--seed: ²; an integer >= 0"),
    (["compare", "a.py:f", "--rotations", MANY], f"--rotations: {MANY}; at most 1000000"),
    (["theory", "--ratio", ".5", "--scale", "1e308"], "--ratio, --energy, --scale: 0.5, critical"),
    (
        ["theory", "--ratio", ".5", "--scale", "1e-308"],
        "--ratio, --energy, --scale: 0.5, critical, 1e-",
    ),
    (["theory", "--ratio", "1e308"], "--ratio, --energy, --scale: 1e+308"),
    (["theory", "--ratio", "1/0"], "--ratio: 1/0; a number > 0 is required"),
    (["theory", "--ratio", "1" + "0" * 400 + "/1"], "...; a number > 0 is required"),
    (["theory", "--ratio", ".5", "--plot", "no/such/a.svg"], "no/such is not a directory"),
    (["theory", "--ratio", ".5", "--plot", "f" * 300 + ".png"], "File name too long"),
    (["report", "d" * 5000], "File name too long"),
    (["list", "\x1b[31mred"], "unrecognized arguments: \ufffd[31mred"),
    (["report", os.fsdecode(b"\xff\xfe")], "RUN_DIR: \ufffd\ufffd is not a directory"),
    (["spectrum", os.fsdecode(b"\xff.py:f")], "\ufffd.py is not a file"),
    (["show", "nowhere", "x"], "STORE: nowhere has no finished task in it"),
]


def fails(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert len(err) < 2500
    assert "not foreseen" not in err
    return err


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(("arguments", "message"), LINES, ids=range(len(LINES)))
def test_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert message in fails(capsys, *arguments)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", SETTINGS, ids=range(len(SETTINGS)))
def test_settings_of_a_sweep(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str) -> None:
    (tmp_path / "s.toml").write_text(text)
    assert SETTINGS[text] in fails(capsys, "sweep", "s.toml", "--out", "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("function", "line", "reason"),
    [
        ("inner", 8, "KeyError: 'k'"),  # the last line of the file that was running
        ("silent", 11, "ValueError at `raise ValueError`"),
        ("odd", 18, "Odd at `raise Odd`"),
        ("document", 21, "JSONDecodeError: "),  # not the line within the document
        ("leaves", 24, "SystemExit: 3"),
        ("deep", 27, "RecursionError: "),
        ("gone", 30, "BrokenPipeError"),
        ("memory", 33, "MemoryError"),
        ("disk", 36, "OSError: "),
    ],
)
@pytest.mark.parametrize("way", ["t.py", "./t.py", "../{}/t.py", "{}/t.py"])
def test_a_failing_function_is_named_with_its_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    function: str,
    line: int,
    reason: str,
    way: str,
) -> None:
    monkeypatch.setattr("sys.path", [])
    (tmp_path / "t.py").write_text(TARGET)
    path = way.format(tmp_path if way.startswith("{") else tmp_path.name)
    said = fails(capsys, "spectrum", f"{path}:{function}", "--out", "out")
    assert f", line {line}: {reason}" in said


def test_a_loss_that_fails_later_is_named_with_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.path", list(__import__("sys").path))
    (tmp_path / "t.py").write_text(
        "import torch, hessium as hs\n"
        "calls = []\n"
        "class Late(torch.nn.Linear):\n"
        "    def forward(self, x):\n"
        "        calls.append(1)\n"
        "        if armed:\n"
        "            raise ZeroDivisionError('late')\n"
        "        return super().forward(x)\n"
        "armed = False\n"
        "def make():\n"
        "    global armed\n"
        "    data = (torch.randn(4, 2), torch.randn(4, 1))\n"
        "    risk = hs.EmpiricalRisk(Late(2, 1), torch.nn.MSELoss(), data)\n"
        "    armed = True\n"
        "    return risk\n"
    )
    assert "measuring its risk fails in t.py, line 7: ZeroDivisionError: late" in fails(
        capsys, "spectrum", "t.py:make", "--out", "out"
    )


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_traceback_on_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], place: int
) -> None:
    monkeypatch.setattr("sys.path", [])
    (tmp_path / "t.py").write_text(TARGET)
    arguments = ["spectrum", "t.py:inner"]
    arguments.insert(place, "--traceback")
    assert main(arguments) == 2
    err = capsys.readouterr().err
    assert 'raise KeyError("k")' in err
    assert err.splitlines()[-1].startswith("error: FILE.py:FUNCTION: inner() fails in t.py, line 8")


def test_what_was_not_foreseen_is_one_line_and_can_be_found(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(options: object) -> None:
        raise LookupError("two\nlines \x1b[31m")

    monkeypatch.setattr("hessium.cli.listing.listing", broken)
    assert main(["list"]) == 2
    assert capsys.readouterr().err == (
        "error: LookupError: two lines \ufffd[31m; this was not foreseen, --traceback shows where "
        "it is\n"
    )
    assert main(["list", "--traceback"]) == 2
    assert "in broken" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        os.fsdecode(b"out\xff"),
        "a\nb",
        "ü \U0001f600",
        "-",
    ],
)
def test_paths_of_any_bytes(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    (tmp_path / "s.toml").write_text(
        "size = 2\nratios = [0.5]\ntargeted = 1\npublished = 0\nplain = 0\nothers = 0\n"
        "minimisers = 0\nmax_steps = 5\n"
    )
    line = ["sweep", "s.toml", f"--out={name}"]
    assert main(line) == 0
    assert (tmp_path / name / "report.html").is_file()
    assert main(line) == 0
    assert "1 from an earlier run" in capsys.readouterr().out
    assert main(["report", f"./{name}"]) == 0


def test_what_the_library_logs_is_a_warning_of_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "t.py").write_text(
        "import logging\ndef f():\n"
        "    logging.getLogger('hessium.estimate.checkpoint').warning('two\\n%s', 'lines')\n"
        "    logging.getLogger('hessium').info('nothing')\n"
    )
    assert main(["spectrum", "t.py:f", "--out", "out"]) == 2
    warning, error = capsys.readouterr().err.splitlines()
    assert warning == "warning: two lines"
    assert error.startswith("error: ")
    assert not logging.getLogger("hessium").handlers


def test_a_number_stays_with_its_percent_sign() -> None:
    """At every place of the line; the sign alone would begin a line at one of them."""
    for before in range(80, 95):
        found = wrapped("x" * before + " 95 % of them", "  ", "    ")
        assert "95 %" in found
        assert found.replace("\n    ", " ").strip() == "x" * before + " 95 % of them"
        assert max(map(len, found.splitlines())) <= 98

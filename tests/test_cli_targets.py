"""Targets of the command line: modules, and arguments of the user's function."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hessium.cli import main
from hessium.cli.arguments import literal
from hessium.cli.target import Builder, Target
from hessium.errors import InputError
from hessium.runs.run_directory import RunDirectory

MODULE = """
import torch, hessium as hs
from torch import nn
from hessium.errors import LostProcessError
WIDTH = 3

def make(width: int = WIDTH, widths: tuple[int, ...] = (), rate: float = 0.1, name: str = "a",
         seed=0):
    assert isinstance(widths, tuple)
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(2, width), nn.Tanh(), nn.Linear(width, 1))
    return hs.EmpiricalRisk(net, nn.MSELoss(), (torch.randn(9, 2), torch.randn(9, 1)))

def needs(width):
    return make(width)

def at(path, width=2):
    return path, width

def anything(**settings):
    return make(**settings)

def fails(x=0):
    return 1 / x

def lost():
    raise LostProcessError("process_group: another process has ended")

PLAIN = 3
"""


@pytest.fixture(autouse=True)
def _package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    (tmp_path / "user_models").mkdir()
    (tmp_path / "user_models" / "__init__.py").write_text("")
    (tmp_path / "user_models" / "nets.py").write_text(MODULE)
    importlib.invalidate_caches()
    yield
    for name in set(sys.modules) - before:
        if name.startswith(("user_models", "hessium_target")):
            del sys.modules[name]


def fails(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    return err


def test_a_module_of_this_folder() -> None:
    target = Target.parse("user_models.nets:make", {"width": 4, "widths": [1, 2]})
    assert target.risk().dim == 17
    assert target.settings == {"width": 4, "widths": (1, 2)}  # as annotated
    assert target.place == "user_models.nets:make"
    assert target.title == "make(width=4, widths=(1, 2)) in user_models.nets"
    assert target.folder == "nets-make-width=4,widths=1x2"
    assert Target.parse("user_models.nets:needs", {"width": 4}).risk().dim == 17
    assert Target.parse("user_models.nets:anything", {"width": 4}).risk().dim == 17


def test_a_file_and_a_module_are_the_same_function() -> None:
    file = Target.parse("user_models/nets.py:make")
    module = Target.parse("user_models.nets:make")
    assert file.digest() == module.digest()
    assert file.risk().dim == module.risk().dim == 13
    assert Target.parse("user_models/nets.py:make", {"seed": 1}).digest() != file.digest()
    assert file.folder == module.folder == "nets-make"


def test_a_checkpoint_and_settings() -> None:
    build = Builder("user_models.nets:at", (("width", 5),))
    assert build("x.pt") == ("x.pt", 5)
    assert build.digest() != Builder("user_models.nets:at").digest()


@pytest.mark.parametrize(
    ("target", "more", "message"),
    [
        ("user_models.nots:make", "", "MODULE:FUNCTION: no module is named user_models.nots"),
        ("nowhere:make", "", "no module is named nowhere"),
        ("sys:make", "", "MODULE:FUNCTION: sys has no Python file"),
        ("user_models.nets:mak", "", "did you mean 'make'?"),
        ("user_models.nets:PLAIN", "", "an int of that name"),
        ("user_models.nets:fails", "", "nets.py, line 24: ZeroDivisionError: division by zero at"),
        ("user_models.nets:make", "widht=3", "--set: make() has no argument 'widht'; did you mean"),
        ("user_models.nets:make", "zzz=3", "it takes width, widths, rate, name, seed"),
        ("user_models.nets:make", "width=3.5", "--set: width=3.5; make() takes int there"),
        ("user_models.nets:make", "width=True", "--set: width=True; make() takes int there"),
        ("user_models.nets:make", "width=ten", "--set: width='ten'; make() takes int there"),
        ("user_models.nets:make", "widths=3", "make() takes tuple[int, ...] there such as"),
        ("user_models.nets:make", "rate=x", "--set: rate='x'; make() takes float there"),
        ("user_models.nets:make", "width=(3", "--set: width=(3; a Python literal"),
        ("user_models.nets:make", "width=true", "--set: width=true; write True"),
        ("user_models.nets:make", "width", "--set: width; NAME=VALUE is required"),
        ("user_models.nets:make", "width=2+2", "a Python literal"),
        ("user_models.nets:needs", "", "needs needs width; it must be called without arguments"),
        ("user_models.nets:at", "", "needs needs path".replace("needs needs", "at needs")),
    ],
)
def test_one_sentence(
    capsys: pytest.CaptureFixture[str], target: str, more: str, message: str
) -> None:
    arguments = ["--set", more] if more else []
    assert message in fails(capsys, "spectrum", target, *arguments, "--out", "out")


def test_a_process_lost_while_the_target_runs_is_no_error_of_its_own(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["spectrum", "user_models.nets:lost"]) != 0
    assert capsys.readouterr().err.startswith("error: process_group: another process has ended")


def test_a_name_given_twice(capsys: pytest.CaptureFixture[str]) -> None:
    line = ["spectrum", "user_models.nets:make", "--set", "width=2", "--set", "width=3"]
    assert "--set: width is given twice" in fails(capsys, *line)


@pytest.mark.slow
def test_other_settings_have_another_folder(capsys: pytest.CaptureFixture[str]) -> None:
    line = ["spectrum", "user_models.nets:make", "--quiet"]
    assert main(line) == 0
    assert main([*line, "--set", "width=4"]) == 0
    assert capsys.readouterr().out.split() == [
        "runs/spectrum/nets-make/report.html",
        "runs/spectrum/nets-make-width=4/report.html",
    ]
    (section,) = RunDirectory.open(Path("runs/spectrum/nets-make-width=4")).sections()
    assert section.config["arguments"] == "width=4"
    assert section.config["parameters"] == 17
    assert section.title.endswith("make(width=4) in user_models.nets")
    # one folder holds one target: other settings are another target
    there = ["--out", "runs/spectrum/nets-make-width=4"]
    assert "holds another run" in fails(capsys, *line, "--set", "width=5", *there)


def test_literals() -> None:
    for text, value in {
        "3": 3, "-1e-3": -1e-3, "True": True, "None": None, "relu": "relu", "'3'": "3",
        "(16, 16)": (16, 16), "16,16": (16, 16), "[1]": [1], "{'a': 1}": {"a": 1},
        "data/x-1.pt": "data/x-1.pt", "../x": "../x", "a.b": "a.b",
    }.items():  # fmt: skip
        assert literal(text) == value
    for text in ("", "(1", "f(3)", "a b", "true", "1x"):
        with pytest.raises(ValueError, match=r"write|literal"):
            literal(text)


def test_what_an_example_needs_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    monkeypatch.delitem(sys.modules, "hessium.examples.digits", raising=False)
    with pytest.raises(InputError, match=r"sklearn is not installed; `pip install 'hessium\[stu"):
        Target.parse("hessium.examples.digits:make")

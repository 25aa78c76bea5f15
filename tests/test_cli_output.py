"""--json, --quiet and --verbose of every command, examples, completion, and the folder's README."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import pytest

from hessium.cli import commands, main
from hessium.cli.console import Bars
from hessium.cli.output import Output, printing
from hessium.cli.parser import grammar
from hessium.examples.catalogue import EXAMPLES
from hessium.runs.experiment import Registry
from support.cli_processes import MODEL, SWEEP
from support.toy_experiment import toy


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "REGISTRY", Registry([toy("toy"), toy("other")]))
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.py").write_text(MODEL)
    (tmp_path / "s.toml").write_text(SWEEP)


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[str, str]:
    assert main(arguments) == 0
    out, err = capsys.readouterr()
    return out, err


LINES = {
    "reproduce": ["reproduce", "toy", "--out", "run"],
    "sweep": ["sweep", "s.toml", "--out", "swept"],
    "list": ["list"],
    "spectrum": ["spectrum", "model.py:build"],
    "slice": ["slice", "model.py:build", "--num", "3"],
    "theory": ["theory", "--ratio", "1/4"],
    "explore": ["explore"],
    "example": ["example"],
}


@pytest.mark.sampled
@pytest.mark.parametrize("name", LINES)
def test_one_object_or_the_result_alone(capsys: pytest.CaptureFixture[str], name: str) -> None:
    words, _ = said(capsys, *LINES[name])
    out, _ = said(capsys, *LINES[name], "--json")
    facts = json.loads(out)
    assert facts
    assert out.count("\n") == 1
    short, errors = said(capsys, *LINES[name], "--quiet")
    assert errors == ""
    assert 0 < len(short) < len(words)
    if "page" in facts:
        assert short.splitlines()[0] == facts["page"]
        assert Path(facts["page"]).is_file()


def test_what_the_objects_hold(capsys: pytest.CaptureFixture[str]) -> None:
    facts = json.loads(said(capsys, *LINES["reproduce"], "--json")[0])
    (toys,) = facts["experiments"]
    assert (toys["name"], toys["computed"], toys["reused"]) == ("toy", 6, 0)
    assert {one["verdict"] for one in toys["statements"]} > {"holds", "does not hold"}
    facts = json.loads(said(capsys, *LINES["spectrum"], "--json")[0])
    assert facts["config"]["parameters"] == 13
    table = facts["tables"][0]
    rows = {row[0]: dict(zip(table["columns"][1:], row[1:], strict=True)) for row in table["rows"]}
    assert rows["size"]["H"] == {"value": 13.0, "low": None, "high": None, "basis": "exact"}
    facts = json.loads(said(capsys, "report", "run", "--json")[0])
    assert facts == {"page": "run/report.html", "unfinished": []}
    points = json.loads(said(capsys, *LINES["sweep"], "--json")[0])["experiments"][0]
    assert points["computed"] == 2


@pytest.mark.slow
def test_what_the_user_prints_is_no_part_of_the_object(capsys: pytest.CaptureFixture[str]) -> None:
    Path("model.py").write_text(MODEL.replace("def build():", "def build():\n    print('mine')"))
    out, err = said(capsys, *LINES["spectrum"], "--json")
    assert json.loads(out)["page"]
    assert "mine" in err
    assert said(capsys, *LINES["spectrum"])[0].startswith("mine\n")


def test_verbose_says_versions_and_costs(capsys: pytest.CaptureFixture[str]) -> None:
    _, err = said(capsys, "list", "--verbose")
    first, last = err.splitlines()
    assert first.startswith("python 3")
    assert "torch 2." in first
    assert "s of processor time in" in last
    _, err = said(capsys, "list")
    assert err == ""
    assert main(["list", "--quiet", "--verbose"]) == 2
    assert "--quiet, --verbose: both; give one of them" in capsys.readouterr().err


def test_every_command_has_an_example_and_the_shared_options() -> None:
    help_of = {name: parser.format_help() for name, parser in _commands()}
    assert len(help_of) >= 14
    for name, text in help_of.items():
        assert f"Example: hessium {name} " in text, name
        for option in ("--json", "--quiet", "--verbose", "--traceback"):
            assert option in text, (name, option)
        assert "; 3000" not in text
    for name, parser in _commands():
        for action in parser._actions:
            assert action.help, (name, action.dest)
            if isinstance(action.default, (int, float)) and not isinstance(action.default, bool):
                assert f"(default: {action.default})" in " ".join(help_of[name].split()), action


def test_help_breaks_no_path_at_a_hyphen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for name, parser in _commands():
        lines = parser.format_help().splitlines()
        assert not [line for line in lines if line.endswith("-") and line[-2:-1].isalnum()], name
        assert max(map(len, lines)) <= 90, name  # no word is that long


def _commands() -> list[tuple[str, argparse.ArgumentParser]]:
    kind = argparse._SubParsersAction
    (commands,) = (one for one in grammar()._actions if isinstance(one, kind))
    return list(commands.choices.items())


def test_a_bar_on_a_terminal_and_no_line_when_quiet(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("hessium.cli.console._SECONDS_BETWEEN_LINES", 0.0)
    with Bars() as bars:
        bars(1, 2, "steps")
    assert capsys.readouterr().err == "steps: 1 of 2\n"
    monkeypatch.setattr("hessium.cli.console.output", lambda: Output(quiet=True))
    with Bars() as bars:
        bars(1, 2, "steps")
    assert capsys.readouterr().err == ""


def test_without_rich_a_terminal_gets_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("hessium.cli.console._SECONDS_BETWEEN_LINES", 0.0)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("FORCE_COLOR", "1")
    with Bars() as bars:
        bars(1, 2, "steps")
    assert "1/2" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "rich", None)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with Bars() as bars:
        bars(1, 2, "steps")
    assert capsys.readouterr().err == "steps: 1 of 2\n"


def test_the_source_of_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    source, _ = said(capsys, "example", "digits")
    Path("mine.py").write_text(source)
    assert "def make(" in source
    compile(source, "mine.py", "exec")
    assert set(said(capsys, "example", "--quiet")[0].split()) == set(EXAMPLES)
    assert main(["example", "digit"]) == 2
    assert "NAME: 'digit' is not an example; did you mean 'digits'?" in capsys.readouterr().err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_commands_options_and_names(
    capsys: pytest.CaptureFixture[str], shell: str
) -> None:
    pytest.importorskip("shtab")
    script, _ = said(capsys, "completion", shell)
    for word in ("reproduce", "max-dim", "pb-fig1", "digits_cnn", "hessium"):
        assert word in script
    if shell == "bash":
        test = "source /dev/stdin && complete -p hessium"
        done = subprocess.run(
            ["bash", "-c", test], input=script, capture_output=True, text=True, check=True
        )
        assert "hessium" in done.stdout


def test_without_shtab_the_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert main(["completion", "bash"]) == 2
    assert "completion: shtab is not installed; `pip install 'hessium[terminal]'`" in (
        capsys.readouterr().err
    )


@pytest.mark.slow
def test_a_run_directory_describes_itself(capsys: pytest.CaptureFixture[str]) -> None:
    said(capsys, *LINES["spectrum"])
    folder = Path("runs/spectrum/model-build")
    words = (folder / "README.md").read_text()
    summary = json.loads((folder / "summary.json").read_text())
    assert f"schema {summary['schema']}" in words
    # every field of the summary is described, and what is described is there
    (section,) = summary["sections"]
    for field in (*section, *section["findings"]):
        assert f"`{field}`" in words, field
    number = next(
        cell
        for table in section["findings"]["tables"]
        for row in table["rows"]
        for cell in row
        if isinstance(cell, dict)
    )
    assert "{" + ", ".join(number) + "}" in words
    for place in folder.iterdir():
        assert place.name in words or place.name == "README.md", place


def test_output_ends_with_its_block(capsys: pytest.CaptureFixture[str]) -> None:
    options = grammar().parse_args(["list", "--json"])
    stdout = sys.stdout
    with printing(options):
        assert sys.stdout is sys.stderr
    assert sys.stdout is stdout
    said(capsys, "list")

"""What starts without torch and without what draws, each in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hessium.studies.catalogue import CATALOGUE
from hessium.studies.registry import REGISTRY

ROOT = Path(__file__).parents[1]
HEAVY = ["torch", "matplotlib", "rich", "jinja2", "sklearn", "pandas", "scipy.stats"]
IMPORT = "import importlib, sys; importlib.import_module(sys.argv[1])"
COMMAND = """
import sys
from hessium.__main__ import main
try:
    status = main()
except SystemExit as stop:
    status = stop.code
assert not status, status
"""


def loaded(code: str, *arguments: str) -> set[str]:
    """Which of the heavy packages are there when `code` has run."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nprint('\\nloaded', *sys.modules)", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
    )
    assert done.returncode == 0, done.stderr
    marker, *modules = done.stdout.splitlines()[-1].split()
    assert marker == "loaded"
    return set(HEAVY) & set(modules)


@pytest.mark.parametrize(
    "module", ["hessium", "hessium.theory", "hessium.spectra", "hessium.explore", "hessium.cli"]
)
def test_a_module_starts_without_torch(module: str) -> None:
    assert loaded(IMPORT, module) == set()


@pytest.mark.parametrize(
    "line",
    [
        "--version",
        "--help",
        "spectrum --help",
        "list",
        "theory --ratio 1/4 --energy 0.1",
        "example",
        "example digits",
    ],
)
def test_a_command_starts_without_torch(line: str) -> None:
    assert loaded(COMMAND, *line.split()) == set()


def test_what_computes_loads_torch() -> None:
    """Negative control: the tests above would see it."""
    assert "torch" in loaded(IMPORT, "hessium.curvature")
    assert {"torch", "matplotlib"} <= loaded(IMPORT, "hessium.cli.commands")


def test_the_catalogue_says_what_the_experiments_say() -> None:
    assert list(CATALOGUE.items()) == [(one.name, one.shows) for one in REGISTRY]

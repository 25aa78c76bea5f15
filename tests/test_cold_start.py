"""What starts without torch and without what draws."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from hessium.studies.catalogue import CATALOGUE
from hessium.studies.registry import REGISTRY

ROOT = Path(__file__).parents[1]
HEAVY = ["torch", "matplotlib", "rich", "jinja2", "sklearn", "pandas", "scipy.stats"]
LIGHT = ["hessium", "hessium.theory", "hessium.spectra", "hessium.explore", "hessium.cli"]
COMMANDS = [
    "--version",
    "--help",
    "spectrum --help",
    "list",
    "theory --ratio 1/4 --energy 0.1",
    "example",
    "example digits",
]
# imports modules and runs commands one after the other, and says what each has brought with it
STEPS = """
import contextlib, importlib, io, json, sys
heavy, modules, commands = json.loads(sys.argv[1])
found = {}
def look(step):
    found[step] = [one for one in heavy if one in sys.modules]
for module in modules:
    importlib.import_module(module)
    look(module)
for line in commands:
    from hessium.__main__ import main
    sys.argv[1:] = line.split()
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            status = main()
        except SystemExit as stop:
            status = stop.code
    assert not status, (line, status)
    look(line)
print(json.dumps(found))
"""


def loaded(*modules: str, commands: Sequence[str] = ()) -> dict[str, list[str]]:
    """Which of the heavy packages are there after each step, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", STEPS, json.dumps([HEAVY, modules, commands])],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, list[str]] = json.loads(done.stdout)
    return found


def test_what_needs_no_model_starts_without_torch() -> None:
    found = loaded(*LIGHT, commands=COMMANDS)
    assert found == {step: [] for step in (*LIGHT, *COMMANDS)}


def test_what_computes_loads_torch() -> None:
    """Negative control: the test above would see it."""
    found = loaded("hessium.curvature", "hessium.cli.commands")
    assert "torch" in found["hessium.curvature"]
    assert {"torch", "matplotlib"} <= set(found["hessium.cli.commands"])


def test_the_catalogue_says_what_the_experiments_say() -> None:
    assert list(CATALOGUE.items()) == [(one.name, one.shows) for one in REGISTRY]

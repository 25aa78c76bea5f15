"""Try every Python and torch that this machine can: `make test-matrix`.

For each interpreter from 3.11 on that is found, and each version of torch, an environment is made
in `build/matrix` and the tests run in it. Where pip offers no CPU build of torch for an
interpreter (a CUDA build takes several GB), the row is not run unless `--large` is given; then the
tests of what needs no torch run there: theory and spectra. The last lines are the table.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
NEWEST = "newest"  # whatever pip would install
FREE = ("torch", "setuptools")  # without pins: torch 2.11 needs an older setuptools


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--torch", nargs="+", default=[floor(), pinned(), NEWEST], help="versions")
    parser.add_argument("--python", nargs="+", default=PYTHONS, help="versions")
    parser.add_argument("--large", action="store_true", help="download CUDA builds as well")
    parser.add_argument("tests", nargs="*", default=["tests"], help="what to run with torch")
    options = parser.parse_args()
    rows: list[tuple[str, str, str]] = []
    for version in options.python:
        python = interpreter(version)
        if python is None:
            rows.append((version, "-", "not run: no interpreter"))
            continue
        ran = False
        builds = dict(offered(python, torch) for torch in options.torch)
        for torch, build in builds.items():
            if not build:
                rows.append((version, torch, "not run: pip offers none"))
            elif build == "large" and not options.large:
                rows.append(
                    (version, torch, "not run: a CUDA build of several GB; --large runs it")
                )
            else:
                rows.append((version, torch, tried(python, version, torch, options.tests)))
                ran = True
        if not ran:
            rows.append((version, "none", tried(python, version, None, free())))
    print(f"\n{'Python':8} {'torch':8} result")
    for row in rows:
        print(f"{row[0]:8} {row[1]:8} {row[2]}")
    return int(any(row[2].startswith("failed") for row in rows))


def free() -> list[str]:
    """Tests of theory and spectra that need no torch."""
    files = [
        one for room in ("theory", "spectra") for one in (ROOT / "tests" / room).rglob("test_*")
    ]
    words = ("torch", "import hessium as hs", "from support")
    return [
        str(one.relative_to(ROOT))
        for one in sorted(files)
        if one.suffix == ".py" and not any(word in one.read_text() for word in words)
    ]


def floor() -> str:
    """The oldest torch that pyproject.toml allows."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found = next(re.search(r"torch>=([\d.]+)", one) for one in project["dependencies"])
    assert found is not None
    return f"{found[1]}.0"


def pinned() -> str:
    """The torch of constraints.txt."""
    found = re.search(r"^torch==([\d.]+)", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert found is not None
    return found[1]


def interpreter(version: str) -> str | None:
    """An interpreter of this version: on the path, or of pyenv."""
    versions = Path.home() / ".pyenv" / "versions"
    known = [shutil.which(f"python{version}")]
    known += map(str, versions.glob(f"{version}.*/bin/python"))
    for one in filter(None, known):
        told = subprocess.run([one, "-V"], capture_output=True, text=True, check=False)
        if told.stdout.startswith(f"Python {version}."):
            return one
    return None


def offered(python: str, torch: str) -> tuple[str, str]:
    """Version, and how pip would install it: "small", "large", or "" where it offers none."""
    line = [python, "-m", "pip", "install", "--dry-run", "--quiet", "--no-deps", "--report", "-"]
    line += [
        "--ignore-installed",
        "--only-binary",
        ":all:",
        "torch" if torch == NEWEST else f"torch=={torch}",
    ]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if done.returncode:
        return torch, ""
    (found,) = json.loads(done.stdout)["install"]
    url = found["download_info"]["url"]
    build = "small" if "cpu" in url or "macos" in url else "large"
    return found["metadata"]["version"].partition("+")[0], build


def tried(python: str, version: str, torch: str | None, tests: list[str]) -> str:
    """Make the environment, run the tests, and return their last line."""
    folder = ROOT / "build" / "matrix" / f"{version}-{torch}"
    if not (folder / "bin").is_dir():
        subprocess.run([python, "-m", "venv", str(folder)], check=True)
    pins = folder / "constraints.txt"
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins.write_text("\n".join(one for one in lines if one.partition("==")[0] not in FREE))
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-compile"]
    pip += ["-c", str(pins)]
    if torch is None:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        needed = [one for one in project["dependencies"] if not one.startswith("torch")]
        needed += ["pytest>=8", "hypothesis>=6.100", "beartype>=0.19", "mpmath>=1.3"]
        subprocess.run([*pip, *needed], check=True)
        subprocess.run([*pip, "--no-deps", str(ROOT)], check=True)
        # the common fixtures make networks, and so does the checker of types
        more = ["--noconftest", "-o", "addopts=-q -m 'not slow and not gpu'"]
    else:
        subprocess.run([*pip, f"torch=={torch}", f"hessium[test] @ {ROOT.as_uri()}"], check=True)
        more = []
    line = [str(folder / "bin" / "python"), "-m", "pytest", "-p", "no:cacheprovider", *more, *tests]
    environment = os.environ | {
        "CI": "true",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT / "tests"),
    }
    what = " ".join(tests) if len(tests) < 4 else f"{len(tests)} files of tests"
    print(f"Python {version}, torch {torch}: {what}", flush=True)
    done = subprocess.run(
        line, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    last = next((one for one in reversed(done.stdout.splitlines()) if one.strip()), "no output")
    summary = re.sub(r"[^\w, .:]+", " ", last).strip()
    if done.returncode:
        print(done.stdout[-4000:])
        return f"failed: {summary}"
    return f"passed: {what}"


if __name__ == "__main__":
    sys.exit(main())

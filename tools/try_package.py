"""Build the sdist and the wheel, and try them as a stranger would: `make package`.

1. Both are built; the wheel that is built from the sdist alone has the same files; the sdist holds
   what the README links to; the text for the package index has no relative link.
2. The wheel is installed with the extra `all` into an empty environment, outside of the checkout,
   and what the README shows is run there: the code of "In Python", the examples, the targets,
   completion, `--json`.
3. The optional packages are removed: the library works, and what needs them names the extra.

The environment is in a temporary folder. `--constraints` is passed to pip.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import time
import tomllib
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OPTIONAL = ("matplotlib", "rich", "shtab", "pandas", "scikit-learn")
SPECTRUM = ["spectrum", "hessium.examples.digits:make", "--set", "steps=50", "--set", "width=4"]


class FailedError(Exception):
    """Something is not as the README says."""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--constraints", type=Path, default=ROOT / "constraints.txt")
    parser.add_argument("--python", default=sys.executable, help="interpreter of the environment")
    options = parser.parse_args()
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="hessium-package-") as folder:
        here = Path(folder)
        try:
            python = environment(here / "env", options.python)
            wheel, sdist = built(python, here)
            contents(wheel, sdist)
            installed(python, wheel, options.constraints)
            as_the_readme_says(python, wheel, here / "user")
            without_extras(python, here / "bare")
        except FailedError as error:
            print(f"package: {error}")
            return 1
    print(f"package: built, installed and tried in {time.perf_counter() - start:.0f} s")
    return 0


def run(*command: str | Path, cwd: Path, status: int = 0, env: dict[str, str] | None = None) -> str:
    """Standard output of a command, which must end with `status`."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV"))}
    done = subprocess.run(
        [str(one) for one in command],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        env=clean | {"OMP_NUM_THREADS": "1"} | (env or {}),
    )
    if done.returncode != status:
        line = " ".join(str(one) for one in command)
        raise FailedError(f"{line}\n  ended with {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout if status == 0 else done.stderr


def environment(folder: Path, python: str) -> Path:
    run(python, "-m", "venv", folder, cwd=folder.parent)
    return folder / "bin" / "python"


def pip(python: Path, *arguments: str | Path) -> None:
    quiet = ("--quiet", "--disable-pip-version-check", "--no-compile")
    run(python, "-m", "pip", "install", *quiet, *arguments, cwd=python.parents[2])


def built(python: Path, here: Path) -> tuple[Path, Path]:
    """The wheel and the sdist; the wheel is built from the sdist, not from the checkout."""
    backend = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    pip(python, *backend)
    run(python, "-m", "hatchling", "build", "-d", here / "first", cwd=ROOT)
    (sdist,) = (here / "first").glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(here / "source", filter="data")
    (source,) = (here / "source").iterdir()
    run(python, "-m", "hatchling", "build", "-t", "wheel", "-d", here / "second", cwd=source)
    (wheel,), (again,) = (here / "first").glob("*.whl"), (here / "second").glob("*.whl")
    if (mine := members(wheel)) != (theirs := members(again)):
        raise FailedError(f"the wheel of the sdist has other files: {sorted(mine ^ theirs)}")
    return again, sdist


def members(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if not name.endswith("RECORD")}


def contents(wheel: Path, sdist: Path) -> None:
    """What must be in them."""
    names = members(wheel)
    for name in ("py.typed", "__init__.pyi", "examples/digits.py", "runs/run_directory_readme.md"):
        if f"hessium/{name}" not in names:
            raise FailedError(f"the wheel lacks {name}")
    with tarfile.open(sdist) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    for name in (
        "tests/conftest.py",
        "docs/index.md",
        "benchmarks/race.py",
        "Makefile",
        "constraints.txt",
    ):
        if name not in packed:
            raise FailedError(f"the sdist lacks {name}")
    for link in re.findall(r"\]\(([^)\s]+)\)", (ROOT / "README.md").read_text()):
        if not link.startswith(("http", "#")) and link.partition("#")[0] not in packed:
            raise FailedError(f"the README links to {link}, which the sdist lacks")
    for link in re.findall(r"\]\(([^)\s]+)\)", text_of(wheel)):
        if not link.startswith(("https://", "#")):
            raise FailedError(f"the text for the package index has a relative link: {link}")


def text_of(wheel: Path) -> str:
    """The README as the package index shows it."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (one for one in archive.namelist() if one.endswith(".dist-info/METADATA"))
        return archive.read(name).decode()


def installed(python: Path, wheel: Path, constraints: Path) -> None:
    pip(python, "-c", constraints, f"hessium[all] @ {wheel.as_uri()}")
    run(python, "-m", "pip", "check", cwd=wheel.parent)


def as_the_readme_says(python: Path, wheel: Path, here: Path) -> None:
    """Run what the README shows, in an empty folder."""
    here.mkdir()
    hessium = python.parent / "hessium"
    code = re.findall(
        r"^## In Python\n.*?```python\n(.*?)```", text_of(wheel), re.DOTALL | re.MULTILINE
    )
    if not code:
        raise FailedError("the README has no code under 'In Python'")
    (here / "readme.py").write_text(code[0])
    if "rank" not in run(python, "readme.py", cwd=here):
        raise FailedError("the code of the README prints no rank")
    version = run(python, "-c", "import hessium as hs; print(hs.__version__)", cwd=here).strip()
    if run(hessium, "--version", cwd=here).split()[-1] != version:
        raise FailedError(f"hs.__version__ is {version}, `hessium --version` says something else")
    if "digits" not in run(hessium, "example", "--quiet", cwd=here).split():
        raise FailedError("`hessium example` does not list digits")
    (here / "digits.py").write_text(run(hessium, "example", "digits", cwd=here))
    facts = json.loads(run(hessium, *SPECTRUM, "--json", cwd=here))
    if not (here / facts["page"]).is_file():
        raise FailedError(f"{facts['page']} was not written")
    mine = [one.replace("hessium.examples.digits:", "digits.py:") for one in SPECTRUM]
    run(hessium, *mine, "--quiet", "--out", "mine", cwd=here)
    run(hessium, "theory", "--ratio", "0.25", "--energy", "0.1", "--plot", "law.svg", cwd=here)
    run(hessium, "explore", "--quiet", cwd=here)
    for shell in ("bash", "zsh", "fish"):
        script = run(hessium, "completion", shell, cwd=here)
        if "reproduce" not in script:
            raise FailedError(f"the completion of {shell} does not know the commands")
        (here / f"completion.{shell}").write_text(script)
    offered = run("bash", "-c", COMPLETE, cwd=here)
    if "spectrum" not in offered.split():
        raise FailedError(f"bash completes `hessium spe` to {offered!r}")


COMPLETE = """
source completion.bash
COMP_WORDS=(hessium spe) COMP_CWORD=1 COMP_LINE='hessium spe' COMP_POINT=11
$(complete -p hessium | sed 's/.*-F \\([^ ]*\\).*/\\1/') hessium spe hessium
echo "${COMPREPLY[@]}"
"""


def without_extras(python: Path, here: Path) -> None:
    """The library alone, and the sentences of what needs more."""
    here.mkdir()
    run(python, "-m", "pip", "uninstall", "--quiet", "--yes", *OPTIONAL, cwd=here)
    hessium = python.parent / "hessium"
    code = (here.parent / "user" / "readme.py").read_text()
    (here / "readme.py").write_text(code)
    run(python, "readme.py", cwd=here)
    run(hessium, "theory", "--ratio", "0.25", cwd=here)
    run(hessium, "explore", cwd=here)
    for line, extra in (
        (["spectrum", "hessium.examples.beam:make"], "report"),
        (["completion", "bash"], "terminal"),
    ):
        said = run(hessium, *line, cwd=here, status=2)
        if f"hessium[{extra}]" not in said or said.count("\n") != 1:
            raise FailedError(f"hessium {' '.join(line)} without {extra} says {said!r}")


if __name__ == "__main__":
    sys.exit(main())

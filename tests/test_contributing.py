"""The recipes of CONTRIBUTING.md, followed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

RECIPES = ("law", "estimator", "study")
ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"```python\n# (\w+\.py)\n(.*?)```", re.DOTALL)
FILES = dict(BLOCK.findall((ROOT / "CONTRIBUTING.md").read_text()))


@pytest.mark.slow
def test_the_recipes(tmp_path: Path) -> None:
    assert set(FILES) == {f"{kind}my_{n}.py" for kind in ("", "test_") for n in RECIPES}
    for file, code in FILES.items():
        (tmp_path / file).write_text(code)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null", "."],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed" in done.stdout

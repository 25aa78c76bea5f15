"""kill -9 of one of two ranks at random moments: the other ends, any number of ranks resumes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc"),
]
KILLS = 20


def test_a_rank_that_is_killed_ends_the_other_and_loses_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "support.rank_kills", str(tmp_path), str(KILLS), "0"]
    path = os.pathsep.join(filter(None, sys.path))
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) == KILLS
    assert {one["rank"] for one in found} == {0, 1}
    for one in found:
        assert one["status"] not in (0, None), one
        assert one["seconds"] < 60, one
        assert one["errors"] == 1, one  # one line
        assert one["said"][0].startswith("error: process_group: another process has ended"), one
        assert one["resumed"] == [0] * one["again"], one
        assert one["same"], one
        assert one["left"] == 0, one

"""Memory of programs in a process of their own.

`ru_maxrss` of a new process is at least what the process that made it had: in a session of many
tests it would hide all that the new one takes.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

needs_status = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")

_MEMORY = '''
def memory(name):
    """VmRSS, the memory now, or VmHWM, the largest so far, in bytes."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(name)) * 1024
'''


def numbers_of(program: str, *arguments: object) -> list[int]:
    """The numbers that a program prints, which may call `memory("VmRSS")` and `memory("VmHWM")`."""
    done = subprocess.run(
        [sys.executable, "-c", _MEMORY + program, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=True,
    )
    return [int(number) for number in done.stdout.split()]

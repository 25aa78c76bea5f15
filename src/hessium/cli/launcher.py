"""A process that torchrun has started ends when torchrun ends, from its first moment on."""

from __future__ import annotations

import functools
import os
import signal
import threading
import time
from pathlib import Path

_LOOK = 1.0  # seconds between two looks at the launcher
_PATIENCE = 20.0  # seconds from SIGTERM until a process that waits for others ends itself


@functools.cache
def end_with_launcher() -> None:
    """Watch torchrun, if it has started this process: it stays until its processes have ended.

    Where it was killed it cannot end them. Before they have met they would wait for each other
    until the timeout of their group.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ:
        threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()


def _end_with(launcher: int) -> None:
    """End this process soon after its launcher."""
    while os.getppid() == launcher and not _ended_before(launcher):
        time.sleep(_LOOK)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_PATIENCE)
    os._exit(128 + signal.SIGTERM)


def _ended_before(parent: int) -> bool:
    """Whether the launcher had ended; process 1 takes its place, or is it in a container."""
    if parent != 1:
        return False
    try:
        command = Path("/proc/1/cmdline").read_bytes()
    except OSError:  # another system, where a process 1 that launches is unknown
        return True
    return b"torch" not in command

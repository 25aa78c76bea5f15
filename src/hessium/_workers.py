"""Worker processes: how many, and how they start before torch, which takes seconds, is imported."""

from __future__ import annotations

import os
import signal
import threading
from multiprocessing import connection, parent_process

from hessium.errors import InputError

SECONDS = "seconds"  # in a result: what its computation took
_PROCESSES_PER_CORE = 4

STOPPING = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)


def require_workers(workers: int, argument: str = "workers") -> None:
    """Refuse counts of processes that only take memory.

    Raises:
        InputError: if there is no such count, or more than four processes for each core.
    """
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
        msg = f"{argument}: {workers!r}; an integer of at least 1 is required"
        raise InputError(msg)
    cores = os.cpu_count() or 1
    if workers > _PROCESSES_PER_CORE * cores:
        msg = (
            f"{argument}: {workers}; each takes a core and some hundred MB, so at most "
            f"{_PROCESSES_PER_CORE * cores} on the {cores} cores here are possible"
        )
        raise InputError(msg)


def start_worker() -> None:
    """Ignore the signals that end a run, and end with the parent process, however that ends.

    Ctrl-C reaches all processes of a terminal, as a scheduler's signal does; the parent decides. A
    parent that is killed cannot stop its workers, so they watch it.
    """
    for number in STOPPING:
        signal.signal(number, signal.SIG_IGN)
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(1)

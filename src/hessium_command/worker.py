"""The start of a worker process, before hessium is there: importing torch takes seconds."""

from __future__ import annotations

import os
import signal
import threading
from multiprocessing import connection, parent_process

STOPPING = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)


def start() -> None:
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

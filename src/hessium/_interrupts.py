"""Signals that would interrupt a change of somebody else's objects wait until it is undone."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGALRM")
_SIGNALS = tuple(getattr(signal, name) for name in _NAMES if hasattr(signal, name))
_inside = False


@contextmanager
def deferred_interrupts() -> Iterator[None]:
    """Signals with a Python handler are handled at the end; a second one at once.

    Python handles signals in the main thread only, between any two instructions. In other threads,
    and inside itself, this does nothing.
    """
    global _inside
    if _inside or threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers: dict[int, Any] = {}
    arrived: list[tuple[int, FrameType | None]] = []

    def record(number: int, frame: FrameType | None) -> None:
        arrived.append((number, frame))
        if len(arrived) > 1:
            handlers[number](number, frame)

    try:
        _inside = True
        for number in _SIGNALS:
            handler = signal.getsignal(number)
            if callable(handler):
                handlers[number] = handler
                signal.signal(number, record)
        yield
    finally:
        try:
            _restore(handlers)
        finally:  # a signal between two handlers
            _restore(handlers)
        if len(arrived) == 1:
            number, frame = arrived[0]
            handlers[number](number, frame)


def _restore(handlers: dict[int, Any]) -> None:
    global _inside
    _inside = False
    for number, handler in handlers.items():
        signal.signal(number, handler)

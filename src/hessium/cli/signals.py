"""Signals that end a process: finished parts are kept, the page and one message are written."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")  # Ctrl-C, a scheduler, a terminal that closes
_PAUSE = 3.0  # seconds in which more signals are the same wish


class Stopped(KeyboardInterrupt):
    """The process was asked to end.

    Args:
        number: of the signal.
        kept: what of the work is kept, for the last message; empty for the usual words.
    """

    def __init__(self, number: int, kept: str = "") -> None:
        super().__init__("Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name)
        self.number = number
        self.kept = kept


@contextlib.contextmanager
def keeping(kept: Callable[[], str]) -> Iterator[None]:
    """A signal within the block ends with these words on what is kept, asked for when it comes."""
    try:
        yield
    except KeyboardInterrupt as error:
        number = error.number if isinstance(error, Stopped) else signal.SIGINT
        raise Stopped(number, kept()) from error


@contextlib.contextmanager
def stopping() -> Iterator[Callable[[], None]]:
    """Let signals that end a process raise `Stopped` while the block lasts.

    Those that follow within three seconds raise nothing: a second Ctrl-C would cut short what the
    first one began. Who ignores a signal, as `nohup` does, goes on ignoring it. After a signal has
    come, that holds beyond the block.

    Yields:
        A function after which no signal raises any more, for the last words.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    last, stopped = -_PAUSE, False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal last, stopped
        now = time.monotonic()
        if now - last >= _PAUSE:
            last, stopped = now, True
            raise Stopped(number)

    def end() -> None:
        nonlocal last
        last = float("inf")

    before: dict[int, Any] = {}
    for number in _numbers():
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            before[number] = signal.signal(number, handle)
    try:
        yield end
    finally:
        if stopped:  # the process is about to end, and more signals may be on their way
            last = time.monotonic()
            # the interpreter gives up its handlers as it ends, but not what is ignored
            atexit.register(ignore)
        else:
            for number, handler in before.items():
                signal.signal(number, handler)


@contextlib.contextmanager
def ending_at_once() -> Iterator[None]:
    """Signals that would raise end the process with one line while the block lasts.

    It is for imports: where an exception passes through the C++ code of torch, that aborts.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number: int, frame: FrameType | None) -> None:
        with contextlib.suppress(OSError):  # a stream may be in the midst of a word: not through it
            os.write(2, f"{interrupted(number)}: nothing had begun\n".encode())
        os._exit(128 + number)

    before = {n: handler for n in _numbers() if callable(handler := signal.getsignal(n))}
    for number in before:
        signal.signal(number, leave)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def interrupted(number: int) -> str:
    """The message for a signal."""
    return "interrupted" + ("" if number == signal.SIGINT else f" by {signal.Signals(number).name}")


def ignore() -> None:
    """Ignore further signals while the interpreter ends."""
    for number in _numbers():
        signal.signal(number, signal.SIG_IGN)


def _numbers() -> list[int]:
    return [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]

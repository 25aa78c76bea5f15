"""Streams whose reader may go away: the work continues, and its output is lost."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any, TextIO, TypeVar, cast

_T = TypeVar("_T")
_GONE = (errno.EPIPE, errno.EIO, errno.EBADF)  # of a pipe, of a terminal, `>&-`


@contextlib.contextmanager
def lasting_streams() -> Iterator[None]:
    """Let `sys.stdout` and `sys.stderr` outlive their readers while the block lasts.

    Whatever writes to them, a user's function and progress bars included, is not stopped by
    `| head -1`, by a terminal that closes, or by streams that were closed from the start.
    """
    before = sys.stdout, sys.stderr
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:  # else the next file that is opened would get the words of C libraries
            os.open(os.devnull, os.O_RDWR)
    lasting = [_Lasting(stream or _nowhere()) for stream in before]
    sys.stdout, sys.stderr = (cast(TextIO, stream) for stream in lasting)
    try:
        yield
    finally:
        for stream in lasting:
            with contextlib.suppress(OSError):
                stream.flush()
        sys.stdout, sys.stderr = before


def _nowhere() -> TextIO:
    return open(os.devnull, "w", encoding="utf-8")  # as long as the process


class _Lasting:
    """A text stream that falls silent when its reader has gone."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._try(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        self._try(self._stream.flush)

    def writelines(self, lines: Iterator[str]) -> None:
        for line in lines:
            self.write(line)

    def _try(self, work: Callable[[], _T]) -> None:
        try:
            work()
        except OSError as error:
            if error.errno not in _GONE:
                raise
            self._fall_silent()
        except ValueError:
            if not self._stream.closed:
                raise
            self._stream = _nowhere()

    def _fall_silent(self) -> None:
        """Discard the buffer, which would fail again when the interpreter ends."""
        with contextlib.suppress(OSError, ValueError):
            number = self._stream.fileno()
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, number)
            os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

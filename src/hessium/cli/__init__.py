"""The command line: parses, calls, prints; no mathematics."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import pkgutil
import signal
import sys
import traceback
import warnings
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor
from typing import Any

from hessium._extras import missing
from hessium._text import legible
from hessium.cli.launcher import end_with_launcher
from hessium.cli.output import output, printing
from hessium.cli.signals import Stopped, ending_at_once, interrupted, stopping
from hessium.cli.streams import lasting_streams
from hessium.errors import ConvergenceError, InputError, NonFiniteError, SelfCheckError

_BAD_INPUT = 2
_KEPT = "finished parts are kept; the same command resumes"
_LATER = (None, 0, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)
_LONGEST = 2000
_TRACEBACK = "--traceback"


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the `hessium` command.

    Args:
        arguments: those after the command's name; `sys.argv[1:]` if None. With `--traceback`
            among them, the line that says an error follows its traceback.

    Returns:
        Exit status: 0; 2 after bad input, a failing disk or a fault of hessium, with one line on
        stderr; 130 after Ctrl-C, 143 after SIGTERM, 129 after SIGHUP.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    with lasting_streams(), stopping() as end:
        try:
            with _warnings_on_one_line():
                end_with_launcher()
                with ending_at_once():
                    command, options = _command(given)
                with printing(options):
                    command(options)
                sys.stdout.flush()
                return 0
        except (Exception, KeyboardInterrupt) as error:
            end()
            if _TRACEBACK in given:
                sys.stderr.write("".join(traceback.format_exception(error)))
            line, status = _last_words(error)
            if not _told_elsewhere(error):
                sys.stderr.write(_one_line(line) + "\n")
            return status
        finally:
            end()


def _command(arguments: list[str]) -> tuple[Callable[[Namespace], None], Namespace]:
    """The function of a command, imported late because most need torch, and its options."""
    # worker processes import this module again, and need no parser
    from hessium.cli.parser import parse

    options = parse([one for one in arguments if one != _TRACEBACK])
    return pkgutil.resolve_name(options.command), options


def _told_elsewhere(error: BaseException) -> bool:
    """Whether the first of several processes writes the same line."""
    if os.environ.get("RANK", "0") == "0":
        return False
    return "the other ranks raise this exception as well" in getattr(error, "__notes__", ())


def _last_words(error: BaseException) -> tuple[str, int]:
    """The message of an error, and the exit status."""
    if isinstance(error, KeyboardInterrupt):
        number = error.number if isinstance(error, Stopped) else signal.SIGINT
        kept = error.kept if isinstance(error, Stopped) and error.kept else _KEPT
        return f"{interrupted(number)}: {kept}", 128 + number
    if isinstance(error, (InputError, SelfCheckError, NonFiniteError, ConvergenceError)):
        return f"error: {error}", _BAD_INPUT
    if isinstance(error, ImportError) and (absent := missing("this command", error)):
        return f"error: {absent}", _BAD_INPUT
    if isinstance(error, BrokenExecutor):
        return f"error: a worker process died, perhaps for want of memory; {_KEPT}", _BAD_INPUT
    if isinstance(error, OSError):  # a full disk, a quota, a directory that has gone
        where = f"{error.filename}: " if error.filename else ""
        line = f"error: {where}{error.strerror or error}"
        return (f"{line}; {_KEPT}" if error.errno in _LATER else line), _BAD_INPUT
    if isinstance(error, MemoryError):
        return f"error: memory is full ({error}); {_KEPT}", _BAD_INPUT
    what = f"{type(error).__name__}: {error}"
    return f"error: {what}; this was not foreseen, {_TRACEBACK} shows where it is", _BAD_INPUT


def _one_line(text: str) -> str:
    line = legible(" ".join(text.split()))
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST // 2]} ... {line[-200:]}"


@contextlib.contextmanager
def _warnings_on_one_line() -> Iterator[None]:
    def show(message: Warning | str, category: type[Warning], *rest: Any, **more: Any) -> None:
        sys.stderr.write(_one_line(f"warning: {message}") + "\n")

    shown: Callable[..., None] = show
    log, lines = logging.getLogger("hessium"), _Lines()
    log.addHandler(lines)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = shown
            yield
    finally:
        log.removeHandler(lines)


class _Lines(logging.Handler):
    """Show the library's log records like warnings; those below a warning with --verbose."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno < logging.WARNING and not output().verbose:
            return
        sys.stderr.write(_one_line(f"{record.levelname.lower()}: {record.getMessage()}") + "\n")

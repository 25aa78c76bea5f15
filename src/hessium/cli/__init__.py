"""The command line: parses, calls, prints; no mathematics."""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import BrokenExecutor
from typing import Any

from hessium.errors import ConvergenceError, InputError, NonFiniteError, SelfCheckError

_BAD_INPUT, _INTERRUPTED = 2, 130
_KEPT = "what was finished is kept; the same command goes on\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the `hessium` command.

    Args:
        arguments: what follows the command's name; `sys.argv[1:]` if None.

    Returns:
        Exit status: 0; 2 after bad input or a failing disk, with one line on stderr; 130 after
        Ctrl-C.
    """
    # worker processes import this module again, and need none of what draws
    from hessium.cli.parser import parse

    try:
        with _warnings_on_one_line():
            options = parse(sys.argv[1:] if arguments is None else arguments)
            options.command(options)
    except (InputError, SelfCheckError, NonFiniteError, ConvergenceError) as error:
        sys.stderr.write(f"error: {' '.join(str(error).split())}\n")
        return _BAD_INPUT
    except BrokenExecutor:
        sys.stderr.write("error: a worker process died, perhaps for want of memory; " + _KEPT)
        return _BAD_INPUT
    except KeyboardInterrupt:
        sys.stderr.write("interrupted: " + _KEPT)
        return _INTERRUPTED
    except BrokenPipeError:
        # the reader has gone (`hessium list | head -1`); nobody is left to tell
        sys.stderr.close()
        return 0
    except OSError as error:  # a full disk, a quota, a directory that has gone
        where = f"{error.filename}: " if error.filename else ""
        sys.stderr.write(f"error: {where}{error.strerror or error}; " + _KEPT)
        return _BAD_INPUT
    return 0


@contextlib.contextmanager
def _warnings_on_one_line() -> Iterator[None]:
    def show(message: Warning | str, category: type[Warning], *rest: Any, **more: Any) -> None:
        sys.stderr.write(f"warning: {' '.join(str(message).split())}\n")

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield

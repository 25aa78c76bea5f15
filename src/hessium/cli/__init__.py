"""The command line: parses, calls, prints; no mathematics."""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

from hessium.errors import InputError, NonFiniteError, SelfCheckError

_BAD_INPUT, _INTERRUPTED = 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the `hessium` command.

    Args:
        arguments: what follows the command's name; `sys.argv[1:]` if None.

    Returns:
        Exit status: 0; 2 after bad input, with one line on stderr; 130 after Ctrl-C.
    """
    # worker processes import this module again, and need none of what draws
    from hessium.cli.parser import parse

    try:
        with _warnings_on_one_line():
            options = parse(sys.argv[1:] if arguments is None else arguments)
            options.command(options)
    except (InputError, SelfCheckError, NonFiniteError) as error:
        sys.stderr.write(f"error: {' '.join(str(error).split())}\n")
        return _BAD_INPUT
    except KeyboardInterrupt:
        sys.stderr.write("interrupted: what was finished is kept; the same command goes on\n")
        return _INTERRUPTED
    except BrokenPipeError:
        # the reader has gone (`hessium list | head -1`); nobody is left to tell
        sys.stderr.close()
        return 0
    return 0


@contextlib.contextmanager
def _warnings_on_one_line() -> Iterator[None]:
    def show(message: Warning | str, category: type[Warning], *rest: Any, **more: Any) -> None:
        sys.stderr.write(f"warning: {' '.join(str(message).split())}\n")

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield

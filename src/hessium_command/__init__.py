"""The `hessium` command before hessium is there: importing torch takes a second.

This is a package of its own because importing any part of hessium imports all of it.
"""

from __future__ import annotations

import signal
import sys


def main() -> int:
    """Entry point: `hessium.cli.main`, with Ctrl-C during its import as during its work."""
    try:
        from hessium.cli import main as command
        from hessium.cli.signals import ignore
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if sys.stderr is not None:
            sys.stderr.write("interrupted: nothing had begun\n")
        return 130
    try:
        return command()
    finally:
        ignore()

"""The `hessium` command, and `python -m hessium` for a checkout that is not installed."""

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


if __name__ == "__main__":
    sys.exit(main())

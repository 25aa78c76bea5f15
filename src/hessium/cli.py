"""The command line: parses, calls, prints; no mathematics."""

from __future__ import annotations


def main() -> int:
    """Entry point of the `hessium` command."""
    raise NotImplementedError

"""What the commands print: words for people, or one JSON object for programs."""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hessium._text import legible
from hessium.runs.fingerprint import versions


@dataclass(frozen=True, slots=True)
class Output:
    """How a command prints.

    Attributes:
        json: one JSON object instead of words.
        quiet: results only, no words about the work and no progress.
        verbose: records of the library's log, versions and costs on stderr.
        stream: where results go; `sys.stdout` at the time of printing if None.
    """

    json: bool = False
    quiet: bool = False
    verbose: bool = False
    stream: Any = None


_CURRENT: ContextVar[Output] = ContextVar("output", default=Output())  # noqa: B039 frozen


def output() -> Output:
    """How the command that runs prints."""
    return _CURRENT.get()


def say(text: str) -> None:
    """Print one line of words; nothing with --quiet or --json."""
    if not (output().quiet or output().json):
        _print(text)


def result(text: str) -> None:
    """Print one line of the result itself, also with --quiet; nothing with --json."""
    if not output().json:
        _print(text)


def wrote(**files: Path | str) -> None:
    """Print where files are: `page: PATH`, the path alone with --quiet, nothing with --json."""
    for name, path in files.items():
        result(str(path) if output().quiet else f"{name.replace('_', ' ')}: {path}")


def answer(facts: Mapping[str, Any]) -> None:
    """Print the JSON object of a command that has --json; nothing without."""
    if output().json:
        _print(json.dumps(facts, allow_nan=False))


@contextlib.contextmanager
def printing(options: argparse.Namespace) -> Iterator[None]:
    """Print as the options say while the block lasts.

    With --json whatever else is printed, by the user's function for example, goes to stderr.
    """
    chosen = {name: bool(getattr(options, name, False)) for name in ("json", "quiet", "verbose")}
    token = _CURRENT.set(Output(**chosen, stream=sys.stdout if chosen["json"] else None))
    with contextlib.ExitStack() as stack:
        stack.callback(_CURRENT.reset, token)
        if chosen["json"]:
            stack.enter_context(contextlib.redirect_stdout(sys.stderr))
        if chosen["verbose"]:
            stack.enter_context(_accounted())
        yield


@contextlib.contextmanager
def _accounted() -> Iterator[None]:
    """Versions before, costs after, and all records of the log between, on stderr."""
    known = ", ".join(f"{name} {number}" for name, number in versions().items())
    _note(f"{known}; {os.cpu_count()} processors, OMP_NUM_THREADS={_threads()}")
    log = logging.getLogger("hessium")
    level, start = log.level, (time.process_time(), time.perf_counter())
    log.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        log.setLevel(level)
        used = time.process_time() - start[0]
        passed = time.perf_counter() - start[1]
        _note(f"{used:.1f} s of processor time in {passed:.1f} s{_memory()}")


def _threads() -> str:
    return os.environ.get("OMP_NUM_THREADS", "not set")


def _memory() -> str:
    # not of getrusage where there is a choice: it knows the process that made this one
    status = Path("/proc/self/status")
    if status.exists():
        peaks = [line for line in status.read_text().splitlines() if line.startswith("VmHWM")]
        return "".join(f", at most {int(p.split()[1]) / 2**10:.0f} MiB of memory" for p in peaks)
    try:
        import resource
    except ImportError:  # not on Windows
        return ""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return f", at most {peak / (2**20 if sys.platform == 'darwin' else 2**10):.0f} MiB of memory"


def _note(text: str) -> None:
    sys.stderr.write(legible(text) + "\n")
    sys.stderr.flush()


def _print(text: str) -> None:
    """One line; characters that the encoding of the stream lacks become question marks."""
    stream = output().stream or sys.stdout
    encoding = getattr(stream, "encoding", None) or "utf-8"
    text = legible(text)
    stream.write(text.encode(encoding, "replace").decode(encoding) + "\n")
    stream.flush()

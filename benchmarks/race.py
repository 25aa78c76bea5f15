"""Ratios that survive a noisy machine: contestants run in turn, each round compared with itself.

`--threads default` leaves every thread pool as torch and NumPy set it and measures wall time, which
is what a user waits. `--threads one` gives one thread to each pool and measures processor time,
which other processes do not disturb.
"""

from __future__ import annotations

import json
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from threadpoolctl import threadpool_limits

WARM = 3  # calls before the clock starts: operators choose their route within them
FEWEST = 2  # rounds of every row
LIMIT = 4.0  # seconds after which no further round of a row begins
SLOW = 3.0  # seconds after which one contestant of a row runs no more

_lines: list[str] = []
_rows: list[dict[str, Any]] = []
_one = _quick = False


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of `make bench`."""
    parser.addoption(
        "--threads", choices=("default", "one"), default="default",
        help="thread pools as they are and wall time, or one thread and processor time",
    )  # fmt: skip
    parser.addoption(
        "--quick", action="store_true", help="one round, and no large case: does each file run?"
    )
    parser.addoption("--rows", type=Path, help="file of JSON lines that rows are appended to")


def pytest_configure(config: pytest.Config) -> None:
    """Set the threads before any work."""
    global _one, _quick
    _one, _quick = config.getoption("--threads") == "one", config.getoption("--quick")
    if _one:
        threadpool_limits(1)
        torch.set_num_threads(1)


def clock() -> float:
    """Seconds: of the processor with one thread, of the wall otherwise."""
    return time.process_time() if _one else time.perf_counter()


def seconds(run: Callable[[], Any], repeats: int = 9) -> float:
    """The median time of some calls."""
    times = []
    for _ in range(repeats):
        start = clock()
        run()
        times.append(clock() - start)
    return statistics.median(times)


def quick() -> bool:
    """Whether files are only tried."""
    return _quick


def large() -> None:
    """Leave a case out where files are only tried."""
    if _quick:
        pytest.skip("too large for --quick")


def once() -> None:
    """Leave what threads do not change to the run on one thread, whose clock it uses."""
    if not _one:
        pytest.skip("measured in the run on one thread")


def race(
    title: str,
    contestants: Mapping[str, Callable[[], Any]],
    *,
    unit: str | None = None,
    rounds: int = 5,
    details: str = "",
) -> dict[str, float]:
    """Time all contestants interleaved.

    Args:
        title: of the row.
        contestants: name -> what to run.
        unit: the contestant whose time is 1; the first one by default.
        rounds: each runs every contestant once; fewer where that takes long.
        details: printed beside the title.

    Returns:
        For every contestant the median over rounds of its time over that of the unit.
    """
    unit = unit or next(iter(contestants))
    times: dict[str, list[float]] = {name: [] for name in contestants}
    waits: dict[str, list[float]] = {name: [] for name in contestants}
    rounds = 1 if _quick else rounds

    def timed(name: str) -> None:
        wait, start = time.perf_counter(), clock()
        contestants[name]()
        times[name].append(clock() - start)
        waits[name].append(time.perf_counter() - wait)

    for name in contestants:
        timed(name)
        if waits[name][0] > SLOW:  # known well enough from its first call
            continue
        times[name], waits[name] = [], []
        if name.startswith("hessium") and rounds >= WARM:  # chooses a route in its first calls
            for _ in range(WARM - 1):
                contestants[name]()
    begun = time.perf_counter()
    for done in range(rounds):
        if done >= FEWEST and time.perf_counter() - begun > LIMIT:
            break
        for name in contestants:
            if sum(waits[name]) <= SLOW:
                timed(name)
    costs = {
        name: statistics.median(
            theirs / one for theirs, one in zip(times[name], times[unit], strict=False)
        )
        for name in contestants
    }
    wall = {name: statistics.median(found) for name, found in waits.items()}
    row(title, costs, unit=unit, details=details, wall=wall)
    return costs


def tasks(
    title: str,
    runs: Mapping[str, Callable[[], str]],
    gradient: Callable[[], Any],
    parts: Mapping[str, float] | None = None,
) -> dict[str, float]:
    """Whole tasks, each run once, in gradients measured before and after it.

    Args:
        title: of the row.
        runs: name -> a task, which returns a few words on its result.
        gradient: one gradient.
        parts: name -> the share of its task that is run, where the cost is proportional to it.
    """
    costs, words, wall = {}, [], {}
    for name, run in runs.items():
        before = seconds(gradient)
        wait, start = time.perf_counter(), clock()
        found = run()
        share = (parts or {}).get(name, 1.0)
        taken = (clock() - start) / share
        wall[name] = (time.perf_counter() - wait) / share
        costs[name] = taken / (before * seconds(gradient)) ** 0.5
        words.append(f"{name}: {found}" + (f" (a share of {share:g} was run)" if share < 1 else ""))
    row(title, costs, unit="gradient", details="; ".join(words), wall=wall)
    return costs


def row(
    title: str,
    costs: Mapping[str, float],
    *,
    unit: str,
    details: str = "",
    wall: Mapping[str, float] | None = None,
) -> None:
    """Add a row to the summary and to the file; `wall` has seconds of wall time."""
    shown = ", ".join(f"{name} {cost:.3g}" for name, cost in costs.items() if name != unit)
    note(f"{title} [unit: {unit}]: {shown}" + (f"  ({details})" if details else ""))
    _rows.append(
        {
            "title": title,
            "unit": unit,
            "costs": dict(costs),
            "details": details,
            "wall": dict(wall or {}),
        }
    )


def note(line: str) -> None:
    """Add a line to the summary."""
    _lines.append(line)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print the rows and write them."""
    how = "one thread, processor time" if _one else "default threads, wall time"
    terminalreporter.section(f"ratios within this run ({how})")
    for line in _lines:
        terminalreporter.write_line(line)
    if (path := config.getoption("--rows")) is not None:
        about = {"threads": "one" if _one else "default", "torch": torch.__version__}
        about |= {"processor": _processor(), "python": platform.python_version()}
        with path.open("a", encoding="utf-8") as file:
            for one in _rows:
                file.write(json.dumps(about | one) + "\n")


def _processor() -> str:
    """The name of the processor, where the system gives it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0]} ({len(names)} cores)" if names else platform.processor()

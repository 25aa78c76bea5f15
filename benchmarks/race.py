"""Ratios that survive a noisy machine: contestants run in turn, each round compared with itself.

One thread each, timed by the clock of the processor: other processes do not disturb it.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch

# one thread, so that numbers mean the same on every machine
torch.set_num_threads(1)

TABLE: list[str] = []


def race(
    benchmark: Any, title: str, contestants: Mapping[str, Callable[[], Any]], *, rounds: int = 5
) -> dict[str, float]:
    """Time all contestants interleaved; the first one is ours.

    Args:
        benchmark: the pytest-benchmark fixture, which records ours and keeps all ratios.
        title: of the line in the summary.
        contestants: name -> what to run, already warm.
        rounds: each runs every contestant once.

    Returns:
        For every other contestant the median over rounds of its time over ours.
    """
    names = list(contestants)
    ours = names[0]
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for run in contestants.values():
        run()
    for _ in range(rounds):
        for name, run in contestants.items():
            start = time.process_time()
            run()
            seconds[name].append(time.process_time() - start)
    ratios = {
        name: statistics.median(
            theirs / mine for theirs, mine in zip(seconds[name], seconds[ours], strict=True)
        )
        for name in names[1:]
    }
    benchmark.extra_info.update(ratios)
    benchmark.pedantic(contestants[ours], rounds=1)
    shown = ", ".join(f"{name} {ratio:.2f}x" for name, ratio in ratios.items())
    note(f"{title}: {ours} 1x, {shown}")
    return ratios


def note(line: str) -> None:
    """Add a line to the summary."""
    TABLE.append(line)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the summary after the tables of pytest-benchmark."""
    terminalreporter.section("ratios within this run (time of others over ours)")
    for line in TABLE:
        terminalreporter.write_line(line)

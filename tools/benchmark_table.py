"""The tables of docs/benchmarks from the rows of `make bench`.

    python tools/benchmark_table.py docs/benchmarks/rows.jsonl > docs/benchmarks/rows.md

One table for each group of rows; a row of one thread stands beside the same row at the defaults,
and a row that is slower at the defaults than on one thread by more than a tenth is marked.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, TypeAlias

SLOWER = 1.1
Rows: TypeAlias = dict[tuple[str, str], dict[str, dict[str, Any]]]


def read(path: Path) -> Rows:
    """Rows by title and unit, then by threads; of several runs the last counts."""
    found: Rows = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        found.setdefault((row["title"], row["unit"]), {})[row["threads"]] = row
    return found


def table(rows: Rows) -> str:
    """All rows in the order of the file."""
    lines = [
        "| what | unit | one thread, processor time | default threads, wall time |",
        "|---|---|---|---|",
    ]
    for (title, unit), by_threads in rows.items():
        cells = [_costs(by_threads.get(threads), unit) for threads in ("one", "default")]
        mark = (
            f" (slower than one thread by {slower:.2f})" if (slower := _slower(by_threads)) else ""
        )
        lines.append(f"| {title} | {unit} | {cells[0]} | {cells[1]}{mark} |")
    return "\n".join(lines)


def _slower(by_threads: dict[str, dict[str, Any]]) -> float:
    """Wall time of hessium at the defaults over that on one thread, if it is larger by a tenth."""
    if len(by_threads) < len(("one", "default")):
        return 0.0
    walls = [
        next(
            (t for name, t in by_threads[threads]["wall"].items() if name.startswith("hessium")), 0
        )
        for threads in ("default", "one")
    ]
    return walls[0] / walls[1] if walls[1] and walls[0] > SLOWER * walls[1] else 0.0


def about(rows: Rows) -> str:
    """Versions and processor of the runs."""
    seen = {
        f"{row['processor']}, Python {row['python']}, torch {row['torch']}"
        for by_threads in rows.values()
        for row in by_threads.values()
    }
    return "Measured by `make bench` on " + " and ".join(sorted(seen)) + "."


def _costs(row: dict[str, Any] | None, unit: str) -> str:
    if row is None:
        return "not measured"
    costs = [(name, cost) for name, cost in row["costs"].items() if name != unit]
    shown = [
        f"**{name} {cost:.3g}**" if name.startswith("hessium") else f"{name} {cost:.3g}"
        for name, cost in costs
    ]
    return ", ".join(shown)


def main() -> None:
    """Print the table."""
    rows = read(Path(sys.argv[1]))
    print(about(rows), table(rows), sep="\n\n")


if __name__ == "__main__":
    main()

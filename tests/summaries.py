"""Two `summary.json` of `make report`, compared number by number.

    python tests/summaries.py BEFORE/summary.json AFTER/summary.json

Prints every number, word or entry that differs, and exits with 1 if there is one. Times,
versions of libraries and identifiers of runs (hashes of the code) are left out.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

WITHIN = 1e-9  # relative difference that counts as equal
_BESIDE = ("seconds", "finished", "versions", "command", "fingerprint", "ids")


def leaves(value: Any, where: str = "") -> Iterator[tuple[str, Any]]:
    """Numbers and words by their place; sections by their name and not by their position."""
    if isinstance(value, dict):
        for key, part in value.items():
            if key not in _BESIDE:
                yield from leaves(part, f"{where}/{key}")
    elif isinstance(value, list):
        for number, part in enumerate(value):
            name = part.get("experiment", number) if isinstance(part, dict) else number
            yield from leaves(part, f"{where}/{name}")
    else:
        yield where, value


def same(one: Any, other: Any, within: float) -> bool:
    """Whether two leaves are equal, numbers within a relative difference."""
    numbers = [isinstance(v, (int, float)) and not isinstance(v, bool) for v in (one, other)]
    if all(numbers):
        return one == other or math.isclose(one, other, rel_tol=within, abs_tol=1e-300)
    return bool(one == other)


def differences(before: Any, after: Any, within: float = WITHIN) -> list[str]:
    """One line for each leaf that differs."""
    old, new = dict(leaves(before)), dict(leaves(after))
    found = [f"gone: {key} = {old[key]!r}" for key in old if key not in new]
    found += [f"new: {key} = {new[key]!r}" for key in new if key not in old]
    return found + [
        f"{key}: {old[key]!r} -> {new[key]!r}"
        for key in old
        if key in new and not same(old[key], new[key], within)
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--within", type=float, default=WITHIN)
    options = parser.parse_args()
    before, after = (json.loads(path.read_text()) for path in (options.before, options.after))
    found = differences(before, after, options.within)
    print("\n".join(found))  # noqa: T201
    total = sum(1 for _ in leaves(before))
    print(f"{total} entries, {len(found)} differ")  # noqa: T201
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())

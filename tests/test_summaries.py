"""The comparison of two summaries finds what differs, and nothing else."""

from __future__ import annotations

import copy
from typing import Any

from summaries import differences

BEFORE: dict[str, Any] = {
    "sections": [
        {"experiment": "a", "seconds": 3.0, "findings": {"charts": [{"y": [1.0, 2.0]}]}},
        {"experiment": "b", "findings": {"tables": [{"rows": [["rank", {"value": 12}]]}]}},
    ]
}


def test_times_order_and_rounding_do_not_count() -> None:
    after = copy.deepcopy(BEFORE)
    after["sections"][0]["seconds"] = 5.0
    after["sections"][0]["findings"]["charts"][0]["y"][1] = 2.0 * (1 + 1e-12)
    after["sections"].reverse()
    assert differences(BEFORE, after) == []


def test_numbers_words_and_missing_entries_count() -> None:
    after = copy.deepcopy(BEFORE)
    after["sections"][0]["findings"]["charts"][0]["y"] = [1.0, 2.1]
    after["sections"][1]["findings"]["tables"][0]["rows"][0] = ["rank"]
    found = differences(BEFORE, after)
    assert len(found) == 2
    assert any("2.0 -> 2.1" in line for line in found)
    assert any(line.startswith("gone") for line in found)

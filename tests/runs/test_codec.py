"""Stored records whose classes are annotated with aliases of types."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from typing_extensions import TypeAliasType

from hessium.runs.codec import DecodeError, decode, encode

# what `type Name = ...` makes since Python 3.12, and NumPy for NDArray since 2.5
Floats = TypeAliasType("Floats", np.ndarray[Any, np.dtype[np.float64]])
ManyFloats = TypeAliasType("ManyFloats", dict[str, Floats])
Again = TypeAliasType("Again", ManyFloats)


@dataclass
class Record:
    values: Floats
    named: Again
    missing: Floats | None
    lengths: tuple[float, ...]


def test_aliases_are_what_they_stand_for() -> None:
    record = Record(np.array([1.0, 2.0]), {"a": np.array([3.0])}, None, (4.0,))
    found = decode(Record, encode(record))
    np.testing.assert_array_equal(found.values, record.values)
    np.testing.assert_array_equal(found.named["a"], record.named["a"])
    assert found.missing is None
    assert found.lengths == (4.0,)


@pytest.mark.parametrize(
    ("field", "value"),
    [("values", ["a"]), ("named", [1.0]), ("missing", "text"), ("lengths", {"a": 1.0})],
)
def test_what_an_alias_does_not_stand_for_is_refused(field: str, value: Any) -> None:
    stored = encode(Record(np.array([1.0]), {}, None, ())) | {field: value}
    with pytest.raises(DecodeError, match=field):
        decode(Record, stored)

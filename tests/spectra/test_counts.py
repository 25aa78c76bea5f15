"""Counts: what is certain of numbers in brackets, and what they say of themselves."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import hessium as hs
from hessium.errors import InputError
from support.chosen_spectra import with_eigenvalues


def count(lower: int, upper: int, value: int | None = None, **fields: Any) -> hs.Count:
    middle = (lower + upper) // 2 if value is None else value
    return hs.Count(value=middle, lower=lower, upper=upper, **fields)


ALL: list[Any] = [count(a, b, v) for a in range(4) for b in range(a, 4) for v in range(a, b + 1)]
NUMBERS: list[Any] = [0, 1, 2, 3, 1.5, np.int64(2), np.float64(3.0)]
ORDERS: list[tuple[str, Callable[[Any, Any], Any]]] = [
    ("<", operator.lt), ("<=", operator.le), (">", operator.gt), (">=", operator.ge),
    ("==", operator.eq),
]  # fmt: skip


def truths(number: Any) -> list[Any]:
    if isinstance(number, hs.Count):
        return list(range(number.lower, number.upper + 1))
    return [number]


def test_comparisons_never_contradict_each_other() -> None:
    pairs = [p for p in itertools.product(ALL + NUMBERS, repeat=2) if any(
        isinstance(x, hs.Count) for x in p
    )]  # fmt: skip
    assert len(pairs) > 600
    for a, b in pairs:
        below, above, same = a < b, a > b, a == b
        assert below + above + same <= 1
        assert below == (b > a)
        assert (a <= b) == (b >= a)
        assert same == (b == a) == (not a != b)  # noqa: SIM202
        assert not (below and b <= a)
        if below or same:
            assert a <= b
        if a <= b and b <= a:
            assert same
        if same:
            assert hash(a) == hash(b)


def test_what_a_comparison_says_holds_for_every_number_in_the_brackets() -> None:
    for (_, order), a, b in itertools.product(ORDERS[:4], ALL, ALL + NUMBERS):
        certain = all(order(x, y) for x in truths(a) for y in truths(b))
        assert order(a, b) == (certain or (order in (operator.le, operator.ge) and a == b))
    for a, number in itertools.product(ALL, NUMBERS):
        assert (a == number) == (truths(a) == [number])


def test_order_is_transitive() -> None:
    for a, b, c in itertools.product(ALL, repeat=3):
        if a < b and b < c:
            assert a < c
        if a <= b and b <= c:
            assert a <= c


def test_sums_keep_their_brackets() -> None:
    for a, b in itertools.product(ALL[::3], [*ALL[::3], 2]):
        for sign, total in ((1, a + b), (-1, a - b)):
            possible = [x + sign * y for x in truths(a) for y in truths(b)]
            assert (total.lower, total.upper) == (min(possible), max(possible))
    assert sum([count(2, 2), count(3, 6)]) == count(5, 8, 6)
    assert (5 - count(1, 3, 2)).bracket == "3 in [2, 4]"
    assert (count(1, 2, confidence=0.9) + count(1, 2, confidence=0.95)).confidence == pytest.approx(
        0.85
    )
    assert (count(1, 2, confidence=0.9) + 3).confidence == 0.9
    near, far = count(1, 1, tol=1e-6, scale=2.0), count(1, 1, tol=1e-3, scale=2.0)
    assert (near + near).tol == 1e-6
    assert (near + far).tol is None
    for other in (2.7, "2", None):
        with pytest.raises(TypeError):
            count(1, 2) + other  # type: ignore[operator]
        with pytest.raises(TypeError):
            other - count(1, 2)  # type: ignore[operator]


def test_a_count_stands_for_an_integer_only_where_it_is_one() -> None:
    exact, open_ = count(4, 4), count(3, 6, 4)
    assert list(range(exact)) == [0, 1, 2, 3]
    assert int(open_) == 4
    with pytest.raises(InputError, match=r"4 in \[3, 6\] is not exact"):
        range(open_)
    assert bool(exact)
    assert bool(open_)
    assert not count(0, 0)
    with pytest.raises(InputError, match="true or false"):
        bool(count(0, 5))
    assert len({exact, count(4, 4), 4}) == 1
    with pytest.raises(InputError, match="value: 7; it must lie in"):
        count(3, 6, 7)
    with pytest.raises(TypeError):
        assert exact < "5"  # type: ignore[operator]


def test_formats_show_the_bracket() -> None:
    assert f"{count(3, 6, 4):d}" == "4 in [3, 6]"
    assert f"{count(1200, 1200):,}" == "1,200"
    assert f"{count(2000, 80000):,}" == "between 2,000 and 80,000"
    assert f"{count(20, 80)}" == "between 20 and 80"
    # the value is stated while the bracket is at most three, or half the value, wide
    assert f"{count(1, 4)}" == "2 in [1, 4]"
    assert f"{count(1, 5)}" == "between 1 and 5"


@pytest.mark.parametrize("method", ["exact", "quadrature"])
def test_counts_state_their_threshold(method: Any) -> None:
    matrix = with_eigenvalues(np.concatenate([np.zeros(50), [-1.0, -2.0, 3.0]]))
    found = hs.inertia(matrix, 1e-4, method=method)
    rank = hs.rank(matrix, 1e-4, method=method)
    level = " with confidence 0.999" if method == "quadrature" else ""
    assert repr(rank) == f"rank 3{level} at |eigenvalue| > 0.0001 x 3"
    assert repr(found.negative) == f"2{level} negative at |eigenvalue| > 0.0001 x 3"
    assert repr(found.zero) == f"50{level} zero at |eigenvalue| <= 0.0001 x 3"
    assert rank.tol == 1e-4
    assert rank.scale == pytest.approx(3.0)
    assert rank.method == found.method
    assert f"1{level} positive at |eigenvalue| > 0.0001 x 3" in repr(found)


def test_where_rounding_opens_a_bracket_it_says_what_rounding_resolves() -> None:
    values = np.concatenate([np.zeros(30), np.geomspace(1e-9, 1e-7, 10), [0.3, 1.0]])
    matrix = with_eigenvalues(values).float()
    found = hs.inertia(matrix, 1e-7)
    rank = hs.rank(matrix, 1e-7)
    assert rank.resolved is not None
    tol, resolved = rank.resolved
    assert resolved == 2
    assert hs.rank(matrix, tol) == 2
    assert not hs.rank(matrix, tol / 2.1).exact
    assert repr(rank).endswith(f"(rounding resolves tol {tol:g}: 2)")
    assert f"rounding resolves tol {tol:g}: 0 negative, 40 zero, 2 positive" in repr(found)
    assert hs.rank(matrix.double(), 1e-3).resolved is None
    assert hs.rank(torch.zeros(3, 3)).resolved is None

"""Numbers as words at the ends of what a float holds."""

from __future__ import annotations

import pytest

from hessium.figures.formatting import digits


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (float("inf"), "∞"),
        (float("-inf"), "−∞"),
        (float("nan"), "not a number"),
        (1e-320, "10⁻³²⁰"),
        (-2.5e-310, "−2.5×10⁻³¹⁰"),
        (1.7e308, "1.7×10³⁰⁸"),
        (9.9996, "10"),
        (0.00012345, "1.23×10⁻⁴"),
        (123456.0, "123000"),
        (999999.0, "10⁶"),
    ],
)
def test_numbers_at_the_ends(value: float, text: str) -> None:
    assert digits(value) == text

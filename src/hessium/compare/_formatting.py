"""Formatting of probabilities."""

from __future__ import annotations


def percent(share: float) -> str:
    """A probability in percent without rounding to 100%: 0.999 is 99.9%."""
    return f"{100 * share:.14g}%"

"""Probabilities in words."""

from __future__ import annotations


def percent(share: float) -> str:
    """A probability in percent, with all digits that it has: 0.999 is 99.9%, never 100%."""
    return f"{100 * share:.14g}%"

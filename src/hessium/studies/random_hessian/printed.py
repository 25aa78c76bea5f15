"""The formulas of the second source as they are printed, in any arithmetic."""

from __future__ import annotations

from decimal import Decimal, localcontext
from typing import TypeVar

_Number = TypeVar("_Number", float, Decimal)

_DIGITS = 60


def printed(ratio: _Number, activation: str) -> _Number:
    """Eq. 21 ("linear") or eq. 32 at scale one ("relu"), operation by operation."""
    kind, half = type(ratio), type(ratio)("1.5")
    if activation == "linear":
        return (1 - 20 * ratio - 8 * ratio**2 + (1 + 8 * ratio) ** half) / 16
    chi = kind(1) + 16 * ratio - 8 * ratio**2
    above = 27 - 18 * chi - chi**2 + 8 * chi**half
    return above / (32 * ratio * (1 - ratio) ** 3)


def reference(ratio: float, activation: str) -> float:
    """The printed formula in 60 digits, at the ratio that the float stands for exactly."""
    with localcontext() as context:
        context.prec = _DIGITS
        return float(printed(Decimal(ratio), activation))

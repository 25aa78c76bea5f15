"""A real number with its bracket."""

from __future__ import annotations

import math
from dataclasses import dataclass

from hessium._display import Displayable
from hessium.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Bracket(Displayable):
    """A real number with a lower and an upper bound; `float` gives its value.

    Attributes:
        value: the estimate.
        lower: lower bound; minus infinity where none is known.
        upper: upper bound; infinity where none is known.
        confidence: probability that the bracket holds, over random probes; None if it is certain.

    Raises:
        InputError: if `value` lies outside of the bracket.

    Example:
        >>> hs.Bracket(value=2.0, lower=1.9, upper=2.1, confidence=0.95)
        2 in [1.9, 2.1] with confidence 0.95
    """

    value: float
    lower: float
    upper: float
    confidence: float | None = None

    def __post_init__(self) -> None:
        if not (math.isnan(self.value) or self.lower <= self.value <= self.upper):
            msg = f"value: {self.value}; it must lie in [{self.lower}, {self.upper}]"
            raise InputError(msg)

    def __float__(self) -> float:
        return self.value

    def __contains__(self, number: float) -> bool:
        return self.lower <= number <= self.upper

    def __repr__(self) -> str:
        likely = "" if self.confidence is None else f" with confidence {self.confidence:g}"
        return f"{self.value:.6g} in [{self.lower:.6g}, {self.upper:.6g}]{likely}"

"""Functions and integrals of a spectrum with their errors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hessium._display import Displayable
from hessium._typing import FloatArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Band(Displayable):
    """A function on points with its errors.

    Attributes:
        x: points, shape (k,).
        value: the estimate.
        lower: lower end of all errors together.
        upper: upper end of all errors together.
        algorithmic: half-width that would be left with infinitely many probes: what the number of
            Lanczos steps leaves open; NaN where no bound is known.
        confidence: probability that the truth lies between `lower` and `upper`, at each point; None
            where that is certain.
        reasons: what opens the band: of "rounding", "steps" and "probes".
    """

    x: FloatArray
    value: FloatArray
    lower: FloatArray
    upper: FloatArray
    algorithmic: FloatArray
    confidence: float | None = None
    reasons: tuple[str, ...] = ()

    def __repr__(self) -> str:
        half = float((self.upper - self.lower).max()) / 2
        sure = "" if self.confidence is None else f", confidence {self.confidence:g}"
        return f"Band({self.x.size} points, half-width at most {half:.2g}{sure})"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Integral(Displayable):
    r"""$\int f d\mu$ of a spectrum; as a float it is its value, unpacked it is (value, stderr).

    Attributes:
        value: the estimate.
        stderr: Monte-Carlo standard error, zero where all eigenvalues are known.
        lower: lower end of the interval.
        upper: upper end of the interval.
        confidence: probability that the interval holds the truth, over the draw of the probes; None
            where all eigenvalues are known.
        reasons: what opens the interval: "rounding" or "probes".
    """

    value: float
    stderr: float
    lower: float
    upper: float
    confidence: float | None = None
    reasons: tuple[str, ...] = ()

    def __float__(self) -> float:
        return self.value

    def __iter__(self) -> Iterator[float]:
        return iter((self.value, self.stderr))

    def __repr__(self) -> str:
        if self.confidence is None:
            return f"Integral({self.value:.6g}, exact to rounding)"
        return f"Integral({self.value:.6g} +- {self.stderr:.2g} over the probes)"

"""Functions and integrals of a spectrum with their errors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hessium._display import Displayable
from hessium._typing import FloatArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Band(Displayable):
    """Values of a function at points, with error bands.

    Attributes:
        x: points, shape (k,).
        value: the estimate.
        lower: lower end of all errors together.
        upper: upper end of all errors together.
        algorithmic: half-width due to the finite number of Lanczos steps, as with infinitely many
            probes; NaN if no bound is known.
        confidence: probability that the true value lies between `lower` and `upper`, at each point;
            None if the bounds are certain.
        reasons: sources of the error: of "rounding", "steps" and "probes".

    Example:
        >>> band = hs.spectral_measure(H, probes=2, steps=4).cdf_band([0.0, 1.0])
        >>> bool((band.lower <= band.upper).all())
        True
    """

    x: FloatArray
    value: FloatArray
    lower: FloatArray
    upper: FloatArray
    algorithmic: FloatArray
    confidence: float | None = None
    reasons: tuple[str, ...] = ()

    def __repr__(self) -> str:
        half = float((self.upper - self.lower).max(initial=0.0)) / 2
        sure = "" if self.confidence is None else f", confidence {self.confidence:g}"
        return f"Band({self.x.size} points, half-width at most {half:.2g}{sure})"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Integral(Displayable):
    r"""$\int f d\mu$ of a spectrum; `float` gives its value, unpacking (value, stderr).

    Attributes:
        value: the estimate.
        stderr: Monte-Carlo standard error, zero if all eigenvalues are known.
        lower: lower end of the interval.
        upper: upper end of the interval.
        confidence: probability that the interval contains the true value, over the random probes;
            None if all eigenvalues are known.
        reasons: source of the error: "rounding" or "probes".

    Example:
        >>> found = hs.Spectrum.of([1.0, 4.0]).integral(np.sqrt)
        >>> round(found.value, 6)
        1.5
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

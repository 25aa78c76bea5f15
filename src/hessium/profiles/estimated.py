"""What is known about one large matrix: counts, sums and eigenvalues, each with its error."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import scipy.stats

from hessium._typing import FloatArray
from hessium.figures.formatting import digits
from hessium.figures.records import Number
from hessium.profiles.matrix_free import measure_of
from hessium.profiles.quoted import Quoted
from hessium.runs.experiment import Result
from hessium.spectra import Count, Integral, Spectrum

Side = Literal["negative", "positive", "zero"]
_LIKELY = 0.95


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Estimated:
    """Eigenpairs and spectral measure of one matrix, as far as they are finished.

    Attributes:
        sign: H or H₀.
        values: eigenvalues found one by one, descending.
        residuals: of their eigenpairs.
        converged: whether they meet the accuracy asked for.
        measure: of the probes that are finished, or None.
    """

    sign: str
    values: FloatArray
    residuals: FloatArray
    converged: npt.NDArray[np.bool_]
    measure: Spectrum | None

    @classmethod
    def read(cls, found: Mapping[str, Result], matrix: str, sign: str) -> Estimated | None:
        """Put together from the parts of `matrix_free.estimate`; None if there is none."""
        if f"{matrix}/pairs" not in found:
            return None
        pairs = found[f"{matrix}/pairs"]
        order = np.argsort(-pairs["values"], kind="stable")
        return cls(
            sign=sign,
            values=pairs["values"][order],
            residuals=pairs["residuals"][order],
            converged=pairs["converged"][order],
            measure=measure_of(found, matrix),
        )

    @property
    def scale(self) -> float:
        """Largest |eigenvalue|."""
        return float(np.abs(self.values).max(initial=0.0))

    def count(self, side: Side, tol: float, confidence: float) -> Count | None:
        """Eigenvalues beyond, or within, tol times the largest; None before the first probe."""
        if self.measure is None:
            return None
        t = tol * self.scale
        # the threshold is as uncertain as the largest eigenvalue
        doubt = tol * float(self.residuals[np.abs(self.values).argmax()])
        a, b = {"negative": (-np.inf, -t), "positive": (t, np.inf), "zero": (-t, t)}[side]
        return self.measure.count(a, b, confidence=confidence, margin=doubt)

    def rank(self, tol: float, confidence: float) -> Count | None:
        """Eigenvalues beyond tol times the largest, of both signs."""
        if self.measure is None:
            return None
        n = self.measure.dim
        negative, positive, zero = (
            self.count(side, tol, confidence) for side in ("negative", "positive", "zero")
        )
        assert negative is not None
        assert positive is not None
        assert zero is not None
        # what one count proves about another: they add up to n
        both, others = negative + positive, n - zero
        lower = max(both.lower, others.lower)
        upper = max(lower, min(both.upper, others.upper))
        value = min(max(both.value, lower), upper)
        return Count(value=value, lower=lower, upper=upper, confidence=confidence, what="rank")

    def sum_of(self, f: Callable[[FloatArray], FloatArray]) -> Number | None:
        """Sum of f over all eigenvalues, with its Monte-Carlo error."""
        if self.measure is None:
            return None
        mean, error = self.measure.integral(f)
        value, n = self.measure.dim * mean, self.measure.dim
        if not math.isfinite(error):
            return Number(value=value, basis="one probe, so without an error", digits=4)
        reach = n * error * float(scipy.stats.norm.ppf((1 + _LIKELY) / 2))
        return Number(
            value=value,
            low=value - reach,
            high=value + reach,
            basis=f"value [{_LIKELY:.0%} interval over the draw of the probes]",
            digits=4,
        )

    def negative_mass(self) -> Number | None:
        """Absolute values of the negative eigenvalues over those of all."""
        if self.measure is None:
            return None
        # each interval misses half as often, so that both hold together
        each = (1 + _LIKELY) / 2
        below = self.measure.integral(lambda x: np.maximum(-x, 0.0), confidence=each)
        above = self.measure.integral(lambda x: np.maximum(x, 0.0), confidence=each)
        total = below.value + above.value
        if not total:
            return None
        value = below.value / total
        ends = (below.lower, below.upper, above.lower, above.upper)
        if not all(map(math.isfinite, ends)):
            return Number(value=value, basis="one probe, so without an error", digits=4)
        low, high = max(below.lower, 0.0), max(below.upper, 0.0)
        least, most = max(above.lower, 0.0), max(above.upper, 0.0)
        return Number(
            value=value,
            low=low / (low + most) if low + most else 0.0,
            high=high / (high + least) if high + least else 0.0,
            basis=f"value [{_LIKELY:.0%} interval over the draw of the probes]",
            digits=4,
        )

    def quoted(self, dim: int, tol: float, confidence: float) -> Quoted:
        """The numbers of the matrix, as far as they are known."""
        return Quoted(
            sign=self.sign,
            dim=dim,
            largest=self.end("largest"),
            smallest=self.end("smallest") if self.sign == "H" else "not sought",
            trace=told(self.sum_of(lambda x: x)),
            negative_mass=told(self.negative_mass()),
            index=counted(self.count("negative", tol, confidence)),
            rank=counted(self.rank(tol, confidence)),
        )

    def end(self, which: Literal["largest", "smallest"]) -> Number:
        """An end of the spectrum."""
        return self.eigenvalue(0 if which == "largest" else -1)

    def eigenvalue(self, index: int) -> Number:
        """One eigenvalue with what its residual leaves open."""
        value, residual = float(self.values[index]), float(self.residuals[index])
        return Number(
            value=value,
            low=value - residual,
            high=value + residual,
            basis="value [within its residual of an eigenvalue]",
            digits=4,
        )


def counted(count: Count | None) -> Number | str:
    """A count for a table."""
    if count is None:
        return "not measured"
    likely = "" if count.confidence is None else f" with confidence {digits(count.confidence)}"
    return Number(
        value=float(count.value),
        low=float(count.lower),
        high=float(count.upper),
        basis=f"count [bracket{likely}]",
        digits=12,
    )


def told(number: Number | None) -> Number | str:
    """A number for a table, or why there is none."""
    return "not measured" if number is None else number


def hutchinson(part: Result) -> Integral:
    """The trace of a layer's block, with Student's interval over its probes."""
    value, error = float(part["trace"]), float(part["stderr"])
    reach = error * float(scipy.stats.t.ppf((1 + _LIKELY) / 2, int(part["probes"]) - 1))
    return Integral(
        value=value,
        stderr=error,
        lower=value - reach,
        upper=value + reach,
        confidence=_LIKELY,
        reasons=("probes",),
    )

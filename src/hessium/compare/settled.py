"""Results of a search for a law: converged fits, estimates, final result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scipy.stats import chi2

from hessium._typing import FloatArray
from hessium.compare.gls import Weighted
from hessium.compare.outliers import Outliers
from hessium.compare.spikes import Origin
from hessium.theory import Law

REJECTED = 1e-2  # p-value below which a fit counts as rejected, and an eigenvalue as an outlier


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class FittedParameter:
    """One fitted parameter.

    Attributes:
        value: best fit.
        low: lower end of its interval, 0 if the data do not bound it from below.
        high: upper end, infinite if they do not bound it from above.

    Example:
        >>> s = hs.Spectrum.of(np.linalg.eigvalsh(hs.theory.goe(200, rng=0)))
        >>> one = hs.compare.fit(s, "semicircle").parameters["variance"]
        >>> one.low < 1.0 < one.high
        True
    """

    value: float
    low: float
    high: float

    def covers(self, truth: float) -> bool:
        """Whether a number lies in the interval."""
        return self.low <= truth <= self.high

    def __repr__(self) -> str:
        return f"{self.value:.6g} [{self.low:.6g}, {self.high:.6g}]"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Settled:
    """Result of one start.

    Attributes:
        model: the final least-squares problem.
        logs: its solution.
        found: outliers and bulk.
        origin: assumed origin of the spikes.
        statistic, freedom: chi-squared of the bulk.
    """

    model: Weighted
    logs: FloatArray
    found: Outliers
    origin: Origin
    statistic: float
    freedom: int

    @property
    def outside(self) -> tuple[float, ...]:
        """The outliers."""
        return self.found.values

    @property
    def whole_p_value(self) -> float:
        """Of the law without spikes: chi-squared and both extremes, Bonferroni."""
        extremes = [side[0].p_value for side in (self.found.above, self.found.below) if side]
        return min(1.0, 3 * min([float(chi2.sf(self.statistic, self.freedom)), *extremes]))

    @property
    def crowded(self) -> bool:
        """Whether k outliers are too many for the spike model, with errors of order k^2/n."""
        return len(self.outside) ** 2 > self.model.size

    @property
    def p_value(self) -> float:
        """p-value of the bulk, if the outliers can be a few spikes; else of all eigenvalues."""
        return self.whole_p_value if self.crowded else float(chi2.sf(self.statistic, self.freedom))

    @property
    def rejected(self) -> bool:
        """Whether the p-value is below 0.01."""
        return not self.p_value >= REJECTED

    @property
    def rank(self) -> tuple[bool, int, float]:
        """Sort key: not rejected first, then fewest outliers, then smallest statistic."""
        return self.rejected, len(self.outside), self.statistic


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Found:
    """Result of a search, in the user's units.

    Attributes:
        best: the fit kept.
        parameters: their estimates.
        law: of the best values.
        outliers: eigenvalues set aside.
        rival: another fit that is not rejected, in words, or "".
    """

    best: Settled
    parameters: Mapping[str, FittedParameter]
    law: Law
    outliers: tuple[float, ...]
    rival: str


def hull(estimates: Sequence[Mapping[str, FittedParameter]]) -> dict[str, FittedParameter]:
    """Values of the first, with the union of all intervals."""
    return {
        name: FittedParameter(
            value=one.value,
            low=min(other[name].low for other in estimates),
            high=max(other[name].high for other in estimates),
        )
        for name, one in estimates[0].items()
    }

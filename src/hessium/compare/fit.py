"""The law of a family that a spectrum looks most like, with intervals that mean what they say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import least_squares
from scipy.stats import chi2, norm

from hessium._typing import FloatArray
from hessium.compare._spectrum import as_measure, eigenvalues_of, zeros
from hessium.compare.families import Family, family_of, rough_moments, trimmed
from hessium.compare.outliers import Outliers, outliers
from hessium.compare.weighted import STEP, Weighted, errors_of
from hessium.errors import InputError
from hessium.measure import DiscreteMeasure
from hessium.theory import Law
from hessium.theory._arrays import ArrayLike

_PILOT_POINTS = 32
_OUTLIER_LEVEL = 1e-2
_ROUNDS = 4
_WIDE = 0.1  # standard errors of a logarithm beyond which a parabola is no good
_REWEIGHTED = 4


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Estimate:
    """One fitted parameter.

    Attributes:
        value: best fit.
        low: lower end of its interval, 0 if the data do not bound it from below.
        high: upper end, infinite if they do not bound it from above.
    """

    value: float
    low: float
    high: float

    def covers(self, truth: float) -> bool:
        """Whether a number lies in the interval."""
        return self.low <= truth <= self.high

    def __repr__(self) -> str:
        return f"{self.value:.6g} [{self.low:.6g}, {self.high:.6g}]"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False, eq=False)
class Fit:
    r"""A law fitted to a spectrum.

    Attributes:
        family: its name.
        parameters: estimates by name; a fixed one has an interval of length zero.
        law: the law of the estimates.
        confidence: of each interval on its own.
        outliers: eigenvalues set aside as detached from the bulk, ascending.
        statistic: $\chi^2$ of what the law leaves unexplained.
        freedom: statistics less fitted parameters.
        p_value: of the statistic. Where it is small the intervals mean little: no member of the
            family has made this spectrum.
        rival: another member of the family that is not rejected either, with other eigenvalues as
            its outliers, in words, or "".
    """

    family: str
    parameters: Mapping[str, Estimate]
    law: Law
    confidence: float
    outliers: tuple[float, ...]
    statistic: float
    freedom: int
    p_value: float
    rival: str = ""

    def __repr__(self) -> str:
        parts = ", ".join(f"{name} {one!r}" for name, one in self.parameters.items())
        return (
            f"Fit({self.family}: {parts} at {self.confidence:.0%}; {len(self.outliers)} outliers; "
            f"chi2 {self.statistic:.3g} on {self.freedom}, p {self.p_value:.2g}"
            f"{'; not rejected either: ' + self.rival if self.rival else ''})"
        )


def fit(
    spectrum: DiscreteMeasure | ArrayLike,
    family: str | Family = "wishart-wigner",
    *,
    fixed: Mapping[str, float] | None = None,
    confidence: float = 0.95,
    beta: int = 1,
) -> Fit:
    r"""Fit the parameters of a law to all eigenvalues of a matrix.

    Three steps. A robust fit of the distribution function finds the bulk; eigenvalues that the
    Tracy-Widom law of its edges excludes are set aside; the others enter through Chebyshev
    polynomials, functionals of the distribution function, weighted by their exact covariance
    (generalised least squares, `fluctuations`), with the shift that each outlier leaves in the
    bulk taken off. Steps two and three repeat until the outliers stay. Where some eigenvalues lie
    far from most, a second fit starts from all of them: they may be a detached part of the law
    (large ratios) rather than spikes. Of both the one is kept that is not rejected, sets fewest
    aside and is nearest, in this order; if neither is rejected, `rival` has the other. The errors
    are of order 1/n. Equivariant: a multiple of the matrix gives the same fit in other units.

    Intervals are those of the $\chi^2$: parabolic in the logarithm of a parameter where it is well
    determined, else by profile, and then perhaps unbounded. They hold if the matrix is of the
    family, a sum of Wishart and Gaussian matrices; `p_value` tells whether it looks so. At n = 10
    those of 95 % were measured to cover in .81 to .90, at 100 and more in .92 to .96.

    Zero eigenvalues of "marchenko-pastur" and "relu-residual" are the atom $1 - 1/\text{ratio}$
    of a ratio above one. Their number does not scatter, so it says the ratio exactly, which then
    has an interval of length zero. The other families have no atom.

    Args:
        spectrum: all eigenvalues; zeros that the family's atom does not explain (symmetries) must
            be taken off first (`nonzero`).
        family: "wishart-wigner" or "relu" (scale, ratio, energy), "marchenko-pastur" (scale,
            ratio), "semicircle" (variance), "relu-residual" (ratio, energy), or a `Family`.
        fixed: parameters that are known.
        confidence: of each interval.
        beta: 1 for real symmetric, 2 for complex Hermitian matrices.

    Raises:
        InputError: if an argument breaks its rule, there are too few eigenvalues, most
            of them would be outliers, or no Gaussian-type ensemble has a law of the family.

    Cost: some hundred evaluations of the law on a contour; tens of
        milliseconds where the parameters are well determined, up to a second or two where profiles
        are needed ("wishart-wigner" at n = 10 to 20, or a parameter that the data hardly tell).
    """
    chosen = family_of(family)
    known = dict(fixed or {})
    if unknown := set(known) - set(chosen.parameters):
        msg = f"fixed: {sorted(unknown)}; {chosen.name} has {', '.join(chosen.parameters)}"
        raise InputError(msg)
    if set(known) == set(chosen.parameters):
        msg = f"fixed: all of {', '.join(chosen.parameters)}; nothing is left to fit"
        raise InputError(msg)
    if not 0 < confidence < 1:
        msg = f"confidence: {confidence}; a number between 0 and 1 is required"
        raise InputError(msg)
    measure = as_measure(spectrum)
    values = eigenvalues_of(measure)
    if values.size < 10 or np.ptp(values) == 0:
        msg = f"spectrum: {values.size} eigenvalues, range {np.ptp(values):g}; 10 with a spread"
        raise InputError(msg + " are required")
    known = {**known, **_told_by_zeros(chosen, measure, known)}
    return _Fitting(chosen, known, measure, beta).run(confidence)


def _told_by_zeros(
    family: Family, measure: DiscreteMeasure, known: Mapping[str, float]
) -> Mapping[str, float]:
    """What the number of zeros says; what is known already must agree up to one zero."""
    size, missing = measure.nodes.size, int(zeros(measure).sum())
    if family.from_zeros is None or not 0 < missing < size:
        return {}
    told = family.from_zeros(missing, size)
    for name in set(told) & set(known):
        if abs(told[name] / known[name] - 1) > 1 / (size - missing):
            msg = (
                f"fixed: {name} {known[name]:g}, but {missing} of {size} eigenvalues are zero, "
                f"which says {told[name]:g}; take zeros that are no part of the law off (`nonzero`)"
            )
            raise InputError(msg)
    return told


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Settled:
    """Where one start ended."""

    model: Weighted
    logs: FloatArray
    outside: tuple[float, ...]
    statistic: float
    freedom: int

    @property
    def p_value(self) -> float:
        return float(chi2.sf(self.statistic, self.freedom))

    @property
    def rejected(self) -> bool:
        return not self.p_value >= _OUTLIER_LEVEL

    @property
    def rank(self) -> tuple[bool, int, float]:
        """What is not rejected first, then what sets fewest eigenvalues aside, then the nearest."""
        return self.rejected, len(self.outside), self.statistic


class _Fitting:
    """One fit: logarithms of the free parameters, in units in which the spectrum is of order 1."""

    def __init__(
        self,
        family: Family,
        known: Mapping[str, float],
        measure: DiscreteMeasure,
        beta: int,
    ) -> None:
        self.family, self.beta = family, beta
        self.free = tuple(name for name in family.parameters if name not in known)
        # an atom would hide the bulk from quantiles
        self.on_atom = zeros(measure) & (family.from_zeros is not None)
        bulk = measure.nodes[~self.on_atom]
        kept = trimmed(bulk)
        self.unit = float(np.sqrt((kept**2).mean()))
        self.share = bulk.size / measure.nodes.size
        self.measure = replace(measure, nodes=measure.nodes / self.unit)
        self.known = {name: value / self._unit_of(name) for name, value in known.items()}
        self.start = self._rough(kept)
        # a small part of the law far from the rest (large ratios) looks like outliers
        self.whole = None if kept.size == bulk.size else self._rough(bulk)

    def _rough(self, values: FloatArray) -> FloatArray:
        start = self.family.start(*rough_moments(values / self.unit, self.share))
        return np.log([start[name] for name in self.free])

    def _unit_of(self, name: str) -> float:
        return float(self.unit ** self.family.parameters[name])

    def law(self, logs: FloatArray) -> Law:
        named = dict(zip(self.free, np.exp(logs).tolist(), strict=True))
        return self.family.law({**named, **self.known})

    def run(self, confidence: float) -> Fit:
        best = self._settled(self._pilot())
        rival: _Settled | None = None
        if self.whole is not None:
            try:
                rival = self._settled(self.whole, all_inside=True)
            except (InputError, np.linalg.LinAlgError, ValueError):
                rival = None  # no law of the family has all eigenvalues in its bulk
        if rival is not None and rival.rank < best.rank:
            best, rival = rival, best
        if 2 * len(best.outside) > (bulk := int((~self.on_atom).sum())):
            msg = f"spectrum: {len(best.outside)} of {bulk} eigenvalues would be outliers of the "
            raise InputError(msg + f"nearest {self.family.name} law; most of them must fit it")
        if rival is not None and (rival.rejected or rival.outside == best.outside):
            rival = None
        return Fit(
            family=self.family.name,
            parameters=self._estimates(best.model, best.logs, confidence),
            law=self._law_in_user_units(best.logs),
            confidence=confidence,
            outliers=tuple(self.unit * x for x in best.outside),
            statistic=best.statistic,
            freedom=best.freedom,
            p_value=best.p_value,
            rival="" if rival is None else self._worded(rival),
        )

    def _worded(self, other: _Settled) -> str:
        named = {**dict(zip(self.free, np.exp(other.logs).tolist(), strict=True)), **self.known}
        values = ", ".join(f"{k} {v * self._unit_of(k):.3g}" for k, v in named.items())
        return f"{values} with {len(other.outside)} outliers, p {other.p_value:.2g}"

    def _settled(self, logs: FloatArray, *, all_inside: bool = False) -> _Settled:
        """Outliers set aside and the rest fitted, in turn, from a start; perhaps none at first.

        With all inside at first a law of several bands that is not rejected ends the search.
        """
        outside: tuple[float, ...] | None = None
        for turn in range(_ROUNDS + all_inside):
            found = (
                Outliers(above=(), below=(), bulk=self.measure.nodes, level=_OUTLIER_LEVEL)
                if all_inside and turn == 0
                else outliers(self.measure, self.law(logs), level=_OUTLIER_LEVEL, beta=self.beta)
            )
            if found.values == outside:
                break
            outside = found.values
            for _ in range(_REWEIGHTED):  # the weights are those of the fit before
                model = Weighted(self.law, logs, self.measure.nodes.size, found, self.beta)
                fresh = model.solve(logs, STEP)
                moved, logs = float(np.abs(fresh - logs).max()), fresh
                if moved < 0.02:
                    break
            settled = _Settled(
                model=model,
                logs=logs,
                outside=outside,
                statistic=float((model.residuals(logs) ** 2).sum()),
                freedom=model.count - len(self.free),
            )
            # a band of a few eigenvalues has no Tracy-Widom edge to test them by
            if all_inside and len(self.law(logs).support_intervals()) > 1 and not settled.rejected:
                break
        return settled

    def _law_in_user_units(self, logs: FloatArray) -> Law:
        named = {**dict(zip(self.free, np.exp(logs).tolist(), strict=True)), **self.known}
        return self.family.law({k: v * self._unit_of(k) for k, v in named.items()})

    def _pilot(self) -> FloatArray:
        """Distribution function at some eigenvalues, with a loss that a few of them cannot bend."""
        places = np.flatnonzero(~self.on_atom)
        count = min(places.size, _PILOT_POINTS)
        which = places[np.linspace(0, places.size - 1, count).astype(int)]
        points, levels = self.measure.nodes[which], (which + 0.5) / self.measure.nodes.size

        def misfit(logs: FloatArray) -> FloatArray:
            return np.asarray(self.law(logs).cdf(points) - levels)

        found = least_squares(
            misfit,
            self.start,
            bounds=(self.start - 8, self.start + 8),
            loss="soft_l1",
            f_scale=0.01,
            diff_step=[1e-4] * self.start.size,
            max_nfev=25,
            xtol=1e-2,
            ftol=1e-2,
        )
        return np.asarray(found.x)

    def _estimates(
        self, model: Weighted, logs: FloatArray, confidence: float
    ) -> dict[str, Estimate]:
        errors = errors_of(model.information(logs))
        reach = float(norm.ppf((1 + confidence) / 2))
        found: dict[str, Estimate] = {}
        for name in self.family.parameters:
            unit = self._unit_of(name)
            if name in self.known:
                value = self.known[name] * unit
                found[name] = Estimate(value=value, low=value, high=value)
                continue
            k = self.free.index(name)
            if errors[k] < _WIDE:
                ends = [logs[k] - reach * errors[k], logs[k] + reach * errors[k]]
            else:
                ends = [model.profile(logs, k, side, errors[k], reach) for side in (-1, 1)]
            low, high = (unit * float(np.exp(end)) for end in ends)
            found[name] = Estimate(value=unit * float(np.exp(logs[k])), low=low, high=high)
        return found

"""The search behind `fit`: pilot, outliers, generalised least squares, intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from scipy.stats import norm

from hessium._typing import FloatArray
from hessium.compare._spectrum import rescaled, zeros
from hessium.compare.families import Family, rough_moments, trimmed
from hessium.compare.gls import STEP, Weighted, errors_of
from hessium.compare.outliers import Detached, Outliers, one_more, outliers
from hessium.compare.pilot import miscounts, pilot
from hessium.compare.settled import REJECTED, FittedParameter, Found, Settled, hull
from hessium.compare.spikes import Origin, factors
from hessium.errors import InputError
from hessium.spectra import Measure
from hessium.theory import Law

_ROUNDS = 4
_WIDE = 0.1  # standard error of a logarithm above which the parabolic approximation fails
_REWEIGHTED = 4
_NEARER = 1.0  # of chi-squared, by which one kind of spike must fit better to be preferred
_WEAKER = 3  # eigenvalues on a side that may be weak spikes
_UNLIKELY = 0.1  # p-value of an eigenvalue that may be one
_SMALLEST = 1e-75  # unit of a spectrum, whose fourth power must be a floating-point number
_FAILURES = (ValueError, ArithmeticError, np.linalg.LinAlgError, RuntimeError, IndexError)


class Fitting:
    """One fit: logarithms of the free parameters, in units in which the spectrum is of order 1.

    Args:
        family: the family to fit.
        known: given parameters, in the user's units.
        measure: all eigenvalues.
        beta: 1 or 2.
        spikes: "either", "factor" or "sum".
    """

    def __init__(
        self,
        family: Family,
        known: Mapping[str, float],
        measure: Measure,
        beta: int,
        spikes: str,
    ) -> None:
        self.family, self.beta, self.spikes = family, beta, spikes
        # an atom would dominate the quantiles
        self.on_atom = zeros(measure) & (family.from_zeros is not None)
        bulk = measure.nodes[~self.on_atom]
        if np.ptp(bulk) == 0:
            msg = f"spectrum: all {bulk.size} non-zero eigenvalues are equal; a spread is required"
            raise InputError(msg)
        kept = trimmed(bulk)
        peak = float(np.abs(kept).max())
        if peak == 0:
            msg = f"spectrum: most of {bulk.size} eigenvalues are zero; remove zeros that are not "
            raise InputError(msg + "part of the law (`nonzero`)")
        self.unit = peak * float(np.sqrt(((kept / peak) ** 2).mean()))
        self._require_units(measure)
        self.share = bulk.size / measure.nodes.size
        self.measure = rescaled(measure, self.unit)
        self.known = {name: value / self._unit_of(name) for name, value in known.items()}
        told = {} if not self.on_atom.any() else self._told(Origin())
        self.told = tuple(name for name in told if name not in known)
        self.free = tuple(
            name for name in family.parameters if name not in known and name not in self.told
        )
        if not self.free:
            msg = f"fixed: {', '.join(known)}, and zeros fix the rest; one must be left to fit"
            raise InputError(msg)
        for name in set(told) & set(known):
            missing, size = int(self.on_atom.sum()), measure.nodes.size
            if abs(told[name] / known[name] - 1) > 1 / (size - missing):
                msg = (
                    f"fixed: {name} {known[name]:g}, but {missing} of {size} eigenvalues are zero, "
                    f"which implies {told[name]:g}; remove zeros that are not part of the law "
                    "(`nonzero`)"
                )
                raise InputError(msg)
        self.start = self._rough(kept)
        # a small part of the law far from the rest (large ratios) looks like outliers
        self.whole = None if kept.size == bulk.size else self._rough(bulk)

    def _require_units(self, measure: Measure) -> None:
        if not (self.unit > _SMALLEST and float(np.abs(measure.nodes).max()) < 1 / _SMALLEST):
            msg = f"spectrum: eigenvalues of size {self.unit:.3g}; their fourth powers must be "
            raise InputError(msg + "floating-point numbers (take other units)")

    def _told(self, origin: Origin) -> Mapping[str, float]:
        """Parameters from the number of zeros; an added spike increases the rank by one."""
        size, missing = self.on_atom.size, int(self.on_atom.sum())
        added = origin.count if origin.part is None else 0
        if self.family.from_zeros is None or missing + added >= size:
            return {}
        return self.family.from_zeros(missing + added, size)

    def _rough(self, values: FloatArray) -> FloatArray:
        moments = rough_moments(values / self.unit, self.share)
        start, spread = self.family.start(*moments), moments[1] ** 0.5
        logs = np.log([start[name] for name in self.free])
        if not np.isfinite(logs).all():
            msg = f"family: {self.family.name} starts from {dict(start)}; positive numbers are "
            raise InputError(msg + "required")
        if not self.known and not self.told:
            return logs
        # a start without the known parameters may have a very different width
        unlike = np.log(spread / float(self.law(logs, Origin()).std()))
        return np.asarray(logs + [self.family.parameters[name] * unlike for name in self.free])

    def _unit_of(self, name: str) -> float:
        return float(self.unit ** self.family.parameters[name])

    def _named(self, logs: FloatArray, origin: Origin) -> dict[str, float]:
        told = self._told(origin) if self.told else {}
        free = dict(zip(self.free, np.exp(logs).tolist(), strict=True))
        return {**free, **{name: told[name] for name in self.told}, **self.known}

    def law(self, logs: FloatArray, origin: Origin) -> Law:
        """The law with all columns, some of which may belong to spikes."""
        return self.family.law(self._named(logs, origin))

    def bulk(self, logs: FloatArray, origin: Origin) -> Law:
        """The law of the bulk without those columns."""
        return origin.bulk(self.law(logs, origin), self.measure.nodes.size)

    def run(self, confidence: float) -> Found:
        """Search, and return the result in the user's units."""
        first, *others = self._origins()
        best = self._settled(
            pilot(partial(self.law, origin=Origin()), self.start, self.measure, ~self.on_atom),
            first,
        )
        rival: Settled | None = None
        if self.whole is not None:
            try:
                rival = self._settled(self.whole, first, all_inside=True)
            except _FAILURES:
                rival = None  # no law of the family has all eigenvalues in its bulk
        if rival is not None:
            law = self.bulk(rival.logs, rival.origin)
            if miscounts(self.measure, law, len(rival.found.above)):
                rival = None
        if rival is not None and rival.rank < best.rank:
            best, rival = rival, best
        weaker = self._weaker(best)
        if weaker and best.rejected:
            best, *weaker = weaker
        if 2 * len(best.outside) > (bulk := int((~self.on_atom).sum())):
            msg = f"spectrum: {len(best.outside)} of {bulk} eigenvalues would be outliers of the "
            raise InputError(msg + f"nearest {self.family.name} law; most of them must fit it")
        if rival is not None and (rival.rejected or rival.outside == best.outside):
            rival = None
        best, *like = self._alternatives(best, others)
        # a possible spike does not contradict the number of zeros
        like += [one for one in weaker if self._told(one.origin) == self._told(best.origin)]
        return Found(
            best=best,
            parameters=hull([self._estimates(one, confidence) for one in (best, *like)]),
            law=self._law_in_user_units(best),
            outliers=tuple(self.unit * x for x in best.outside),
            rival="" if rival is None else self._worded(rival),
        )

    def _weaker(self, best: Settled) -> list[Settled]:
        """Fits with a few more extreme eigenvalues set aside, as possible weak spikes.

        A weak spike included in the bulk widens the law and remains undetected. The extreme
        eigenvalue is therefore left out, and set aside as a spike if it lies beyond the edge of the
        law of the others, where few eigenvalues of the bulk would lie.
        """
        fits: list[Settled] = []
        for side in ("right", "left"):
            one = best
            for _ in range(_WEAKER):
                try:
                    tried = self._with_one_more(one, side)
                except _FAILURES:
                    break
                if tried is None:
                    break
                one = tried
                if not one.rejected:
                    fits.append(one)
        return fits

    def _with_one_more(self, one: Settled, side: str) -> Settled | None:
        """The fit with one more spike on a side, or None if that eigenvalue is typical."""
        taken = partial(one_more, one.found, side=side, beta=self.beta)
        rest = replace(one.found, bulk=taken(self.bulk(one.logs, one.origin)).bulk)
        logs = self._solved(one.logs, rest, one.origin, missing=1).logs
        found = taken(self.bulk(logs, one.origin))
        origin = replace(one.origin, above=len(found.above), below=len(found.below))
        if not self._last(found, side).score > 0:
            return None
        settled = self._solved(logs, found, origin)
        last = self._last(taken(self.bulk(settled.logs, origin)), side)
        # the distribution of the extreme eigenvalue at a hard edge is not implemented
        likely = not 0 < last.score < np.inf or last.p_value > _UNLIKELY
        return None if likely else settled

    @staticmethod
    def _last(found: Outliers, side: str) -> Detached:
        return (found.above if side == "right" else found.below)[-1]

    def _origins(self) -> list[Origin]:
        """Possible origins of spikes; the search assumes the first."""
        parts = factors(self.law(self.start, Origin()))
        if self.spikes == "factor" and not parts:
            msg = f"spikes: 'factor'; {self.family.name} has no factor, 'sum' is required"
            raise InputError(msg)
        inside = [Origin(part=part) for part in range(parts)]
        return {"factor": inside, "sum": [Origin()], "either": [*inside, Origin()]}[self.spikes]

    def _alternatives(self, best: Settled, others: Sequence[Origin]) -> list[Settled]:
        """The best fit, and fits that the spectrum does not distinguish from it."""
        size = self.measure.nodes.size
        if not best.outside:
            return [best]
        fits = [best] if best.origin.fits(self.law(best.logs, best.origin), size) else []
        for other in others:
            origin = replace(other, above=len(best.found.above), below=len(best.found.below))
            try:
                fits.append(self._solved(best.logs, best.found, origin))
            except _FAILURES:
                continue  # no law of the family is left without these columns
        if not fits:
            msg = f"spikes: {self.spikes!r}; {len(best.outside)} outliers are too many for the "
            raise InputError(msg + f"columns of the nearest {self.family.name} law")
        kept = [one for one in fits if not one.rejected] or fits
        # of the same bulk by other names the first is kept, else the one that is nearer
        nearest = min(kept, key=lambda one: one.statistic)
        if nearest.statistic < kept[0].statistic - _NEARER:
            kept.sort(key=lambda one: one.statistic)
        return kept

    def _worded(self, other: Settled) -> str:
        named = self._named(other.logs, other.origin)
        values = ", ".join(f"{k} {v * self._unit_of(k):.3g}" for k, v in named.items())
        return f"{values} with {len(other.outside)} outliers, p {other.p_value:.2g}"

    def _settled(self, logs: FloatArray, origin: Origin, *, all_inside: bool = False) -> Settled:
        """Alternate between setting outliers aside and fitting the rest, from a start.

        If all are inside at first, a law of several bands that is not rejected ends the search.
        """
        settled: Settled | None = None
        for turn in range(_ROUNDS + all_inside):
            found = (
                Outliers(above=(), below=(), bulk=self.measure.nodes, alpha=REJECTED)
                if all_inside and turn == 0
                else outliers(self.measure, self.bulk(logs, origin), alpha=REJECTED, beta=self.beta)
            )
            if settled is not None and found.values == settled.outside:
                break
            origin = replace(origin, above=len(found.above), below=len(found.below))
            settled = self._solved(logs, found, origin)
            logs = settled.logs
            # a band of a few eigenvalues has no Tracy-Widom edge to test them by
            several = len(self.law(logs, origin).support_intervals()) > 1
            if all_inside and several and not settled.rejected:
                break
        assert settled is not None
        return settled

    def _solved(
        self, logs: FloatArray, found: Outliers, origin: Origin, missing: int = 0
    ) -> Settled:
        """Least squares of the bulk for given outliers, with some eigenvalues left out."""
        size = self.measure.nodes.size - missing
        for _ in range(_REWEIGHTED):  # the weights are those of the fit before
            model = Weighted(partial(self.bulk, origin=origin), logs, size, found, self.beta)
            fresh = model.solve(logs, STEP)
            moved, logs = float(np.abs(fresh - logs).max()), fresh
            if moved < 0.02:
                break
        return Settled(
            model=model,
            logs=logs,
            found=found,
            origin=origin,
            statistic=float((model.residuals(logs) ** 2).sum()),
            freedom=model.count - len(self.free),
        )

    def _law_in_user_units(self, one: Settled) -> Law:
        named = self._named(one.logs, one.origin)
        return self.family.law({k: v * self._unit_of(k) for k, v in named.items()})

    def _estimates(self, one: Settled, confidence: float) -> dict[str, FittedParameter]:
        model, logs = one.model, one.logs
        errors = errors_of(model.information(logs))
        reach = float(norm.ppf((1 + confidence) / 2))
        named = self._named(logs, one.origin)
        found: dict[str, FittedParameter] = {}
        for name in self.family.parameters:
            unit = self._unit_of(name)
            value = named[name] * unit
            if name not in self.free:
                found[name] = FittedParameter(value=value, low=value, high=value)
                continue
            k = self.free.index(name)
            if errors[k] < _WIDE:
                ends = [logs[k] - reach * errors[k], logs[k] + reach * errors[k]]
            else:
                ends = [model.profile(logs, k, side, errors[k], reach) for side in (-1, 1)]
            low, high = (unit * float(np.exp(end)) for end in ends)
            found[name] = FittedParameter(value=value, low=low, high=high)
        return found


def search(
    family: Family,
    known: Mapping[str, float],
    measure: Measure,
    beta: int,
    spikes: str,
    confidence: float,
) -> Found:
    """Run one fit, see `Fitting`.

    Raises:
        InputError: if no law of the family is close to the spectrum.
    """
    try:
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            return Fitting(family, known, measure, beta, spikes).run(confidence)
    except InputError:
        raise
    except _FAILURES as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        msg = f"spectrum: no {family.name} law near {measure.nodes.size} eigenvalues was found "
        raise InputError(msg + f"({reason}); another family is required") from error

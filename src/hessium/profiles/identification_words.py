"""Answers of an identification as sentences."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from hessium.figures.formatting import digits
from hessium.posterior.pivots import SHIFTED
from hessium.profiles.units import begun, plus_minus, quantity

if TYPE_CHECKING:
    from hessium.posterior.undetermined import OpenAnswer
    from hessium.profiles.identification import Identification

_FEW = 5  # degrees of freedom below which an estimated noise is a weak one
_SHOWN = 4


def answers(found: Identification) -> list[tuple[str, str]]:
    """Questions and their answers."""
    rows = [("What is determined?", _determined(found))]
    if found.parameters is not None and np.isfinite(found.parameters.std).any():
        rows.append(("How well?", _how_well(found)))
    rows.append(("What about predictions?", _predictions(found)))
    if found.design is not None:
        rows.append(("Where to measure next?", _next(found)))
    rows.append(("May the errors be believed?", _trust(found)))
    return rows


def counted(found: Identification) -> str:
    """The data in words: measurements, and the residuals of other terms of a sum."""
    one = "measurement" if found.noise is not None else "sample"
    size, others = found.model["measurements"], found.model["residuals"]
    text = f"{size} {one}" + ("" if size == 1 else "s")
    if others:
        text += f" and {sum(others.values())} residuals of other terms ({', '.join(others)})"
    return text


def _determined(found: Identification) -> str:
    size = found.model["parameters"]
    text = f"{found.rank.bracket} directions of {size} parameters, from {counted(found)}"
    if found.settings["prior_precision"]:
        value = digits(found.effective_dimension.value, 3)
        text += f"; with the prior their effective number is {value}"
    text += "."
    if found.answers is None:
        return text
    closed = [a.name for a in found.answers.answers if a.answer == "determined"]
    rest = [
        f"{a.name} ({a.answer.replace('not determined', 'undetermined')})"
        for a in found.answers.answers
        if a.answer != "determined"
    ]
    if closed:
        text += f" By the data alone: {_listed(closed)}."
    if rest:
        text += f" Not by the data alone: {_listed(rest)}."
    # with a prior, sums without a name say nothing that the errors do not say
    shown = [
        c
        for c in found.answers.combinations
        if c.kind != "local" or not found.settings["prior_precision"]
    ]
    if shown:
        names = [
            f"{c.text} = {plus_minus(c.value, c.std)}" + (" to first order" * (c.kind == "local"))
            for c in shown
        ]
        text += f" Together: {_listed(names)}."
    return text


def _how_well(found: Identification) -> str:
    table = found.parameters
    assert table is not None
    known = np.flatnonzero(np.isfinite(table.std))
    words = [
        f"{table.labels[i]} = "
        + plus_minus(table.value[i], table.std[i], found.units.of_label(table.labels[i]))
        for i in known
    ]
    return f"{_listed(words)}."


def _predictions(found: Identification) -> str:
    outputs = found.prediction.shape[1]
    parts = []
    for c in range(min(outputs, 3)):
        name, unit = found.units.output(c, outputs)
        std = found.prediction_std[:, c]
        known = np.isfinite(std)
        subject = name if outputs > 1 or found.units.outputs else "the output"
        if not known.any():
            parts.append(f"{subject} is undetermined at all {std.size} candidates")
            continue
        worst = int(np.where(known, std, -1.0).argmax())
        where = f" at {place(found, worst)}"
        least, most = digits(std[known].min(), 2), quantity(float(std[worst]), unit, 2)
        one = most.split(" ")[0] == least
        text = f"{subject} has a standard deviation of {most if one else f'{least} to {most}'} "
        text += "without noise" + ("" if one else f", largest{where}")
        if not known.all():
            text += f"; undetermined at {int((~known).sum())} of {std.size} candidates"
        parts.append(text)
    return begun("; ".join(parts)) + "."


def place(found: Identification, at: int) -> str:
    """A candidate in words."""
    if not found.candidates.size:
        return f"candidate {at}"
    values = []
    for c, value in enumerate(found.candidates[at]):
        name, unit = found.units.input(c)
        values.append(f"{name} = {quantity(float(value), unit, 4)}")
    return ", ".join(values)


def _next(found: Identification) -> str:
    design = found.design
    assert design is not None
    where = "; then ".join(place(found, int(at)) for at in design.indices)
    before, after = float(design.rms_std[0]), float(design.rms_std[-1])
    text = (
        f"At {where}. The root mean square standard deviation of the {_measured(found)} goes from "
    )
    text += "undetermined" if math.isinf(before) else digits(before)
    text += f" to {'undetermined' if math.isinf(after) else digits(after)}"
    return text + " times the noise of a measurement."


def _measured(found: Identification) -> str:
    """What the root mean square is over: outputs without weight in the loss do not count."""
    assert found.design is not None
    known = np.isfinite(found.design.rms_std[0]) and not np.isfinite(found.prediction_std).all()
    return "outputs that are measured" if known else "predictions"


def _trust(found: Identification) -> str:
    trust, named = found.trust, _named(found)
    rows = [
        (label, bool(good), label in named)
        for label, good in zip(trust.labels, trust.has_nominal_coverage, strict=True)
    ]
    good, bad = ([label for label, ok, own in rows if own and ok is want] for want in (True, False))
    others = [label for label, ok, own in rows if not own and not ok]
    if trust.distance > SHIFTED:
        return (
            f"No: the minimum is {digits(trust.distance, 2)} standard deviations away, so the "
            "intervals have another centre."
        )
    if trust.bounded:
        return (
            f"No: {_listed(list(trust.bounded))} has no effect on the outputs at its value, but it "
            "has where refits move it, so the linear model is wrong for the others as well."
        )
    if not bad and not others:
        return (
            f"Yes: in {_range(found, list(trust.labels))} of experiments a 95 % interval contains "
            "the truth, whichever value within the 90 % interval of the likelihood is the truth."
        )
    words = [f"Yes for {_listed(good)}."] if good else []
    if bad:
        reasons = _listed([f"{label} ({reason(found, label)})" for label in bad])
        words.append(f"{'Not' if good else 'No, not'} for {reasons}.")
    if others:
        reasons = _listed([f"{label} ({reason(found, label)})" for label in others])
        start = "Not" if good or bad else "No, not"
        words.append(f"{start} for predictions that vary along {reasons}.")
    text = " ".join(words)
    if "%" in text:
        text += " In brackets: share of experiments in which a 95 % interval contains the truth; "
        text += "93 to 98 % are required."
    return text


def _named(found: Identification) -> set[str]:
    """Parameters that were asked for."""
    return set() if found.parameters is None else set(found.parameters.labels)


def reason(found: Identification, label: str) -> str:
    """What its 95 % interval covers over other truths, or why that is not known."""
    trust = found.trust
    at = trust.labels.index(label)
    if not trust.converged[at]:
        return "refits do not converge" + (" within the budget" if trust.exhausted else "")
    if np.isnan(trust.coverage_range[at]).any():
        return "the likelihood does not bound it"
    return _range(found, [label])


def _range(found: Identification, labels: list[str]) -> str:
    """Least and largest coverage over truths within the 90 % interval of the likelihood."""
    at = [found.trust.labels.index(label) for label in labels]
    low, high = (
        f"{100 * one:.1f}"
        for one in (
            found.trust.coverage_range[at, 0].min(),
            found.trust.coverage_range[at, 1].max(),
        )
    )
    return f"{low} %" if low == high else f"{low} to {high} %"


def doubtful(found: Identification) -> list[str]:
    """Parameters that were asked for whose intervals may not be believed."""
    named = _named(found)
    bad = {one.label for one in found.profiles if not one.valid}
    bad |= {
        label
        for label, good in zip(found.trust.labels, found.trust.has_nominal_coverage, strict=True)
        if label in named and not good
    }
    return [] if found.parameters is None else [x for x in found.parameters.labels if x in bad]


def advice(found: Identification) -> list[str]:
    """What to do next, the most important first."""
    words = []
    far = found.distance_from_minimum > SHIFTED
    if far:
        words.append(
            f"Train further: the minimum is {digits(found.distance_from_minimum, 2)} standard "
            "deviations away, so the intervals have another centre."
        )
    prior = bool(found.settings["prior_precision"])
    if not prior and found.undetermined is not None and found.undetermined.answers:
        words.append(_to_determine(found, found.undetermined.answers[0]))
    elif found.answers is not None and any(
        one.answer != "determined" for one in found.answers.answers
    ):
        left = [one.name for one in found.answers.answers if one.answer != "determined"]
        words.append(
            f"Check the prior: without it the data do not determine {_listed(left)}, so these "
            "errors depend on it."
        )
    if found.refits_exhausted:
        words.append(
            f"For intervals of refits that have not converged, give a larger budget than "
            f"{found.settings['budget']} factorisations, or fewer parameters by name."
        )
    if far:
        pass  # what intervals cover is known at the minimum only
    elif bad := doubtful(found):
        refitted = {
            one.label
            for one in found.profiles
            if one.converged.all() and all(map(math.isfinite, one.ends()))
        } >= set(bad)
        words.append(
            f"For {_listed(bad)}, do not use value ± standard deviation: "
            + ("take the interval of the refits, " if refitted else "")
            + "use a parameter in which the model is closer to linear (such as its logarithm), or "
            "measure more."
        )
    elif not found.trust.valid:
        words.append(
            "Do not use the errors of predictions without a check, such as a fit to part of the "
            "data: the model is not linear within them."
        )
    if found.noise_degrees_of_freedom < _FEW:
        words.append(
            f"Give the noise if you know it: {digits(found.noise_degrees_of_freedom, 3)} degrees "
            "of freedom estimate it poorly."
        )
    if found.design is not None:
        words.append(f"Measure at {place(found, int(found.design.indices[0]))} next.")
    return words or ["Nothing more is needed."]


def _to_determine(found: Identification, first: OpenAnswer) -> str:
    """Advice on an undetermined parameter; measurements only where a candidate determines more."""
    text = first.advice
    if first.answer == "undetermined" and found.gains.size and not np.isinf(found.gains).any():
        ways = ", or ".join(filter(None, (first.fix, "give a prior_precision")))
        text = f"{ways}; no candidate of the measurements determines it"
    return f"To determine {first.label}: {text}."


def _listed(words: list[str]) -> str:
    shown = words[:_SHOWN]
    more = len(words) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")

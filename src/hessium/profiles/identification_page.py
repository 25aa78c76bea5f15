"""What an identification says on its page, in words, tables and statements."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from hessium.figures.formatting import digits
from hessium.figures.records import Findings, Statement, Table, judge
from hessium.posterior import ProfileLikelihood
from hessium.posterior.pivots import SHIFTED
from hessium.profiles.identification_charts import charts
from hessium.profiles.identification_words import advice, answers, doubtful, reason
from hessium.profiles.units import plus_minus, quantity

if TYPE_CHECKING:
    from hessium.profiles.identification import Identification

_MOST_ROWS = 40
_METHOD = (
    "Standard deviations are those of the Gauss-Newton posterior, (JᵀJ/σ² + αI)⁻¹ with the "
    "Jacobian J of the outputs: exact for a model that is linear in its parameters. All other "
    "parameters of the risk are nuisance parameters. Undetermined means that a direction exists "
    "along which the parameter moves and the outputs at the data do not change to first order; "
    "not resolved, that rounding cannot tell whether there is one."
)
_CHECKS = (
    "An interval is judged by the share of experiments in which it would contain the truth, if the "
    "truth were the estimate or another value within the 90 % interval of the likelihood. A 95 % "
    "interval may be believed if these are 93 to 98 %. It can be right where the first-order model "
    "is off: other parameters, and errors of opposite sign at its ends, make up for curvature."
)
_CRITERIA = {
    "A": "Each measurement makes the mean variance of the predictions smallest (criterion A).",
    "D": "Each measurement gives the most information about all parameters (criterion D).",
}
_NEXT = (
    "The next measurements are chosen one after the other; each choice accounts for those before "
    "it by an exact update of the joint covariance of all candidates."
)


def identification_findings(found: Identification) -> Findings:
    """Tables, charts and statements."""
    quoted = [_answer_table(found)]
    if found.parameters is not None:
        quoted.append(_parameter_table(found))
    tables = [_check_table(found), _direction_table(found)]
    if found.design is not None and found.candidates.size:
        tables.insert(0, _design_table(found))
    return Findings(
        statements=_statements(found),
        charts=charts(found),
        tables=tuple(tables),
        quoted=tuple(quoted),
        notes=(
            _METHOD,
            _CHECKS,
            *((_NEXT,) if found.design is not None else ()),
            *(f"Warning: {text}" for text in found.warnings),
        ),
    )


def _answer_table(found: Identification) -> Table:
    rows = [*answers(found), ("What to do?", " ".join(advice(found)))]
    return Table(title="In short", columns=("question", "answer"), rows=tuple(rows))


def _parameter_table(found: Identification) -> Table:
    table = found.parameters
    assert table is not None
    refits = {one.label: _refits_in_words(one) for one in found.profiles}
    believed = dict(zip(found.trust.labels, found.trust.has_nominal_coverage, strict=True))
    doubted = doubtful(found)
    precision = found.settings["prior_precision"]
    rows = []
    for label, value, std, answer in list(
        zip(table.labels, table.value, table.std, table.answer, strict=True)
    )[:_MOST_ROWS]:
        unit = found.units.of_label(label)
        reach = found.coverage_factor * std
        known = math.isfinite(std)
        share = _percent(abs(std / value)) if known and value else ""
        rows.append(
            (
                label,
                plus_minus(value, std, unit) if known else quantity(value, unit),
                f"{digits(value - reach, 4)} to {digits(value + reach, 4)}" if known else "none",
                refits.get(label, "not made" if known else "none"),
                "no" if label in doubted else "yes" if label in believed else "not checked",
                share,
                _removed(1 - precision * std**2) if precision else answer,
            )
        )
    combined = found.answers.combinations if found.answers is not None else ()
    rows += [
        (
            one.text, plus_minus(one.value, one.std), "", "not made", "not checked", "",
            "determined" + (" to first order" if one.kind == "local" else ""),
        )
        for one in combined
    ]  # fmt: skip
    more = len(table.labels) - _MOST_ROWS
    return Table(
        title="Parameters",
        columns=(
            "parameter", "value ± standard deviation", "95 % interval", "95 % interval of refits",
            "believed", "relative error",
            "variance removed by the data" if precision else "by the data alone",
        ),
        rows=tuple(rows),
        note=f"95 % intervals are {digits(found.coverage_factor, 4)} standard deviations either "
        "way. Refits hold the parameter and fit the others again; their interval is where the "
        "likelihood is large enough, and need not be symmetric. Believed: see the table of "
        "coverage below."
        + (f" {more} more rows are in tables/parameters.csv." if more > 0 else ""),
    )  # fmt: skip


def _removed(share: float) -> str:
    return _percent(share) if share >= 0.001 else "below 0.1 %"


def _percent(share: float) -> str:
    return f"{digits(100 * share, 2)} %" if share < 10 else "above 1000 %"


def _design_table(found: Identification) -> Table:
    assert found.design is not None
    columns = range(found.candidates.shape[1])
    heads = [" ".join(filter(None, (name, unit and f"({unit})"))) for name, unit in
             (found.units.input(c) for c in columns)]  # fmt: skip
    rows = [
        (
            str(number + 1),
            *(digits(float(found.candidates[at, c]), 4) for c in columns),
            digits(float(gain)) + (" (a new direction)" if math.isinf(gain) else ""),
            digits(float(after)),
        )
        for number, (at, gain, after) in enumerate(
            zip(found.design.indices, found.design.gains, found.design.rms_std[1:], strict=True)
        )
    ]
    return Table(
        title="Where to measure next",
        columns=("measurement", *heads, "gain (nats)", "RMS standard deviation after it (noises)"),
        rows=tuple(rows),
        note=f"Before: {digits(float(found.design.rms_std[0]))}, over "
        f"{found.design.num_candidates} candidates: root mean square of the standard deviations of "
        "the predictions, each over the noise of a measurement of its output; without this "
        f"division {_before(found)}. {_CRITERIA[found.design.criterion]}",
    )


def _before(found: Identification) -> str:
    """Root mean square of the standard deviations of each output, in its own unit."""
    outputs, words = found.prediction.shape[1], []
    for c, value in enumerate(np.sqrt(np.square(found.prediction_std).mean(axis=0))):
        name, unit = found.units.output(c, outputs)
        text = quantity(float(value), unit) if math.isfinite(value) else "undetermined"
        words.append(f"{name} {text}" if outputs > 1 else text)
    return ", ".join(words)


def _check_table(found: Identification) -> Table:
    trust = found.trust
    rows = tuple(
        (
            label,
            f"{digits(100 * covers, 3)} %" if good else "refits do not converge",
            "no bound" if math.isnan(least) else f"{digits(100 * least, 3)} %",
            "no bound" if math.isnan(most) else f"{digits(100 * most, 3)} %",
            "yes" if trusted else "no",
            "everywhere" if math.isinf(radius) else digits(radius, 3),
            digits(abs(ratio), 2) if math.isfinite(ratio) else "no effect",
        )
        for label, covers, good, (least, most), trusted, radius, ratio in zip(
            trust.labels, trust.coverage.tolist(), trust.converged.tolist(),
            trust.coverage_range.tolist(), trust.has_nominal_coverage.tolist(),
            trust.first_order.tolist(), trust.curvature_ratio.tolist(), strict=True,
        )
    )  # fmt: skip
    return Table(
        title="Do the intervals cover what they say?",
        columns=(
            "interval along", "if the estimate is the truth", "least, over other truths",
            "most", "believed", f"first-order model off by {100 * trust.within:.3g} % at",
            "H₁ over H₀",
        ),
        rows=rows,
        note="Share of experiments in which the 95 % interval contains the truth; 93 to 98 % are "
        "required of all. Other truths: values within the 90 % interval of the likelihood. "
        "Distances are in standard deviations. Last column: how large the part H₁ of the Hessian "
        "H₀ + H₁ is that the Gauss-Newton matrix H₀ leaves out. Directions are numbered as in the "
        "table of directions.",
    )  # fmt: skip


def _direction_table(found: Identification) -> Table:
    shares = found.shares
    rows = tuple(
        (
            str(number + 1),
            digits(float(value)),
            ", ".join(f"{name} {digits(100 * s, 2)} %" for name, s in shares.largest(number, 3)),
        )
        for number, value in enumerate(shares.values)
    )
    return Table(
        title="Directions of largest variance that the data determine",
        columns=("direction", "standard deviation", "squared length by parameter"),
        rows=rows,
        note="In the units of the parameters."
        if found.settings["prior_precision"]
        else "Each parameter is multiplied by the length of its column of the Jacobian, so that "
        "shares do not depend on its unit; standard deviations are of these products.",
    )


def _refits_in_words(profile: ProfileLikelihood) -> str:
    if not profile.minimum_found:
        return "no minimum found"
    ends = profile.ends()
    if not any(map(math.isfinite, ends)):
        return "refits reach no end"
    lower, upper = (digits(end, 4) if math.isfinite(end) else "" for end in ends)
    return f"{lower} to {upper}" if lower and upper else f"above {lower}" if lower else (
        f"below {upper}"
    )  # fmt: skip


def _statements(found: Identification) -> tuple[Statement, ...]:
    table, trust = found.parameters, found.trust
    known = None if table is None else np.isfinite(table.std)
    doubted, named = doubtful(found), set(table.labels) if table is not None else set()
    checked = [label for label in trust.labels if label in named]
    others = [label for label in trust.labels if label not in named]
    believed = dict(zip(trust.labels, trust.has_nominal_coverage, strict=True))
    return (
        judge(
            "Every parameter asked for has a finite error.",
            None if known is None else bool(known.all()),
            "no parameter was named"
            if known is None
            else f"{int(known.sum())} of {known.size}; the data determine {found.rank.bracket} "
            f"directions of {found.model['parameters']} parameters",
        ),
        judge(
            "The parameters are at the minimum.",
            found.distance_from_minimum <= SHIFTED,
            f"the minimum of the quadratic model is {digits(found.distance_from_minimum, 2)} "
            f"standard deviations away, at most {SHIFTED} is required",
        ),
        judge(
            "95 % intervals of parameters contain the truth in 93 to 98 % of experiments.",
            not doubted and not trust.bounded if checked else None,
            "; ".join(f"{label}: {reason(found, label)}" for label in checked)
            + "".join(f"; {one} has an effect away from its value only" for one in trust.bounded)
            if checked
            else "no parameter with a finite error was named",
        ),
        judge(
            "95 % intervals along directions on which predictions depend contain it as often.",
            all(believed[label] for label in others) if others else None,
            "; ".join(f"{label}: {reason(found, label)}" for label in others)
            if others
            else "no direction was looked at",
        ),
    )

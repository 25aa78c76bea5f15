"""What an audit says on its page."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

from hessium._typing import FloatArray
from hessium.compare import (
    Assumptions,
    LevelStatistics,
    Ranks,
    Symmetries,
    nonzero,
)
from hessium.figures.formatting import digits
from hessium.figures.hues import LAW, PUBLISHED
from hessium.figures.records import (
    Chart,
    Findings,
    Number,
    Statement,
    Table,
    exact,
    judge,
    judge_test,
)
from hessium.figures.views.spectra import WIDTH, law_series, overlaid_chart
from hessium.spectra import Spectrum
from hessium.theory import Law, MarchenkoPastur, Semicircle, relu_hessian, wishart_wigner

if TYPE_CHECKING:
    from hessium.profiles.audit_result import Audit


def audit_findings(audit: Audit) -> Findings:
    """Statements, charts and tables."""
    table, zeros, ranked = audit.assumptions, audit.symmetries, audit.ranks
    notes = [
        "Each assumption is tested by itself against random matrices of the same size. The tests "
        "are sensitive: the statistic measures the size of a deviation, the verdict only whether "
        "there is one.",
        "Energy: half the mean square of the output gradients in the normalisation (2m)⁻¹ Σ e². "
        "Ratio: parameters over samples × outputs (a softmax uses up one output of each sample). "
        "Scale: the mean eigenvalue of H₀. The models are those of Pennington and Bahri (2017): "
        "Marchenko-Pastur plus semicircle (eq. 16), and plus the ReLU residual law (eq. 29).",
    ]
    notes += [f"Symmetries not tested: {zeros.unread}."] if zeros.unread else []
    notes += [f"The layers suggest {part.name}, but H₀ does not have it." for part in zeros.refuted]
    notes += [f"Warning: {text}" for text in audit.warnings]
    return Findings(
        statements=_statements(table, zeros, ranked, audit.levels or audit.no_levels),
        charts=_charts(table),
        tables=(_zero_table(zeros, ranked), _check_table(table)),
        notes=tuple(notes),
        quoted=(_prediction_table(table),),
    )


def _repulsion(spaced: LevelStatistics | str, alpha: float) -> Statement:
    claim = "Level spacings of H are those of a random symmetric matrix (GOE)."
    if isinstance(spaced, str):
        return judge_test(claim, None, spaced)
    chances = {name: spaced.p_value(name) for name in ("goe", "poisson")}
    both = min(chances.values()) >= alpha
    return judge_test(
        claim,
        chances["goe"] >= alpha,
        f"mean spacing ratio {digits(spaced.mean, 4)} ± {digits(spaced.stderr, 1)} of "
        f"{spaced.ratios.size}, GOE 0.5307, Poisson 0.3863; {spaced.zeros} zeros removed, "
        f"symmetry sectors: {len(spaced.sectors)}, spacings below rounding: {spaced.degenerate}; p "
        f"{digits(chances['goe'], 2)} for GOE, {digits(chances['poisson'], 2)} for Poisson"
        + ("; too few levels to tell them apart" if both else ""),
    )


def _statements(
    table: Assumptions, zeros: Symmetries, ranked: Ranks, spaced: LevelStatistics | str
) -> tuple[Statement, ...]:
    found = []
    for one in table.checks:
        chance = "" if one.p_value is None else f"; p {digits(one.p_value, 2)}"
        found.append(
            Statement(
                claim=f"{_worded(one.assumption)}.",
                verdict=one.verdict,
                evidence=f"{one.statistic}: {digits(one.value)}, between {digits(one.low)} and "
                f"{digits(one.high)} if true ({one.coverage}){chance}",
            )
        )
    names = "; ".join(f"{part.dimension} {part.name}" for part in zeros.parts) or "no symmetry"
    found.append(
        judge(
            "Every zero eigenvalue of H₀ is explained by a symmetry or by the number of samples.",
            zeros.explained,
            f"{zeros.measured.bracket} measured; symmetries explain {zeros.forced} ({names}), the "
            f"number of samples {zeros.scarce}",
        )
    )
    found.append(_repulsion(spaced, table.alpha))
    theory = ranked.theory
    counts = (ranked.gauss_newton, ranked.residual, ranked.hessian)
    measured = ", ".join(count.bracket for count in counts)
    measured += f" at |λ| > {digits(ranked.tol)} max |λ|"
    found.append(
        judge(
            "The ranks of H₀, H₁ and H are "
            + ("those" if ranked.linear else "no larger than those")
            + " of the deep linear network of these widths.",
            ranked.agree if ranked.linear else ranked.within,
            f"measured {measured}; "
            + (
                f"no formula: {ranked.why}"
                if theory is None
                else f"formula {theory.gauss_newton}, {theory.residual}, {theory.hessian}"
            ),
        )
    )
    return tuple(found)


def _worded(text: str) -> str:
    """Names of matrices as the page writes them."""
    text = text.replace("H0", "H₀").replace("H1", "H₁")
    return text[0].upper() + text[1:]


def _charts(table: Assumptions) -> tuple[Chart, ...]:
    bulk, weight = nonzero(table.gauss_newton), max(1.0, table.ratio)
    # the law without its atom at zero has the mean of the non-zero eigenvalues
    wishart = MarchenkoPastur(ratio=table.ratio, scale=bulk.mean() / weight)
    charts = [
        _beside(
            "wishart",
            "H₀ and Marchenko-Pastur",
            f"Non-zero eigenvalues of H₀. The law has their mean and the ratio "
            f"{digits(table.ratio)}.",
            "H₀",
            bulk.nodes,
            {"Marchenko-Pastur": (wishart, weight)},
        )
    ]
    if table.free is None:
        return tuple(charts)
    rest = nonzero(table.residual)
    charts.append(
        _beside(
            "wigner",
            "H₁ and the semicircle",
            "Non-zero eigenvalues of H₁. The semicircle has their second moment.",
            "H₁",
            rest.nodes,
            {"semicircle": (Semicircle(variance=rest.moment(2)), 1.0)},
        )
    )
    model = (table.energy, table.ratio, table.scale)
    charts.append(
        _beside(
            "hessian",
            "H, rotated sums and the models",
            f"Eigenvalues of H = H₀ + H₁, of H₀ + Q H₁ Qᵀ with {len(table.free.rotated)} random "
            "rotations Q, and the models at the energy, ratio and scale of this risk.",
            "H",
            table.hessian.nodes,
            {
                "Wishart + Wigner": (wishart_wigner(*model), 1.0),
                "ReLU model": (relu_hessian(*model), 1.0),
            },
            table.free.rotated,
        )
    )
    return tuple(charts)


def _beside(
    name: str,
    title: str,
    caption: str,
    sign: str,
    values: FloatArray,
    laws: Mapping[str, tuple[Law, float]],
    rotated: FloatArray | None = None,
) -> Chart:
    """The density of eigenvalues, of rotated sums and of laws with their weights."""
    spectra: dict[str, list[Spectrum]] = {sign: [Spectrum.of(values)]}
    if rotated is not None:
        spectra["rotated"] = [Spectrum.of(row) for row in rotated]
    chart = overlaid_chart(spectra, title, "the rotations")
    measured = [
        dataclasses.replace(one, hue=PUBLISHED) if one.label == "rotated" else one
        for one in chart.series
    ]
    lines = (
        dataclasses.replace(
            law_series(law, round(weight * values.size), chart.x_linear, WIDTH, atoms=weight == 1),
            label=label,
            hue=LAW + number,
        )
        for number, (label, (law, weight)) in enumerate(laws.items())
    )
    return dataclasses.replace(
        chart, name=name, caption=f"{caption} {chart.caption}", series=(*measured, *lines)
    )


def _prediction_table(table: Assumptions) -> Table:
    rounding = "value, exact to rounding"

    def number(value: float) -> Number:
        return Number(value=value, basis=rounding, digits=4)

    rows: list[tuple[str | Number, ...]] = [
        (row.quantity, number(row.measured), number(row.linear), number(row.relu))
        for row in table.predictions
    ]
    return Table(
        title="Predicted and measured spectrum of H",
        columns=("number", "measured", "Wishart + Wigner", "ReLU model"),
        rows=tuple(rows),
        note=f"At ratio {digits(table.ratio, 4)}, energy {digits(table.energy, 4)}, scale "
        f"{digits(table.scale, 4)}. Index: fraction of negative eigenvalues.",
    )


def _zero_table(zeros: Symmetries, ranked: Ranks) -> Table:
    rows: list[tuple[str | Number, ...]] = [
        (part.name, exact(part.dimension)) for part in zeros.parts
    ]
    rows += [
        ("all symmetries together", exact(zeros.forced)),
        (
            "parameters minus samples × outputs (softmax: minus one output per sample)",
            exact(zeros.scarce),
        ),
        (f"zero eigenvalues of H₀, {_beyond(zeros.tol, '≤')}", exact(zeros.measured.value)),
        (f"rank of H₀, {_beyond(ranked.tol, '>')}", exact(ranked.gauss_newton.value)),
        (f"rank of H₁, {_beyond(ranked.tol, '>')}", exact(ranked.residual.value)),
        (f"rank of H, {_beyond(ranked.tol, '>')}", exact(ranked.hessian.value)),
        ("parameters", exact(zeros.parameters)),
    ]
    return Table(
        title="Null space of H₀, and ranks",
        columns=("cause or quantity", "number"),
        rows=tuple(rows),
        note=(
            "Symmetries and rank formulas concern eigenvalues that are exactly zero, so the "
            "threshold is near rounding. `hessium spectrum` uses a larger one, 10⁻⁶ by default, "
            "and so finds smaller ranks."
        ),
    )


def _beyond(tol: float, sign: str) -> str:
    return f"|λ| {sign} {digits(tol)} max |λ|"


def _check_table(table: Assumptions) -> Table:
    rows: list[tuple[str | Number, ...]] = []
    for one in table.checks:
        p = "none" if one.p_value is None else digits(one.p_value, 2)
        rows.append(
            (
                _worded(one.assumption),
                one.statistic,
                Number(value=one.value, low=one.low, high=one.high, basis="value [range if true]"),
                p,
                one.verdict,
            )
        )
    tested = sum(one.p_value is not None for one in table.checks)
    return Table(
        title="The assumptions",
        columns=("assumption", "statistic", "value", "p-value", "verdict"),
        rows=tuple(rows),
        note=(
            f"Each assumption is tested by itself and rejected at p ≤ {digits(table.alpha)}: of "
            f"{tested} true ones {digits(tested * table.alpha)} would be rejected on average. "
            "Tests without a p-value reject outside of the range, which is far rarer. An "
            "assumption that is not rejected is not proved: small networks have little power."
        ),
    )

"""A user's own risk beside random matrix theory: what holds, what does not, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from hessium._typing import FloatArray
from hessium.compare import (
    Assumptions,
    LevelStatistics,
    Ranks,
    Symmetries,
    nonzero,
)
from hessium.figures.formatting import digits
from hessium.figures.records import (
    Chart,
    Findings,
    Number,
    Series,
    Statement,
    Table,
    exact,
    judge,
    judge_test,
)
from hessium.spectra import Measure
from hessium.theory import Law, MarchenkoPastur, Semicircle, relu_hessian, wishart_wigner

_BINS = 50


def audit_findings(
    table: Assumptions,
    zeros: Symmetries,
    ranked: Ranks,
    spaced: LevelStatistics | str,
    warned: Sequence[str],
) -> Findings:
    """What an audit says on its page.

    Args:
        table: the assumptions.
        zeros: null directions by name.
        ranked: ranks beside their formulas.
        spaced: statistics of the levels of H, or in words why there are none.
        warned: warnings of the measurement.
    """
    notes = [
        "Each assumption is tested for itself against random matrices of this very size. The tests "
        "are sharp: the statistic says how wrong an assumption is, the verdict only whether it is.",
        "Energy: half the mean square of the output gradients in the normalisation "
        "(2m)⁻¹ Σ e². Ratio: parameters over samples × outputs (a softmax "
        "takes one output of each sample). Scale: the mean of H₀, measured. "
        "The models are those of Pennington and Bahri (ICML 2017): Marchenko-Pastur plus "
        "semicircle (eq. 16) and plus the ReLU residual law (eq. 29).",
    ]
    notes += [f"Symmetries that were not looked for: {zeros.unread}."] if zeros.unread else []
    notes += [
        f"No symmetry of H₀, though the layers look like it: {part.name}." for part in zeros.refuted
    ]
    notes += [f"Warning: {words}" for words in dict.fromkeys(warned)]
    return Findings(
        statements=_statements(table, zeros, ranked, spaced),
        charts=_charts(table),
        tables=(_prediction_table(table), _zero_table(zeros, ranked), _check_table(table)),
        notes=tuple(notes),
    )


def _repulsion(spaced: LevelStatistics | str, alpha: float) -> Statement:
    claim = "The levels of H repel like those of a random symmetric matrix (GOE)."
    if isinstance(spaced, str):
        return judge_test(claim, None, spaced)
    chances = {name: spaced.p_value(name) for name in ("goe", "poisson")}
    both = min(chances.values()) >= alpha
    return judge_test(
        claim,
        chances["goe"] >= alpha,
        f"mean spacing ratio {digits(spaced.mean, 4)} ± {digits(spaced.stderr, 1)} of "
        f"{spaced.ratios.size}, GOE 0.5307, Poisson 0.3863; {spaced.zeros} zeros removed, "
        f"sectors: {len(spaced.sectors)}, equal to rounding: {spaced.degenerate}; p "
        f"{digits(chances['goe'], 2)}, of levels without repulsion (Poisson) "
        f"{digits(chances['poisson'], 2)}" + (": so few levels reject neither" if both else ""),
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
            "All zero eigenvalues of H₀ have a name.",
            zeros.explained,
            f"{zeros.measured.bracket} measured; symmetries force {zeros.forced} ({names}), the "
            f"number of data {zeros.scarce}",
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
    bulk = nonzero(table.gauss_newton)
    charts = [
        _histogram(
            "wishart",
            "H₀ and Marchenko-Pastur",
            f"Non-zero eigenvalues of H₀; the law has their mean and the ratio "
            f"{digits(table.ratio)}.",
            bulk,
            {"Marchenko-Pastur": _continuous(table.ratio, bulk.mean())},
        )
    ]
    if table.free is None:
        return tuple(charts)
    residual = nonzero(table.residual)
    charts.append(
        _histogram(
            "wigner",
            "H₁ and the semicircle",
            "Non-zero eigenvalues of H₁; the semicircle has their second moment.",
            residual,
            {"semicircle": (Semicircle(variance=residual.moment(2)), 1.0)},
        )
    )
    laws: dict[str, tuple[Law, float]] = {
        "Wishart + Wigner": (wishart_wigner(table.energy, table.ratio, table.scale), 1.0),
        "ReLU model": (relu_hessian(table.energy, table.ratio, table.scale), 1.0),
    }
    charts.append(
        _histogram(
            "hessian",
            "H, its rotations and the predictions",
            "Eigenvalues of H = H₀ + H₁, of H₀ + Q H₁ Qᵀ with random rotations Q, and the laws at "
            "this energy, ratio and scale.",
            table.hessian,
            laws,
            table.free.rotated,
        )
    )
    return tuple(charts)


def _continuous(ratio: float, mean: float) -> tuple[Law, float]:
    """Marchenko-Pastur without its atom: the law, and what its density is to be multiplied by."""
    weight = max(1.0, ratio)
    return MarchenkoPastur(ratio=ratio, scale=mean / weight), weight


def _histogram(
    name: str,
    title: str,
    caption: str,
    spectrum: Measure,
    laws: Mapping[str, tuple[Law, float]],
    rotated: FloatArray | None = None,
) -> Chart:
    values = spectrum.nodes
    # a few large eigenvalues must not squeeze the rest into one bin
    low, high = np.quantile(values, [0.005, 0.98])
    ends = [law.support() for law, _ in laws.values()]
    low = min(low, *(end[0] for end in ends), 0.0)
    high = max(high, *(min(end[1], 2 * high) for end in ends))
    margin = 0.02 * (high - low)
    # where neither matrix nor law has anything below zero, no bin lies there
    edges = np.linspace(low - margin if low < 0 else 0.0, high + margin, _BINS + 1)
    middle, width = 0.5 * (edges[:-1] + edges[1:]), edges[1] - edges[0]
    beyond = float(((values < edges[0]) | (values > edges[-1])).mean())
    counts = np.histogram(values, edges)[0]
    series = [
        Series(
            label="measured",
            x=middle,
            y=counts / (values.size * width),
            error="exact eigenvalues, counted in bins",
            source="measured",
            mark="points",
        )
    ]
    if rotated is not None:
        table = np.array([np.histogram(row, edges)[0] for row in rotated])
        table = table / (values.size * width)
        series.append(
            Series(
                label=f"rotated, {len(rotated)} rotations",
                x=middle,
                y=table.mean(axis=0),
                low=table.min(axis=0),
                high=table.max(axis=0),
                error="mean, band from least to greatest over the rotations",
                source="measured",
                mark="line",
            )
        )
    for label, (law, weight) in laws.items():
        x = np.linspace(edges[0], edges[-1], 400)
        # averages over the bins, as the histogram has them: an edge may be steeper than a bin
        y = weight * np.diff(law.cdf(np.append(x, x[-1] + (x[1] - x[0])))) / (x[1] - x[0])
        y[np.abs(x) <= width / 10] = np.nan if law.atoms else y[np.abs(x) <= width / 10]
        kept = np.isfinite(y)
        series.append(
            Series(
                label=label,
                x=x[kept],
                y=y[kept],
                error="exact",
                source="theory",
                mark="line",
            )
        )
    return Chart(
        name=name,
        title=title,
        caption=f"{caption} {digits(100 * beyond, 2)} % of the eigenvalues lie beyond the ends.",
        x_label="eigenvalue λ",
        y_label="density ρ(λ)",
        series=tuple(series),
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
        title="What theory predicts, and what was measured",
        columns=("of the spectrum of H", "measured", "Wishart + Wigner", "ReLU model"),
        rows=tuple(rows),
        note=f"At ratio {digits(table.ratio, 4)}, energy {digits(table.energy, 4)}, scale "
        f"{digits(table.scale, 4)}. Index: share of negative eigenvalues.",
    )


def _zero_table(zeros: Symmetries, ranked: Ranks) -> Table:
    rows: list[tuple[str | Number, ...]] = [
        (part.name, exact(part.dimension)) for part in zeros.parts
    ]
    rows += [
        ("all symmetries together", exact(zeros.forced)),
        (
            "parameters less samples × outputs (softmax: less one output a sample)",
            exact(zeros.scarce),
        ),
        (f"zero eigenvalues of H₀, {_beyond(zeros.tol, '≤')}", exact(zeros.measured.value)),
        (f"rank of H₀, {_beyond(ranked.tol, '>')}", exact(ranked.gauss_newton.value)),
        (f"rank of H₁, {_beyond(ranked.tol, '>')}", exact(ranked.residual.value)),
        (f"rank of H, {_beyond(ranked.tol, '>')}", exact(ranked.hessian.value)),
        ("parameters", exact(zeros.parameters)),
    ]
    return Table(
        title="Null directions by name, and ranks",
        columns=("what", "number"),
        rows=tuple(rows),
        note=(
            "Symmetries and rank formulas speak of eigenvalues that are exactly zero, so the "
            "threshold here is near rounding. `hessium spectrum` counts the directions that "
            "matter, by default beyond 10⁻⁶ of the largest eigenvalue, and so fewer."
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
        columns=("assumption", "statistic", "value", "p", "verdict"),
        rows=tuple(rows),
        note=(
            f"Rejected at p of {digits(table.alpha)} or less, each assumption for itself, so that "
            f"of {tested} true ones {digits(tested * table.alpha)} would be rejected on average; "
            "without a p where the value leaves its range, which is far rarer. Not rejected is not "
            "proven: small networks hide much."
        ),
    )

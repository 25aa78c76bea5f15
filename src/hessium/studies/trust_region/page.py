"""What the study of optimisers on a PDE-constrained problem says, beside the published counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hessium._typing import AnyArray, BoolArray
from hessium.figures.formatting import between, digits
from hessium.figures.records import OURS, Chart, Findings, Series, Statement, judge, over
from hessium.figures.views.repetitions import level
from hessium.runs.experiment import Result
from hessium.studies.results import ResultTable
from hessium.studies.sources import optimisers
from hessium.studies.study import Summary, repeated, table
from hessium.studies.trust_region.compute import KINDS, METHODS, TrustRegionConfig, tasks

# second_order_optimizer.md of the ADCME documentation, tol 10^-6: both minimise residuals
_POISSON = {"BFGS": 18.0, "trust region": 30.0}
_HEAT = {
    KINDS[1]: {"BFGS": 31.0, "L-BFGS-B": 22.0, "trust region": 35.0},
    KINDS[2]: {"BFGS": 34.0, "L-BFGS-B": 41.0, "trust region": 38.0},
}
_TABLE = "Counts, over {what}"
_FEW = 1.0  # negative eigenvalues that count as about none
_ALONG = 0.5  # cosine above which a step points along a direction
_TIMES = 3.0  # more directions by which residuals and solutions differ


def summarise(config: TrustRegionConfig, results: Sequence[Result]) -> Summary:
    """Charts, statements and tables of the runs."""
    runs = ResultTable.of(tasks(config), results)
    what = repeated(config.seeds)
    arrays: dict[str, AnyArray] = {}
    for name in ("positive", "negative", "effective", "loss", "gradient_norm"):
        for when, at in (("start", 0), ("end", -1)):
            arrays[f"{name}_{when}"] = runs.grid(
                _entry(name, at), kind=KINDS, method=METHODS, seed=config.seeds
            )  # fmt: skip
    arrays["parameters"] = runs.grid("parameters", seed=config.seeds, kind=KINDS, method=METHODS)
    for name in ("iterations", "converged"):
        arrays[name] = runs.grid(name, kind=KINDS, method=METHODS, seed=config.seeds)
    for name in ("to_gradient", "to_newton"):
        arrays[name] = runs.grid(
            _median(name), kind=KINDS, method=METHODS, seed=config.seeds
        )  # fmt: skip
    first = config.seeds[0]
    kept, solved = (
        {m: _one(runs, kind=kind, method=m, seed=first) for m in METHODS}
        for kind in (KINDS[1], KINDS[0])
    )
    for method, run in kept.items():
        slug = method.lower().replace(" ", "_").replace("-", "_")
        arrays |= {f"{slug}_{k}": np.asarray(run[k]) for k in ("iteration", "positive", "loss")}
    findings = Findings(
        statements=_statements(arrays, what),
        charts=_charts(kept, solved, first),
        tables=(_counts(arrays, what), _angles(arrays, what)),
        notes=(
            f"The conductivity of −(κu′)′ = 10 on (0, 1) is a tanh network of widths "
            f"{', '.join(map(str, config.widths))} plus 0.5, fitted to {config.cells} exact values "
            f"of u, or to values with {digits(100 * config.noise)} % uniform noise; the true "
            "conductivity is 1 + 1/(1 + x²). Loss: sum of squares. Without the equation the same "
            "network is fitted to the exact conductivity itself.",
            "With the equation: values of the solution are fitted. Residual of the equation: the "
            "measured values of u, and the load, both with noise, stand in the difference "
            "equation, and its residual is minimised; it is linear in the conductivity.",
            "Published: second_order_optimizer.md of the ADCME documentation. Its counts belong to "
            "the residual with 10 % uniform noise in u and in the load (Poisson), and to that of "
            "the heat equation, on a grid in two dimensions whose size is not printed, with "
            "Julia's random numbers, which are not portable. So the rows of the residual are "
            "beside them here, in one dimension, and counts are compared by order and size.",
            "Converged: a Newton step along an eigenvector with 10⁻⁶ of the largest eigenvalue, "
            "the least that is counted, would be at most a hundredth of the length of θ. "
            f"Caps: {config.max_iterations} iterations of BFGS and L-BFGS-B, "
            f"{config.newton_iterations} of the trust region. A statement on the ends of runs is "
            "not tested where a run that it compares has not converged.",
            "Positive: eigenvalues of the exact Hessian above 10⁻⁶ of the largest absolute one; "
            "negative: below minus that. Effective dimension: sum of λ/(λ + 10⁻⁶ λ_max) over the "
            "eigenvalues of H₀. Newton step: by the pseudo-inverse of H, eigenvalues below 10⁻⁶ of "
            "the largest left out.",
        ),
    )
    return findings, arrays


def _entry(name: str, at: int) -> Callable[[Result], float]:
    return lambda run: float(run[name][at])


def _median(name: str) -> Callable[[Result], float]:
    return lambda run: float(np.median(run[name][:-1])) if len(run[name]) > 1 else np.nan


def _one(runs: ResultTable, **wanted: Any) -> Result:
    (found,) = runs.select(**wanted)
    return found


def _statements(arrays: dict[str, AnyArray], what: str) -> tuple[Statement, ...]:
    solved, residual, direct, noisy = arrays["positive_end"]
    bfgs, lbfgs, newton = residual
    ends = np.stack([solved.mean(axis=1), direct.mean(axis=1)])
    negatives, size = arrays["negative_end"], float(arrays["parameters"].max())
    settled: BoolArray = arrays["converged"] > 0
    published = ", ".join(f"{name} {digits(value)}" for name, value in _POISSON.items())
    to_newton, to_gradient = arrays["to_newton"][1], arrays["to_gradient"][1]
    # optimisers that converged from all seeds, in both kinds that are compared
    both: BoolArray = np.all(settled[[0, 1]], axis=(0, 2))
    plain: BoolArray = np.all(settled[[0, 2]], axis=(0, 2))
    begins = arrays["positive_start"]
    return (
        judge(
            "Trust-region Newton ends with more positive eigenvalues than BFGS.",
            bool(newton.mean() > bfgs.mean()) if settled[1, [0, 2]].all() else None,
            f"residual: trust region {between(newton)}, BFGS {between(bfgs)}, L-BFGS-B "
            f"{between(lbfgs)}; published: {published}; {int(settled[1].sum())} of "
            f"{settled[1].size} runs converged",
            origin=optimisers("counts of positive eigenvalues, Poisson problem"),
            shown="positive",
        ),
        judge(
            "The end of trust-region Newton has no negative eigenvalues to speak of.",
            bool((negatives[1, 2] <= _FEW).all()) if settled[1, 2].all() else None,
            f"residual: trust region {between(negatives[1, 2])}; BFGS {between(negatives[1, 0])}, "
            f"L-BFGS-B {between(negatives[1, 1])}; at initialisation "
            f"{between(arrays['negative_start'][1])}",
            origin=optimisers("counts of negative eigenvalues"),
            shown="negative",
        ),
        judge(
            "At most 35 directions are active at the end.",
            bool((residual <= 35).all()) if settled[1].all() else None,
            f"residual: {between(residual)} positive eigenvalues of {digits(size, 12)}",
            origin=optimisers("counts of positive eigenvalues"),
            shown="positive",
        ),
        judge(
            "Residuals with noise leave at least three times as many directions as exact values "
            "of the solution.",
            bool((residual[both].mean(axis=1) >= _TIMES * solved[both].mean(axis=1)).all())
            if both.any()
            else None,
            f"{_which(both)}: residual {between(residual[both] if both.any() else residual)}, "
            f"solution {between(solved[both] if both.any() else solved)}: the solution is an "
            "integral over the conductivity and smooths it, the residual differentiates it",
            origin=OURS,
            shown=_TABLE.format(what=what),
        ),
        judge(
            "With noise in the solution the Hessian at the end has more negative eigenvalues.",
            bool((negatives[3] > negatives[0]).all()) if settled[[0, 3]].all() else None,
            f"negative {between(negatives[3])} and positive {between(noisy)} at the "
            f"end, loss {between(arrays['loss_end'][3])}; {int(settled[3].sum())} of "
            f"{settled[3].size} runs with noise converged",
            origin=OURS,
            shown=_TABLE.format(what=what),
        ),
        judge(
            "The equation leaves fewer directions than a direct fit of the same network.",
            bool((ends[0] < ends[1])[plain].all()) if plain.any() else None,
            f"{_which(plain)}: "
            + "; ".join(
                f"{name} {digits(a)} and {digits(b)}"
                for name, a, b, good in zip(METHODS, *ends, plain, strict=True)
                if good or not plain.any()
            )
            + " on average, values of the solution and of the conductivity",
            origin=optimisers("counts with and without the equation, heat problem"),
            shown=_TABLE.format(what=what),
        ),
        judge(
            "Steps of BFGS point neither along the gradient nor along the Newton step.",
            bool((to_newton[0] < _ALONG).all() and (to_gradient[0] < _ALONG).all()),
            f"residual: median cosine with the Newton step {between(to_newton[0])}, with −g "
            f"{between(to_gradient[0])}; trust region {between(to_newton[2])} and "
            f"{between(to_gradient[2])}; exact values of the solution, BFGS: "
            f"{between(arrays['to_newton'][0, 0])} and {between(arrays['to_gradient'][0, 0])}",
            origin=optimisers("angles of the steps of BFGS"),
            shown="angle-newton",
        ),
        judge(
            "The number of positive eigenvalues falls along the training.",
            bool((arrays["positive_end"][:2] < begins[:2])[:, both].all()) if both.any() else None,
            f"{_which(both)}: positive eigenvalues {between(begins[:2])} at initialisation, "
            f"{between(residual)} at the end for the residual, {between(solved)} for the solution; "
            f"the effective dimension of H₀ goes from {between(arrays['effective_start'][:2])} to "
            f"{between(arrays['effective_end'][:2])}",
            origin=OURS,
            shown="effective",
        ),
    )


def _which(good: BoolArray) -> str:
    """The optimisers that a statement compares."""
    names = [name for name, one in zip(METHODS, good, strict=True) if one]
    return f"{', '.join(names)} (converged)" if names else "none converged"


def _counts(arrays: dict[str, AnyArray], what: str) -> Any:
    rows: list[tuple[Any, ...]] = []
    for i, kind in enumerate(KINDS):
        for j, method in enumerate(METHODS):
            poisson = _POISSON.get(method) if i == 1 else None
            rows.append(
                (
                    f"{method}, {kind}",
                    *(
                        over(arrays[name][i, j], what)
                        for name in (
                            "positive_start", "positive_end", "negative_end", "effective_end",
                            "iterations", "loss_end",
                            "gradient_norm_end", "converged",
                        )
                    ),
                    digits(poisson) if poisson else "none",
                    digits(_HEAT[kind][method]) if kind in _HEAT else "none",
                )
            )  # fmt: skip
    return table(
        _TABLE.format(what=what),
        (
            "optimiser", "positive at first", "positive at the end", "negative at the end",
            "effective dimension of H₀", "iterations", "loss", "gradient norm", "converged",
            "published: positive, Poisson", "published: positive, heat equation",
        ),
        rows,
    )  # fmt: skip


def _angles(arrays: dict[str, AnyArray], what: str) -> Any:
    return table(
        f"Cosines of steps, median over the iterations looked at, over {what}",
        ("optimiser", "with −gradient", "with the Newton step"),
        (
            (
                f"{method}, {KINDS[i]}",
                over(arrays["to_gradient"][i, j], what),
                over(arrays["to_newton"][i, j], what),
            )
            for i in (1, 0)
            for j, method in enumerate(METHODS)
        ),
        "Where H has negative eigenvalues a Newton step may climb.",
    )


def _charts(kept: dict[str, Result], solved: dict[str, Result], seed: int) -> tuple[Chart, ...]:
    def lines(
        name: str,
        title: str,
        caption: str,
        y_label: str,
        of: str,
        *extra: Series,
        log: bool = False,
        runs: dict[str, Result] = kept,
    ) -> Chart:
        series = []
        for hue, (method, run) in enumerate(runs.items()):
            x, y = np.asarray(run["iteration"]) + 1.0, np.asarray(run[of], dtype=np.float64)
            good: BoolArray = np.isfinite(y) & ((y > 0) if log else True)
            series.append(
                Series(
                    label=method, x=x[good], y=y[good], error="exact", source="measured",
                    mark="both", hue=hue,
                )
            )  # fmt: skip
        return Chart(
            name=name,
            title=title,
            caption=f"{caption} Seed {seed}, {KINDS[1] if runs is kept else KINDS[0]}.",
            x_label="iteration + 1",
            y_label=y_label,
            x_scale="log",
            y_scale="log" if log else "linear",
            series=(*series, *extra),
        )

    span = np.array([1.0, max(float(np.max(run["iteration"])) for run in kept.values()) + 1])
    plateaus = (
        level(f"{name}, plateau on the page of ADCME", span, value, hue=METHODS.index(name))
        for name, value in _POISSON.items()
    )
    return (
        lines(
            "positive", "Positive eigenvalues along the optimisers",
            "Eigenvalues of H above 10⁻⁶ of the largest: active directions.",
            "positive eigenvalues", "positive", *plateaus,
        ),
        lines("positive-solution", "The same, fitted to exact values of the solution",
              "Eigenvalues of H above 10⁻⁶ of the largest.", "positive eigenvalues", "positive",
              runs=solved),
        lines("negative", "Negative eigenvalues", "Below minus 10⁻⁶ of the largest.",
              "negative eigenvalues", "negative"),
        lines("effective", "Effective dimension of H₀", "Sum of λ/(λ + 10⁻⁶ λ_max).",
              "effective dimension", "effective"),
        lines("loss", "Loss", "Sum of squares.", "loss", "loss", log=True),
        lines("angle-gradient", "Steps and the gradient", "Cosine of the step with −g.",
              "cosine", "to_gradient"),
        lines("angle-newton", "Steps and the Newton step", "Cosine of the step with the Newton "
              "step.", "cosine", "to_newton"),
    )  # fmt: skip

"""Statements and tables of a sweep over critical points."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np

from hessium.figures.formatting import digits
from hessium.figures.records import CONTROL, Number, Statement, Table, judge, judge_test
from hessium.landscape.point import KINDS
from hessium.studies.critical_points.config import METHODS, CriticalPointsConfig
from hessium.studies.critical_points.fits import SMALL, PowerFit
from hessium.studies.critical_points.points import accepted, on_target
from hessium.studies.critical_points.search import MINIMISE, PLAIN, PUBLISHED, SADDLE
from hessium.studies.results import ResultTable
from hessium.studies.sources import pennington_bahri
from hessium.studies.study import Cell, table

_METHODS = "Classes by method"
_SMALL_INDEX = "Index against energy at small index"


def statements(
    config: CriticalPointsConfig, points: ResultTable, fits: Mapping[float, PowerFit | None]
) -> tuple[Statement, ...]:
    """Claims of Pennington & Bahri (2017) and of this program, with the evidence."""
    targeted = points.select(method=SADDLE)
    near, passed = on_target(points), accepted(points.select(method=PUBLISHED))
    kinds = Counter(result["kind"] for result in passed)
    fitted = {ratio: fit for ratio, fit in fits.items() if fit is not None}
    # an interval wider than one tells the power 3/2 from nothing of interest
    wide = [ratio for ratio, f in fitted.items() if f.high - f.low >= 1]
    judged = [f.low <= 1.5 <= f.high for ratio, f in fitted.items() if ratio not in wide]
    missing = [ratio for ratio, fit in fits.items() if fit is None]
    return (
        judge(
            "Four of five index-targeted searches end at a certified critical point near the "
            "wanted index.",
            len(near) >= 0.8 * len(targeted) if len(targeted) else None,
            f"{len(near)} of {len(targeted)} searches, within a tenth of the target or 3; "
            f"{int(near.column('restarts').sum())} restarts in these",
            origin=CONTROL,
            shown=_METHODS,
        ),
        judge(
            "Every point that the published test accepts, |g|² ≤ 10⁻⁶, is a critical point.",
            kinds["critical"] == len(passed) if len(passed) else None,
            f"of {len(passed)} accepted: " + ", ".join(f"{kinds[kind]} {kind}" for kind in KINDS),
            origin=pennington_bahri("protocol of figure 6"),
            shown=_METHODS,
            reason="The gradient is also small where the weights diverge along a path without a "
            "minimum, and at gradient-flat points, where H g = 0.",
        ),
        judge_test(
            "The index rises with the power 3/2 of the energy above the critical one, up to an "
            f"index of {digits(SMALL)}.",
            all(judged) if judged else None,
            "free power [95 % for all ratios together]: "
            + (
                "; ".join(
                    f"{digits(f.power, 2)} [{digits(f.low, 2)}, {digits(f.high, 2)}] at "
                    f"φ = {digits(ratio)}"
                    for ratio, f in fitted.items()
                )
                or "too few points"
            )
            + _listed("too wide to judge", wide)
            + _listed("no such law, or too few points,", missing),
            origin=pennington_bahri("eq. 20, figure 6a"),
            shown=_SMALL_INDEX,
        ),
        _minimisers(config, points),
    )


def _listed(what: str, ratios: list[float]) -> str:
    return f"; {what} at φ = {', '.join(digits(ratio) for ratio in ratios)}" if ratios else ""


def _minimisers(config: CriticalPointsConfig, points: ResultTable) -> Statement:
    runs = points.select(method=MINIMISE)
    origin = pennington_bahri("figure 6b")
    shown = "minimisers" if config.minimisers else _METHODS
    claim = "Minimisation without ridge converges to a minimiser."
    if not len(runs) or len(config.iterations) < 2:
        return judge(
            claim, None, "no minimisations, or of one length only", origin=origin, shown=shown
        )
    fall = runs.column(lambda r: r["energies"][0] - r["energies"][-1])
    growth = runs.column(lambda r: r["radii"][-1] / r["radii"][0])
    slope = runs.column(lambda r: r["gradients"][-1])
    return judge(
        claim,
        bool((slope < 1e-10).all()),
        f"from {config.iterations[0]} to {config.iterations[-1]} iterations the energy falls by "
        f"{digits(float(np.median(fall)), 2)} and |θ| grows {digits(float(np.median(growth)), 2)} "
        f"times (medians); |g| is then {digits(float(np.median(slope)), 1)}",
        origin=origin,
        shown=shown,
        reason="Without a ridge the energy still falls slowly while the weights grow.",
    )


def tables(
    config: CriticalPointsConfig, points: ResultTable, fits: Mapping[float, PowerFit | None]
) -> tuple[Table, ...]:
    """Classes by method, fits by ratio, cost."""
    return (_classes(config, points), _fits(fits))


def _classes(config: CriticalPointsConfig, points: ResultTable) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for method in (SADDLE, PUBLISHED, PLAIN, *METHODS):
        some = points.select(method=method)
        if not len(some):
            continue
        kinds = Counter(result["kind"] for result in some)
        good, seconds = kinds["critical"], float(some.column("cpu").sum())
        rows.append(
            (
                method if method != SADDLE else "index-targeted",
                len(some),
                len(accepted(some)),
                *(kinds[kind] for kind in KINDS),
                digits(seconds / good, 3) if good else "none found",
            )
        )
    return table(
        _METHODS,
        ("method", "runs", "|g|² ≤ 10⁻⁶", *KINDS, "CPU s for one critical"),
        rows,
        f"Ridge {digits(config.ridge)} for the index-targeted search and the last two; none "
        "for the published ones. CPU seconds depend on the machine and its load.",
    )


def _fits(fits: Mapping[float, PowerFit | None]) -> Table:
    return table(
        _SMALL_INDEX,
        ("φ", "points", "ε_c at 3/2", "A at 3/2", "free exponent", "ΔAIC"),
        (
            (
                ratio,
                fit.points,
                digits(fit.critical),
                digits(fit.coefficient),
                Number(
                    value=fit.power,
                    low=fit.low,
                    high=fit.high,
                    basis=f"least squares [{digits(100 * fit.confidence, 3)} % over resampled "
                    "points]",
                ),
                digits(fit.aic, 2),
            )
            for ratio, fit in fits.items()
            if fit is not None
        ),
        "Energy regressed on index, ε = ε_c + c α^(1/b). ΔAIC: of b = 3/2 less that of free b; "
        "above 2 the free exponent is clearly better. Intervals hold for all ratios together "
        "at 95 % (Bonferroni).",
    )

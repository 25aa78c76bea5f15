"""How far critical points lie from the index that Wishart + Wigner predicts, by variance of H1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hessium._typing import FloatArray
from hessium.figures.formatting import between, digits
from hessium.figures.records import OURS, Statement, Table, judge
from hessium.studies.critical_points.config import CriticalPointsConfig
from hessium.studies.critical_points.fits import PowerFit
from hessium.studies.critical_points.points import certified
from hessium.studies.published import column_table
from hessium.studies.results import ResultTable
from hessium.studies.study import table
from hessium.theory import critical_energy, index, wigner_energy


@dataclass(frozen=True, slots=True, kw_only=True)
class Distance:
    """Points of one origin and ratio beside both predictions.

    Attributes:
        origin: "published means" or "certified".
        ratio: of the networks.
        printed: index less that predicted with the variance 2 energy, shape (k,).
        network: index less that predicted with the variance energy x ratio, shape (k,).
        critical: energy at which a fit of the 3/2 law to the points begins, None without one.
    """

    origin: str
    ratio: float
    printed: FloatArray
    network: FloatArray
    critical: float | None


_BESIDE = "Points beside Wishart + Wigner"


def distances(
    config: CriticalPointsConfig, points: ResultTable, fits: Mapping[float, PowerFit | None]
) -> list[Distance]:
    """The published means, those of tanh networks, and certified points, ratio by ratio."""
    found = []
    if config.activation == "tanh":
        means, drawn = column_table("pb_fig6a"), column_table("pb_fig6a_fits")
        for ratio in config.ratios:
            rows = np.isclose(means["ratio"], ratio)
            begins = drawn["energy_c"][np.isclose(drawn["ratio"], ratio)]
            if rows.any():
                energy, share = means["energy"][rows], means["index"][rows]
                critical = float(begins[0]) if begins.size else None
                found.append(_distance("published means", ratio, energy, share, critical))
    for ratio in config.ratios:
        some = certified(points, ratio)
        if len(some):
            fit, share = fits[ratio], some.column("index") / config.dim
            critical = None if fit is None else fit.critical
            found.append(_distance("certified", ratio, some.column("energy"), share, critical))
    return found


def _distance(
    origin: str, ratio: float, energy: FloatArray, share: FloatArray, critical: float | None
) -> Distance:
    return Distance(
        origin=origin,
        ratio=ratio,
        printed=share - index(energy, ratio),
        network=share - index(wigner_energy(energy, ratio), ratio),
        critical=critical,
    )


def distance_statement(found: list[Distance]) -> Statement:
    """Whether the prediction is better with the variance that H1 of a network has."""
    claim = (
        "With the variance εφ that H₁ of a network has, not the printed 2ε, Wishart + Wigner "
        "predicts the index of the points better."
    )
    parts = []
    for origin in dict.fromkeys(one.origin for one in found):
        here = [one for one in found if one.origin == origin]
        better = [one.ratio for one in here if _rms([one.network]) < _rms([one.printed])]
        parts.append(
            f"{origin}: root mean square distance in the index "
            f"{digits(_rms([one.printed for one in here]), 2)} as printed, "
            f"{digits(_rms([one.network for one in here]), 2)} with εφ, which is nearer at "
            + (f"φ = {', '.join(digits(ratio) for ratio in better)}" if better else "no ratio")
            + _begins(here)
        )
    if not found:
        return judge(claim, None, "no points", origin=OURS, shown=_BESIDE)
    printed, network = (_rms([getattr(d, name) for d in found]) for name in ("printed", "network"))
    return judge(claim, network < printed, "; ".join(parts), origin=OURS, shown=_BESIDE)


def _begins(found: list[Distance]) -> str:
    """Fitted critical energies over predicted ones."""
    kept = [one for one in found if one.critical is not None and one.critical > 0 and one.ratio < 1]
    if not kept:
        return ""
    ratios = np.array([one.ratio for one in kept])
    measured = np.array([one.critical for one in kept], dtype=np.float64)
    printed = critical_energy(ratios)
    return (
        f"; fitted over predicted critical energy {between(measured / printed, 2)} as printed, "
        f"{between(measured / (2 * printed / ratios), 2)} with εφ"
    )


def distance_table(found: list[Distance]) -> Table:
    """The distances and critical energies, one row for each origin and ratio."""
    columns = (
        "points", "φ", "number", "distance, 2ε", "distance, εφ", "ε_c, fit", "ε_c, 2ε", "ε_c, εφ"
    )  # fmt: skip
    critical = [float(critical_energy(one.ratio)) for one in found]
    return table(
        _BESIDE,
        columns,
        (
            (
                one.origin,
                one.ratio,
                len(one.printed),
                digits(_rms([one.printed]), 2),
                digits(_rms([one.network]), 2),
                "none" if one.critical is None else digits(one.critical),
                digits(printed),
                digits(2 * printed / one.ratio),
            )
            for one, printed in zip(found, critical, strict=True)
        ),
        "Distance: root mean square of index less predicted index, at the energy of each point "
        "and scale 1. 2ε is the printed variance of H₁, εφ that of a linear network whose "
        "residuals are independent of data and weights; the network's critical energy is 2/φ "
        "times the printed one.",
    )


def _rms(parts: list[FloatArray]) -> float:
    return float(np.sqrt(np.mean(np.concatenate(parts) ** 2)))

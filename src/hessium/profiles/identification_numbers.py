"""Numbers of an identification as JSON values and as columns of CSV tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hessium.profiles.identification_words import advice, doubtful

if TYPE_CHECKING:
    from hessium.profiles.identification import Identification


def csv_tables(found: Identification) -> dict[str, Mapping[str, Sequence[Any]]]:
    """Columns of parameters, predictions and next measurements, with the units in the heads."""
    tables: dict[str, Mapping[str, Sequence[Any]]] = {}
    if found.parameters is not None:
        table = found.parameters
        reach = found.coverage_factor * table.std
        ends = {one.label: one.ends() for one in found.profiles}
        tables["parameters"] = {
            "parameter": list(table.labels),
            "unit": [found.units.of_label(label) for label in table.labels],
            "value": table.value.tolist(),
            "std": table.std.tolist(),
            "lower": (table.value - reach).tolist(),
            "upper": (table.value + reach).tolist(),
            "answer": list(table.answer),
            "refits lower": [ends.get(label, (math.nan,) * 2)[0] for label in table.labels],
            "refits upper": [ends.get(label, (math.nan,) * 2)[1] for label in table.labels],
        }
    if found.answers is not None and found.answers.combinations:
        combined = found.answers.combinations
        tables["combinations"] = {
            "combination": [one.text for one in combined],
            "kind": [one.kind for one in combined],
            "value": [one.value for one in combined],
            "std": [one.std for one in combined],
        }
    tables["coverage"] = _coverage_columns(found)
    places = _place_columns(found, np.arange(len(found.prediction)))
    outputs = found.prediction.shape[1]
    for c in range(outputs):
        name, unit = found.units.output(c, outputs)
        head = f"{name} [{unit}]" if unit else name
        places[head] = found.prediction[:, c].tolist()
        places[f"std of {head}"] = found.prediction_std[:, c].tolist()
    if found.gains.size:
        places["gain [nats]"] = found.gains.tolist()
    tables["predictions"] = places
    if found.design is not None:
        chosen = _place_columns(found, found.design.indices)
        chosen["candidate"] = found.design.indices.tolist()
        chosen["gain [nats]"] = found.design.gains.tolist()
        chosen["RMS std after [noises]"] = found.design.rms_std[1:].tolist()
        tables["next_measurements"] = chosen
    return tables


def _coverage_columns(found: Identification) -> dict[str, Sequence[Any]]:
    """What each interval covers, as in the table of the page."""
    trust = found.trust
    return {
        "interval along": list(trust.labels),
        "coverage": trust.coverage.tolist(),
        "least coverage": trust.coverage_range[:, 0].tolist(),
        "largest coverage": trust.coverage_range[:, 1].tolist(),
        "refits converge": trust.converged.tolist(),
        "believed": trust.has_nominal_coverage.tolist(),
        "first-order radius": trust.first_order.tolist(),
        "curvature ratio": trust.curvature_ratio.tolist(),
    }


def _place_columns(found: Identification, rows: Any) -> dict[str, Sequence[Any]]:
    columns: dict[str, Sequence[Any]] = {}
    for c in range(found.candidates.shape[1] if found.candidates.size else 0):
        name, unit = found.units.input(c)
        columns[f"{name} [{unit}]" if unit else name] = found.candidates[rows, c].tolist()
    return columns


def summary_of(found: Identification) -> dict[str, Any]:
    """The answers as JSON values."""
    table, design, trust = found.parameters, found.design, found.trust
    profiles = {one.label: one for one in found.profiles}
    believed: dict[str, bool] = dict(
        zip(trust.labels, trust.has_nominal_coverage.tolist(), strict=True)
    )
    believed |= dict.fromkeys(doubtful(found), False)
    parameters = [] if table is None else [
        {
            "name": label, "unit": found.units.of_label(label), "value": value,
            "std": _finite(std), "answer": answer,
            "believed": believed.get(label),
            "refits_interval": [_finite(end) for end in profiles[label].ends()]
            if label in profiles
            else None,
            "refits_coverage": _finite(profiles[label].coverage) if label in profiles else None,
        }
        for label, value, std, answer in zip(
            table.labels, table.value.tolist(), table.std.tolist(), table.answer, strict=True
        )
    ]  # fmt: skip
    combined = () if found.answers is None else found.answers.combinations
    std = found.prediction_std
    return {
        "measurements": found.model["measurements"],
        "residuals": dict(found.model["residuals"]),
        "num_parameters": found.model["parameters"],
        "rank": {"value": found.rank.value, "lower": found.rank.lower, "upper": found.rank.upper},
        "effective_dimension": found.effective_dimension.value,
        "noise": found.noise.tolist() if isinstance(found.noise, np.ndarray) else found.noise,
        "noise_degrees_of_freedom": _finite(found.noise_degrees_of_freedom),
        "coverage_factor": found.coverage_factor,
        "distance_from_minimum": found.distance_from_minimum,
        "parameters": parameters,
        "combinations": [{"name": c.text, "value": c.value, "std": c.std} for c in combined],
        "predictions": {
            "candidates": len(std),
            "undetermined": int(np.isinf(std).sum()),
            "std": [[_finite(one) for one in row] for row in std.tolist()],
            "largest_std": _finite(float(np.where(np.isfinite(std), std, 0.0).max(initial=0.0))),
        },
        "next_measurements": [] if design is None else [
            {
                "candidate": int(at), "inputs": found.candidates[at].tolist()
                if found.candidates.size else None, "gain": _finite(float(gain)),
                "rms_std_after": _finite(float(after)),
            }
            for at, gain, after in zip(
                design.indices, design.gains, design.rms_std[1:], strict=True
            )
        ],
        "rms_std_before": None if design is None else _finite(float(design.rms_std[0])),
        "confidence": trust.confidence,
        "coverage": [
            {
                "interval_along": label, "coverage": _finite(covers), "least": _finite(least),
                "largest": _finite(most), "refits_converge": good, "believed": trusted,
                "first_order_radius": _finite(radius), "curvature_ratio": _finite(ratio),
            }
            for label, covers, least, most, good, trusted, radius, ratio in zip(
                *_coverage_columns(found).values(), strict=True
            )
        ],
        "errors_may_be_believed": trust.valid,
        "refit_steps": found.refit_steps,
        "refits_exhausted": found.refits_exhausted,
        "trust": repr(trust),
        "advice": advice(found),
        "warnings": list(found.warnings),
    }  # fmt: skip


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None

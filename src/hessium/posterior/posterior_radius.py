"""The trust radius of a posterior: directions, radii, and what its intervals really cover."""

from __future__ import annotations

import math

import numpy as np
import scipy.stats
import torch
from torch import Tensor

from hessium._arguments import count, fraction
from hessium._random import Rng, generator
from hessium._typing import FloatArray
from hessium.errors import InputError
from hessium.posterior.entries import (
    NAMED,
    entries_of,
    labels_of,
    scalar_names,
)
from hessium.posterior.pivots import LIKELY, coverages
from hessium.posterior.refit_budget import Budget
from hessium.posterior.refits import bounded_after_all, signed_roots
from hessium.posterior.shares import largest_part
from hessium.posterior.state import State
from hessium.posterior.trust_radius import TrustRadius, radii
from hessium.progress import Progress


def posterior_trust_radius(
    state: State,
    prior_mean: Tensor,
    freedom: float,
    names: list[str] | None,
    *,
    within: float,
    k: int,
    random: int,
    confidence: float,
    rng: Rng,
    budget: int,
    distance: float,
    progress: Progress,
) -> TrustRadius:
    """Radii in standard deviations, and coverage, in the directions of a posterior."""
    fraction("within", within)
    fraction("confidence", confidence)
    count("k", k, at_least=0)
    count("random", random, at_least=0)
    spending = Budget(count("budget", budget))
    directions, labels, lengths = _paths(state, names, k, random, rng)
    law = scipy.stats.norm() if math.isinf(freedom) else scipy.stats.t(freedom)
    reach = float(law.ppf(0.5 + confidence / 2))
    far = float(law.ppf(0.5 + LIKELY / 2))
    curves, converged = signed_roots(
        state, prior_mean, directions, lengths, reach, far, spending, progress
    )
    misses, coverage_range = zip(*(coverages(one, reach, far, law) for one in curves), strict=True)
    chosen = scalar_names(state.factor.risk) if names is None else names
    bounded: tuple[str, ...] = ()
    if chosen and state.prior_precision == 0:
        open_ = state.statuses(state.factor.parameters(chosen, joint=False)) == "undetermined"
        at = np.flatnonzero(open_)[:NAMED]
        entries, known = entries_of(state.factor.risk, chosen), labels_of(state.factor.risk, chosen)
        bounded = bounded_after_all(
            state, prior_mean, entries[at].tolist(), [known[i] for i in at], reach, spending
        )
    first, quadratic, ratios = radii(
        state.factor.risk, directions, within, 1.0, lengths * state.noise
    )
    return TrustRadius(
        labels=tuple(labels),
        first_order=first,
        quadratic=quadratic,
        curvature_ratio=ratios,
        needed=reach / lengths,
        misses=np.array(misses),
        coverage_range=np.array(coverage_range),
        converged=converged,
        confidence=confidence,
        within=within,
        unit="standard deviations",
        bounded=bounded,
        distance=distance,
        steps=spending.used,
        exhausted=spending.exhausted,
    )


def _paths(
    state: State, names: list[str] | None, k: int, random: int, rng: Rng
) -> tuple[Tensor, list[str], FloatArray]:
    """Conditional paths of parameters, directions of large variance, and draws.

    Returns:
        Columns (P, k), their labels, and their lengths in standard deviations, (k,).
    """
    factor, risk, alpha = state.factor, state.factor.risk, state.prior_precision
    kept = factor.singular_values.size if alpha > 0 else state.rank.lower
    spread = 1 / np.sqrt(state.precisions[:kept] + alpha)
    columns: list[Tensor] = []
    labels: list[str] = []
    chosen = scalar_names(risk) if names is None else names
    if chosen:
        std = np.sqrt(state.variances(factor.parameters(chosen, joint=False)))
        entries = entries_of(risk, chosen)
        for at, label in enumerate(labels_of(risk, chosen)[:NAMED]):
            if 0 < std[at] < math.inf:
                unit = torch.zeros_like(risk.theta)
                unit[int(entries[at])] = 1.0
                columns.append(state.solve(unit) / std[at])
                labels.append(label)
    lengths = [1.0] * len(columns)
    informed = int((state.precisions[:kept] > alpha).sum()) or min(k, kept)
    # numbered as in `by_parameter`, the largest variance first
    total = min(state.rank.value, factor.singular_values.size)
    weights: list[FloatArray] = []
    for i in range(informed - 1, max(informed - 1 - k, -1), -1):
        unit_weights = np.zeros(kept)
        unit_weights[i] = spread[i]
        weights.append(unit_weights)
        labels.append(f"direction {total - i}")
        lengths.append(1.0)
    draws = generator(rng)
    for i in range(random):
        draw = draws.standard_normal(kept)
        weights.append(draw * spread)
        labels.append(f"draw {i}")
        lengths.append(float(np.linalg.norm(draw)))
    if not labels:
        msg = "trust_radius: no direction; name a determined parameter, or k > 0, or random > 0"
        raise InputError(msg)
    if weights:
        table = np.zeros((factor.singular_values.size, len(weights)))
        table[:kept] = np.array(weights).T
        columns += list(factor.to_parameters(table).unbind(1))
    for at, label in enumerate(labels):
        if label.startswith("direction "):
            labels[at] = f"{label} [{largest_part(state, columns[at])}]"
    return torch.stack(columns, dim=1), labels, np.array(lengths)

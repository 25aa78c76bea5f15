"""Means of a function over the eigenvalues of a matrix."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import scipy.special

from hessium._typing import FloatArray
from hessium.errors import InputError
from hessium.spectra.bands import Integral
from hessium.spectra.gauss_rule import GaussRule
from hessium.spectra.spectral_data import SpectralData

Function = Callable[[FloatArray], FloatArray]


def exact_mean(f: Function, data: SpectralData) -> Integral:
    """The mean over all eigenvalues of an exact spectrum, with bounds for their rounding."""
    known, resolution, floor = data.known, data.resolution, _floor(data)
    values = values_of(f, np.maximum(known, floor))
    with np.errstate(all="ignore"):
        ends = [values_of(f, np.maximum(known + side * resolution, floor)) for side in (-1, 1)]
    low, high = (reduce([values, *ends]).mean() for reduce in (np.fmin.reduce, np.fmax.reduce))
    return Integral(
        value=float(values.mean()),
        stderr=0.0,
        lower=float(low),
        upper=float(high),
        reasons=("rounding",),
    )


def estimated_mean(f: Function, data: SpectralData, confidence: float) -> Integral:
    """The mean from known eigenvalues and rules for the others, with its error."""
    known, rules, dim, floor = data.known, data.rules, data.dim, _floor(data)
    total = sum(rule.mass for rule in rules)
    mean = square = 0.0
    for rule in rules:
        nodes, weights = rule.gauss()
        values, share = values_of(f, np.maximum(nodes, floor)), weights * (rule.mass / total)
        mean += float(share @ values)
        square += float(share @ values**2)
    rest = dim - known.size
    value = (float(values_of(f, np.maximum(known, floor)).sum()) + rest * mean) / dim
    if any(rule.diagonal.size == 1 and not rule.complete for rule in rules):
        variance = _scatter(f, mean, rules, floor)
    else:
        # NaN stays NaN
        variance = 2 * float(np.maximum(square - mean**2, 0.0)) / (rest * len(rules) + 2)
    stderr = rest / dim * math.sqrt(variance)
    reach = stderr * float(scipy.special.ndtri((1 + confidence) / 2))
    return Integral(
        value=value,
        stderr=stderr,
        lower=value - reach,
        upper=value + reach,
        confidence=confidence,
        reasons=("probes",),
    )


def _floor(data: SpectralData) -> float:
    """Lower bound on the eigenvalues."""
    return 0.0 if data.nonnegative else -math.inf


def values_of(f: Function, x: FloatArray) -> FloatArray:
    """F at some points.

    Raises:
        InputError: if it does not return one real number for each.
    """
    values = np.asarray(f(x))
    if values.shape != x.shape or values.dtype.kind not in "fiub":
        msg = (
            f"f: returned {values.dtype} of shape {values.shape} for {x.size} points; one real "
            "number for each is required"
        )
        raise InputError(msg)
    return np.asarray(values, dtype=np.float64)


def _scatter(f: Function, mean: float, rules: Sequence[GaussRule], floor: float) -> float:
    """Variance of the weighted mean over probes, from the probes themselves."""
    count = len(rules)
    if count < 2:
        return math.inf
    masses = np.array([rule.mass for rule in rules])
    parts = np.array(
        [w @ values_of(f, np.maximum(x, floor)) for x, w in (r.gauss() for r in rules)]
    )
    spread = masses / masses.sum() * (parts - mean)
    return float((spread**2).sum() * count / (count - 1))

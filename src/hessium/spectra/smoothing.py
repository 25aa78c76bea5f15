"""Smoothed densities of spectra, with the errors that rounding, steps and probes leave."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.special

from hessium._typing import FloatArray
from hessium.spectra.bands import Band
from hessium.spectra.gauss_rule import GaussRule
from hessium.spectra.spectral_data import SpectralData

Map = Callable[[FloatArray], FloatArray]

_RESOLVED = 2.0  # widths of the kernel between two nodes: beyond it the nodes themselves would show


@dataclass(frozen=True, slots=True, kw_only=True)
class Smoothed:
    """The density of one rule at some points.

    Attributes:
        value: its nodes, smoothed.
        lower: lower bound for the measure behind the rule.
        upper: upper bound.
    """

    value: FloatArray
    lower: FloatArray
    upper: FloatArray


def gaussian_kernel(
    points: FloatArray, nodes: FloatArray, weights: FloatArray, width: float
) -> FloatArray:
    """Sum of Gaussians of standard deviation `width` about nodes (m,) or (points, m)."""
    z = (nodes - points[:, None]) / width
    return np.asarray(np.exp(-(z**2) / 2) @ weights / (width * math.sqrt(2 * math.pi)))


def gaussian_bounds(
    points: FloatArray, nodes: FloatArray, weights: FloatArray, errors: FloatArray, width: float
) -> tuple[FloatArray, FloatArray]:
    """Least and greatest value of such a sum if each node may move by its error."""
    away = np.abs(nodes - points[:, None])
    far, near = away + errors, np.maximum(away - errors, 0.0)
    lower, upper = (
        np.exp(-((z / width) ** 2) / 2) @ weights / (width * math.sqrt(2 * math.pi))
        for z in (far, near)
    )
    return np.asarray(lower), np.asarray(upper)


def smoothed(rule: GaussRule, t: FloatArray, scaled: Map, width: float) -> Smoothed:
    r"""Density at t, with bounds.

    Where nodes lie closer than two widths the error is that of two rules of one degree less whose
    errors are opposite to leading order, Gauss and anti-Gauss (Laurie 1996): half their difference.
    Elsewhere the kernel shows single nodes, not the measure: its mass lies where the separation
    theorem of Chebyshev, Markov and Stieltjes lets it, up to one node towards or away from t. Mass
    beyond the outermost nodes is left out: that is for eigenpairs to find.
    """
    nodes, weights = rule.gauss()
    s = scaled(nodes)
    value = gaussian_kernel(t, s, weights, width)
    if rule.complete:
        return Smoothed(value=value, lower=value, upper=value)
    if s.size == 1:
        return Smoothed(value=value, lower=np.zeros(t.size), upper=np.full(t.size, math.inf))
    (few, their), (more, its) = rule.coarser(), rule.antigauss()
    doubt = 0.5 * np.abs(
        gaussian_kernel(t, scaled(few), their, width) - gaussian_kernel(t, scaled(more), its, width)
    )
    lower, upper = value - doubt, value + doubt
    left, right, here = np.append(s[0], s[:-1]), np.append(s[1:], s[-1]), t[:, None]
    towards = np.where(s < here, np.minimum(right, here), np.maximum(left, here))
    away = np.where(np.abs(left - here) > np.abs(right - here), left, right)
    cell = np.clip(np.searchsorted(s, t), 1, s.size - 1)
    inside = (t > s[0]) & (t < s[-1])
    open_ = inside & (s[cell] - s[cell - 1] > _RESOLVED * width)
    most = gaussian_kernel(t, towards, weights, width)
    least = gaussian_kernel(t, away, weights, width)
    return Smoothed(
        value=value,
        lower=np.where(open_, np.minimum(lower, least), lower),
        upper=np.where(open_, np.maximum(upper, most), upper),
    )


def density_band(
    data: SpectralData, points: FloatArray, scaled: Map, width: float, confidence: float
) -> Band:
    """Density of known eigenvalues and rules, with its band.

    Args:
        data: the spectrum.
        points: where, in the units of the eigenvalues.
        scaled: the map from eigenvalues to t, the variable of the density.
        width: of the kernel, in units of t.
        confidence: of the interval over the probes.
    """
    known, rules, dim, resolution = data.known, data.rules, data.dim, data.resolution
    t, at = scaled(points), scaled(known)
    each = np.full(known.size, 1.0 / dim)
    seen = gaussian_kernel(t, at, each, width)
    ends = scaled(known - resolution), scaled(known + resolution)
    errors = np.maximum(at - ends[0], ends[1] - at)
    low, high = gaussian_bounds(t, at, each, errors, width)
    if not rules:
        return Band(
            x=points,
            value=seen,
            lower=low,
            upper=high,
            algorithmic=np.zeros(points.size),
            reasons=("rounding",),
        )
    rest = (dim - known.size) / dim
    masses = np.array([rule.mass for rule in rules])
    curves = [smoothed(rule, t, scaled, width) for rule in rules]
    share = masses / masses.sum()
    centre = share @ np.array([curve.value for curve in curves])
    least = share @ np.array([curve.lower for curve in curves])
    most = share @ np.array([curve.upper for curve in curves])
    count = len(curves)
    half = np.full(points.size, math.inf)
    if count > 1:
        parts = share[:, None] * (np.array([curve.value for curve in curves]) - centre)
        spread = np.sqrt((parts**2).sum(axis=0) * count / (count - 1))
        half = spread * float(scipy.special.stdtrit(count - 1, (1 + confidence) / 2))
    return Band(
        x=points,
        value=seen + rest * centre,
        lower=np.maximum(low + rest * (least - half), 0.0),
        upper=high + rest * (most + half),
        algorithmic=rest * (most - least) / 2,
        confidence=confidence,
        reasons=("rounding", "steps", "probes"),
    )

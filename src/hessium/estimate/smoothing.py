"""Smoothed densities from Gauss rules, and what the number of steps leaves open about them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hessium._typing import FloatArray
from hessium.linalg.quadrature import GaussRule

Map = Callable[[FloatArray], FloatArray]

_RESOLVED = 2.0  # widths of the kernel between two nodes: beyond it the nodes themselves would show


@dataclass(frozen=True, slots=True, kw_only=True)
class Smoothed:
    """The density of one rule at some points.

    Attributes:
        value: its nodes, smoothed.
        lower: what the measure behind the rule may have at least.
        upper: and at most.
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

r"""Quadratic forms $b^T f(A) b$ between two quadrature rules of one Lanczos run.

Let $\mu$ be the spectral measure of b, of mass $|b|^2$, so that $b^T f(A) b = \int f d\mu$. The
error of the Gauss rule with m nodes is $f^{(2m)}(\xi) / (2m)!$ times a positive number, that of the
Gauss-Radau rule with a further node below the spectrum $f^{(2m+1)}(\xi) / (2m+1)!$ times a positive
number (Golub & Meurant 2010, section 6.2). Where the derivatives of f from the second on alternate
in sign, the two errors have opposite signs, and the rules bracket the form.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from hessium._typing import FloatArray
from hessium.errors import InputError
from hessium.spectra.brackets import Bracket
from hessium.spectra.gauss_rule import GaussRule
from hessium.spectra.integrals import values_of

Function = Callable[[FloatArray], FloatArray]

_POINTS = 7  # at which the signs of derivatives are looked at
_NEAREST = 1e-3  # distance of the first of them from the lower end, of the range
_ROUNDING = 1e-13  # of the values of f, relative


def form_bracket(f: Function, rule: GaussRule, lowest: float, rounding: float) -> Bracket:
    r"""$\int f d\mu$ times the mass of the rule, between the Gauss and the Gauss-Radau rule.

    Args:
        f: a function of an array whose derivatives from the second on alternate in sign above
            `lowest`.
        rule: the Gauss rule of the Lanczos run that started from b.
        lowest: lower bound on the spectrum; minus infinity if none is known. Then the bracket is
            infinite, unless the rule is complete.
        rounding: bound on the rounding errors of nodes. The bracket covers what f changes by it.

    Raises:
        InputError: if f returns other than one real number for each point, or its derivatives do
            not alternate.
    """
    if rule.mass == 0:
        return Bracket(value=0.0, lower=0.0, upper=0.0)
    nodes, weights = rule.gauss()
    gauss = _sums(f, nodes, weights, lowest, rounding)
    if np.isnan(gauss).any() or (lowest == -math.inf and not rule.complete):
        low, high = -math.inf, math.inf
    elif rule.complete:
        low, high = gauss.min(), gauss.max()
    else:
        _require_alternating(f, lowest, max(float(nodes[-1]), lowest))
        # a node of both rules would have no weight: the end lies below the smallest one
        radau = rule.radau(min(lowest, float(nodes[0]) - rounding))
        ends = np.concatenate([gauss, _sums(f, *radau, lowest, rounding)])
        low, high = ends.min(), ends.max()
    mass = rule.mass
    return Bracket(value=mass * float(gauss[0]), lower=mass * float(low), upper=mass * float(high))


def _sums(
    f: Function, nodes: FloatArray, weights: FloatArray, lowest: float, rounding: float
) -> FloatArray:
    """The rule with its nodes as they are, and moved down and up; never below the bound.

    Raises:
        InputError: if f is not defined at a node.
    """
    sums = []  # NaN where rounding leads out of the domain of f
    for move in (0.0, -rounding, rounding):
        at = np.maximum(nodes + move, lowest)
        with np.errstate(all="ignore"):
            values = values_of(f, at)
            if move == 0 and np.isnan(values).any():
                msg = f"f: NaN at {at[np.isnan(values)][0]:.6g}, where the operator has eigenvalues"
                raise InputError(msg)
            terms = np.where(weights > 0, weights * values, 0.0)
        sums.append(float(terms.sum()))
    return np.array(sums)


def _require_alternating(f: Function, lowest: float, highest: float) -> None:
    r"""Compare signs of divided differences, $f[x_0, ..., x_k] = f^{(k)}(\xi) / k!$.

    It finds most functions that do not qualify, not all.

    Raises:
        InputError: if the derivatives from the second on do not alternate.
    """
    width = highest - lowest
    if not width > 0:
        return
    x = lowest + width * np.geomspace(_NEAREST, 1.0, _POINTS)
    with np.errstate(all="ignore"):
        differences = values_of(f, x)
        errors = _ROUNDING * np.abs(differences)
    expected = 0.0
    for order in range(1, _POINTS):
        gaps = x[order:] - x[:-order]
        differences = np.diff(differences) / gaps
        errors = (errors[1:] + errors[:-1]) / gaps
        signs = np.unique(np.sign(differences[np.abs(differences) > errors]))
        if order < 2 or not signs.size:
            expected = -expected
            continue
        if signs.size > 1 or signs[0] == -expected:
            msg = (
                f"f: its derivatives from the second on do not alternate in sign on "
                f"[{lowest:.4g}, {highest:.4g}], as those of 1/x, log x, x^p (p < 2) and exp(-t x) "
                "do; such a function is required"
            )
            raise InputError(msg)
        expected = -float(signs[0])

r"""Exact derivatives of the Hessian laws with respect to energy, ratio and scale.

With $w = 1/G$ fixed by $x = w + R(1/w)$ and p any parameter, the implicit function theorem gives
$\partial_p w = -\partial_p R/(1 - q)$, and because the potential is stationary in G and x in w,
$\partial_p \Phi = -\int_0^G \partial_p R$ and $\partial_p x_* = \partial_p R(G_*)$ at an edge.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hessium._display import Plottable
from hessium._typing import ArrayLike, ComplexArray, FloatArray, Real
from hessium.errors import InputError
from hessium.theory import _check
from hessium.theory.hessians.energies import checked_activation, critical_energy, root_of
from hessium.theory.hessians.indices import hessian_law
from hessium.theory.laws.levy import LevyLaw

_BESIDE = np.finfo(float).tiny  # F beside an atom, where it is 0 and logarithms have no value

PARAMETERS = ("energy", "ratio", "scale")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tangent:
    """Derivatives of variance, rates and jumps, beside the rates and jumps themselves."""

    variance: float
    rates: tuple[float, ...]
    jumps: tuple[float, ...]
    rates_dot: tuple[float, ...]
    jumps_dot: tuple[float, ...]

    def r_transform(self, w: ComplexArray) -> ComplexArray:
        """The derivative of R at g = 1/w."""
        result = self.variance / w
        for rate, a, rate_dot, a_dot in zip(
            self.rates, self.jumps, self.rates_dot, self.jumps_dot, strict=True
        ):
            ratio = w / (w - a)
            result = result + rate_dot * a * ratio + rate * a_dot * ratio * ratio
        return np.asarray(result)

    def primitive(self, w: ComplexArray) -> ComplexArray:
        """The derivative of the integral of R from 0 to g = 1/w, w in the upper half-plane."""
        result = 0.5 * self.variance / w**2 if self.variance else np.zeros_like(w)
        for rate, a, rate_dot, a_dot in zip(
            self.rates, self.jumps, self.rates_dot, self.jumps_dot, strict=True
        ):
            log = np.log(w - a) - np.log(w)
            result = result - rate_dot * log + rate * a_dot / (w - a)
        return np.asarray(result)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensitivity(Plottable):
    """Derivatives of one law with respect to one parameter.

    Attributes:
        law: the law.
        parameter: "energy", "ratio" or "scale".

    Example:
        >>> found = hs.theory.sensitivity("ratio", 0.1, 0.25)
        >>> type(found.law).__name__
        'FreeLevy'
    """

    law: LevyLaw
    parameter: str
    _tangent: _Tangent

    def pdf(self, x: ArrayLike) -> FloatArray:
        """Derivative of the density; diverges at the edges, zero off the support."""
        points = _check.reals("x", x)
        flat = points.ravel()
        result = np.zeros(flat.size)
        inside = self.law._interior(flat)
        if inside.any():
            w = self.law.reciprocal_above(flat[inside].astype(np.complex128))
            _, q = self.law.triple.remainder(w)
            result[inside] = -(self._tangent.r_transform(w) / ((1 - q) * w * w)).imag / np.pi
        return result.reshape(points.shape)

    def cdf(self, x: ArrayLike) -> FloatArray:
        """Derivative of the distribution function at fixed x; atoms change it off the support."""
        points = _check.reals("x", x)
        flat = points.ravel()
        result = np.zeros(flat.size)
        low, high = self.law.support()
        between = (flat > low) & (flat < high)
        if between.any():
            z = flat[between].astype(np.complex128)
            w = self.law.reciprocal_above(z)
            w.imag = np.abs(w.imag)
            w[np.isin(z.real, list(self.law.atoms))] = _BESIDE
            result[between] = self._tangent.primitive(w).imag / np.pi
        return result.reshape(points.shape)

    def edges(self) -> FloatArray:
        """Derivatives of the ends of `support_intervals`, shape (intervals, 2)."""
        roots = self.law.triple.edges.astype(np.complex128)
        return np.asarray(self._tangent.r_transform(roots).real.reshape(-1, 2))

    def index(self) -> float:
        """Derivative of the share of negative eigenvalues; exact zeros do not count."""
        if 0.0 in self.law.atoms:
            below = np.full(1, -_BESIDE, dtype=np.complex128)
            return float(self._tangent.primitive(below)[0].imag / np.pi)
        return float(self.cdf(0.0))


def sensitivity(
    parameter: str,
    energy: Real,
    ratio: Real,
    activation: str = "linear",
    scale: Real = 1.0,
) -> Sensitivity:
    r"""Derivatives of `wishart_wigner` or `relu_hessian` with respect to one of their parameters.

    Args:
        parameter: "energy", "ratio" or "scale".
        energy: > 0 (the ReLU law has no derivative of its jumps at zero).
        ratio: > 0.
        activation: "linear" or "relu".
        scale: > 0.

    Raises:
        InputError: if an argument breaks its rule.

    Example:
        >>> found = hs.theory.sensitivity("energy", 0.1, 0.25)
        >>> found.parameter, found.law.var()
        ('energy', 0.45)
    """
    if parameter not in PARAMETERS:
        msg = f"parameter: {parameter!r}; one of {', '.join(PARAMETERS)} is required"
        raise InputError(msg)
    e, p = _check.positive("energy", energy), _check.positive("ratio", ratio)
    s = _check.positive("scale", scale)
    law = hessian_law(e, p, activation, s)
    tangent = _tangent(parameter, e, p, s, activation)
    return Sensitivity(law=law, parameter=parameter, _tangent=tangent)


def _tangent(parameter: str, e: float, p: float, s: float, activation: str) -> _Tangent:
    by = {name: float(name == parameter) for name in PARAMETERS}
    rates, rates_dot = [1 / p], [-by["ratio"] / p**2]
    jumps, jumps_dot = [s * p], [by["ratio"] * s + by["scale"] * p]
    if activation == "relu":
        jump = p * math.sqrt(e / 2)
        jump_dot = jump * (by["energy"] / (2 * e) + by["ratio"] / p)
        rates += [0.5 / p] * 2
        rates_dot += [-0.5 * by["ratio"] / p**2] * 2
        jumps += [-jump, jump]
        jumps_dot += [-jump_dot, jump_dot]
    return _Tangent(
        variance=2 * by["energy"] if activation == "linear" else 0.0,
        rates=tuple(rates),
        jumps=tuple(jumps),
        rates_dot=tuple(rates_dot),
        jumps_dot=tuple(jumps_dot),
    )


def critical_energy_derivative(
    parameter: str, ratio: Real, activation: str = "linear", scale: Real = 1.0
) -> float:
    r"""Derivative of the critical energy with respect to "ratio" or "scale".

    The lower edge stays at zero: $\partial_p\epsilon_c = -\partial_p R/\partial_\epsilon R$ at
    $\sigma G_c = -(3 + s)/((1 + s)(1 - \phi))$.

    Args:
        parameter: "ratio" or "scale".
        ratio: in (0, 1).
        activation: "linear" or "relu".
        scale: > 0.

    Raises:
        InputError: if an argument breaks its rule.

    Example:
        >>> round(hs.theory.critical_energy_derivative("ratio", 0.25), 4)
        -0.201
    """
    p, s = _check.positive("ratio", ratio), _check.positive("scale", scale)
    model = checked_activation(activation)
    if p >= 1:
        msg = f"ratio: {p}; a ratio in (0, 1) is required, where the critical energy is positive"
        raise InputError(msg)
    if parameter not in ("ratio", "scale"):
        msg = f'parameter: {parameter!r}; "ratio" or "scale" is required'
        raise InputError(msg)
    energy = float(critical_energy(p, model, s))
    if parameter == "scale":
        return 2 * energy / s
    root = float(root_of(np.asarray(p), model))
    w = np.array([-s * (1 + root) * (1 - p) / (3 + root)], dtype=np.complex128)
    along = _tangent("ratio", energy, p, s, model).r_transform(w)[0].real
    against = _tangent("energy", energy, p, s, model).r_transform(w)[0].real
    return float(-along / against)

r"""Critical energies: below them the limit law of the Hessian has no mass below zero.

Both published formulas (eq. 21 and 32 of Pennington and Bahri 2017) cancel badly as the ratio goes
to one, and eq. 32 is 0/0 there. The forms here are the same functions, written without
cancellation.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
from scipy.optimize import brentq

from hessium._typing import ArrayLike, FloatArray, Real
from hessium.errors import InputError
from hessium.theory import _check

Activation: TypeAlias = Literal["linear", "relu"]
ACTIVATIONS = ("linear", "relu")


def checked_activation(activation: str) -> str:
    """The name of one of the two models.

    Raises:
        InputError: if it is not "linear" or "relu".
    """
    if activation not in ACTIVATIONS:
        msg = f'activation: {activation!r}; "linear" or "relu" is required'
        raise InputError(msg)
    return activation


def checked_ratios(ratio: ArrayLike) -> FloatArray:
    """`ratio` as an array of positive finite numbers.

    Raises:
        InputError: if a ratio is not a positive finite number.
    """
    ratios = _check.reals("ratio", ratio)
    if ratios.size and not ((ratios >= 1 / _check.LARGEST) & (ratios <= _check.LARGEST)).all():
        msg = f"ratio: {float(ratios.min())!r} to {float(ratios.max())!r}; numbers > 0 are required"
        msg += f", from {1 / _check.LARGEST:g} to {_check.LARGEST:g}"
        raise InputError(msg)
    return ratios


def root_of(ratio: FloatArray, activation: str) -> FloatArray:
    r"""$s = \sqrt{1 + 8\phi}$, or $q = \sqrt{1 + 16\phi - 8\phi^2}$ with ReLU; for ratios <= 1."""
    square = 1 + 8 * ratio if activation == "linear" else 1 + 8 * ratio * (2 - ratio)
    return np.asarray(np.sqrt(square))


def critical_energy(ratio: ArrayLike, activation: str = "linear", scale: Real = 1.0) -> FloatArray:
    r"""The largest energy at which the limit law has no mass below zero.

    Linear: $\epsilon_c = 4\sigma^2(1-\phi)^3(1+s)/(3+s)^3$, $s = \sqrt{1+8\phi}$, equal to
    $\sigma^2(1 - 20\phi - 8\phi^2 + (1+8\phi)^{3/2})/16$ (eq. 21). ReLU:
    $\epsilon_c = 16\sigma^2(1-\phi)^3(1+q)/(\phi(3+q)^3)$, $q = \sqrt{1+16\phi-8\phi^2}$, equal to
    eq. 32. Zero for ratios of one and above: any residual then makes negative eigenvalues.

    Args:
        ratio: phi > 0, any shape.
        activation: "linear" or "relu".
        scale: sigma > 0, mean of the Gauss-Newton spectrum.

    Raises:
        InputError: if an argument breaks its rule.

    Example:
        >>> round(float(hs.theory.critical_energy(0.25)), 7)
        0.0435095
    """
    phi, model = checked_ratios(ratio), checked_activation(activation)
    square = _check.positive("scale", scale) ** 2
    below = np.asarray(np.minimum(phi, 1.0))
    root = root_of(below, model)
    shape = (1 - below) ** 3 * (1 + root) / (3 + root) ** 3
    if model == "linear":
        return np.asarray(4 * square * shape)
    return np.asarray(16 * square * shape / below)


def gap_energy(ratio: ArrayLike, scale: Real = 1.0) -> FloatArray:
    r"""For ratio > 1, the energy at which the smeared atom at zero meets the bulk (linear model).

    $\epsilon_{gap} = \sigma^2 \phi (\phi^{1/3} - 1)^3 / 2$: below it the law has two intervals, of
    masses $1 - 1/\phi$ and $1/\phi$; above it one. Zero for ratio <= 1.

    Raises:
        InputError: if an argument breaks its rule.

    Example:
        >>> round(float(hs.theory.gap_energy(2.0)), 6)
        0.01756
    """
    phi = checked_ratios(ratio)
    square = _check.positive("scale", scale) ** 2
    return np.asarray(0.5 * square * phi * np.maximum(np.cbrt(phi) - 1, 0.0) ** 3)


def wigner_energy(energy: ArrayLike, ratio: ArrayLike) -> FloatArray:
    r"""$\epsilon\phi/2$: where the Wigner model has the variance that H1 of a network has.

    In a linear two-layer network whose residuals are N(0, 2 epsilon), independent of data and
    weights, H1 consists of n equal blocks with $S = m^{-1} e x^T$ off their diagonal, so that
    $\mathrm{tr}\, H_1^2 / 2n^2 = n \cdot 2\epsilon/m = \epsilon\phi$. Pennington and Bahri (2017)
    take $2\epsilon$. Their predictions with the variance of the network are those at this energy,
    `index(wigner_energy(e, phi), phi)`; critical energies are $2/\phi$ times as large. With ReLU
    the variance is $\epsilon\phi/2$, which `relu_residual` has.

    Args:
        energy: epsilon >= 0, any shape that broadcasts with `ratio`.
        ratio: phi > 0.

    Raises:
        InputError: if a ratio is not positive.

    Example:
        >>> round(float(hs.theory.wigner_energy(0.1, 0.25)), 6)
        0.0125
    """
    return np.asarray(_check.reals("energy", energy) * checked_ratios(ratio) / 2)


def ratio_for_critical_energy(energy: Real, activation: str = "linear", scale: Real = 1.0) -> float:
    """The ratio below one whose critical energy is `energy`.

    Args:
        energy: > 0; below scale^2 / 8 in the linear model, where ratio 0 has that value.
        activation: "linear" or "relu".
        scale: > 0.

    Raises:
        InputError: if no ratio has that critical energy, or an argument breaks its rule.

    Example:
        >>> ratio = hs.theory.ratio_for_critical_energy(0.05)
        >>> round(float(hs.theory.critical_energy(ratio)), 9)
        0.05
    """
    model = checked_activation(activation)
    wanted = _check.positive("energy", energy) / _check.positive("scale", scale) ** 2
    if model == "linear" and wanted >= 0.125:
        msg = f"energy: {energy}; in the linear model critical energies are below scale^2 / 8"
        raise InputError(msg)

    # the function is smooth in the logit of the ratio
    def excess(t: float) -> float:
        phi = 1 / (1 + np.exp(-t))
        one_less = 1 / (1 + np.exp(t))
        root = float(root_of(np.asarray(phi), model))
        value = 3 * np.log(one_less) + np.log1p(root) - 3 * np.log(3 + root)
        value += np.log(4.0) if model == "linear" else np.log(16.0) - np.log(phi)
        return float(value - np.log(wanted))

    t = float(brentq(excess, -300.0, 300.0, xtol=1e-14, rtol=1e-14))
    return float(1 / (1 + np.exp(-t)))


def minimiser_energy(ratio: ArrayLike, model: str = "linear") -> FloatArray:
    r"""Published formulas for the energy of minimisers on random data.

    "linear": $\frac12(1 - \phi/2)$, exact for two-layer linear networks: with $\phi = 2n/m$ it is
    $\frac12(1 - n/m)$, the part of random targets outside the row space of the data. (The
    published $\frac12(1 - \phi)$ is wrong for this $\phi$.) "tanh": $\frac12(1 - \phi)^2$, the
    fit of figure 6b; it depends on the protocol. Both are zero where the ratio is large enough to
    fit the data.

    Raises:
        InputError: if an argument breaks its rule.

    Example:
        >>> round(float(hs.theory.minimiser_energy(0.25)), 6)
        0.4375
    """
    phi = checked_ratios(ratio)
    if model == "linear":
        return np.asarray(0.5 * np.maximum(1 - phi / 2, 0.0))
    if model == "tanh":
        return np.asarray(0.5 * np.maximum(1 - phi, 0.0) ** 2)
    msg = f'model: {model!r}; "linear" or "tanh" is required'
    raise InputError(msg)

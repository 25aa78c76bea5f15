"""The share of negative eigenvalues at a critical point, exact and near the critical energy."""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq

from hessium._typing import ArrayLike, FloatArray, Real
from hessium.errors import InputError
from hessium.theory import _check
from hessium.theory.hessians.energies import (
    checked_activation,
    checked_ratios,
    critical_energy,
    root_of,
)
from hessium.theory.hessians.hessian_laws import relu_hessian, wishart_wigner
from hessium.theory.laws.levy import LevyLaw
from hessium.theory.laws.levy_triple import LevyTriple

_TINY = 1e-4  # below this the distribution function loses relative digits
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(24)


def hessian_law(
    energy: Real, ratio: Real, activation: str = "linear", scale: Real = 1.0
) -> LevyLaw:
    """`wishart_wigner` or `relu_hessian`, by the name of the activation.

    Raises:
        InputError: if an argument breaks its rule.

    Example:
        >>> hs.theory.hessian_law(0.1, 0.25, "relu") == hs.theory.relu_hessian(0.1, 0.25)
        True
    """
    make = wishart_wigner if checked_activation(activation) == "linear" else relu_hessian
    return make(energy, ratio, scale)


def index(
    energy: ArrayLike, ratio: ArrayLike, activation: str = "linear", scale: Real = 1.0
) -> FloatArray:
    r"""$\int_{-\infty}^0 \rho$, the share of negative eigenvalues at a critical point (eq. 19).

    The log-potential gives it with an absolute error near 1e-16. A small index comes from an
    expansion about the lower edge, with the relative error of that edge. The index is exact where
    zero lies in a gap. Eigenvalues that are exactly zero do not count.

    Args:
        energy: epsilon >= 0, any shape that broadcasts with `ratio`.
        ratio: phi > 0.
        activation: "linear" (Wishart + Wigner) or "relu".
        scale: sigma > 0.

    Raises:
        InputError: if an argument breaks its rule.

    Example:
        >>> round(float(hs.theory.index(0.1, 0.25)), 7)
        0.0539805
    """
    energies, ratios = np.broadcast_arrays(_check.reals("energy", energy), checked_ratios(ratio))
    values = [
        _index(hessian_law(float(e), float(p), activation, scale))
        for e, p in zip(energies.ravel(), ratios.ravel(), strict=True)
    ]
    return np.array(values, dtype=np.float64).reshape(energies.shape)


def _index(law: LevyLaw) -> float:
    low, high = law.support_intervals()[0]
    if low >= 0:
        return 0.0
    if high <= 0:
        # whole intervals are negative: exact, by a count of poles; F = 0 at an atom
        f = 0.0 if 0.0 in law.atoms else float(law._outside(np.zeros(1))[0])
        return law.triple.mass_below(float(np.nextafter(f, -np.inf)))
    value = float(law.cdf(0.0))
    return value if value >= _TINY else edge_mass(law.triple, float(law.triple.edges[0]))


def edge_mass(triple: LevyTriple, root: float) -> float:
    r"""Mass between the lowest edge and zero, with a small relative error at any size.

    With $x(w) - x_* = \delta^2 S(\delta)$, $\delta = w - w_*$, exact at an edge, the density is
    found as a function of the distance from the edge, and integrated over its square root.
    """
    distance = -float(triple.position(np.array([root]))[0][0])
    s = 0.5 * (_NODES + 1)
    rates, jumps = np.array(triple.rates)[:, None], np.array(triple.jumps)[:, None]
    delta = np.zeros(s.size, dtype=np.complex128)
    for _ in range(200):
        w = root + delta
        bend = (rates * jumps**2 / ((root - jumps) ** 2 * (w - jumps))).sum(0)
        if triple.variance:
            bend = bend + triple.variance / (root**2 * w)
        fresh = 1j * s * np.sqrt(-distance / bend)
        moved = np.abs(fresh - delta).max()
        delta = fresh
        if moved <= 1e-16 * np.abs(delta).max():
            break
    w = root + delta
    density = np.abs(delta.imag) / (np.pi * np.abs(w) ** 2)
    return float(distance * (_WEIGHTS * s * density).sum())


def index_coefficient(ratio: ArrayLike, activation: str = "linear") -> FloatArray:
    r"""$\alpha_0$ in $\alpha \approx \alpha_0 ((\epsilon-\epsilon_c)/\epsilon_c)^{3/2}$ (eq. 20).

    Linear: $\alpha_0 = 2(3-s)/(3\pi(1+s)\sqrt s)$, $s = \sqrt{1+8\phi}$. In general
    $\alpha_0 = \frac{2}{3\pi}(\epsilon_c |\partial_\epsilon z|)^{3/2}\sqrt{2/|\partial_G^2 z|}$ at
    the edge. Pennington and Bahri (2017) do not give the formula. It is independent of the scale.

    Args:
        ratio: phi in (0, 1), any shape.
        activation: "linear" or "relu".

    Raises:
        InputError: if a ratio is not in (0, 1): the critical energy is zero from one on.

    Example:
        >>> round(float(hs.theory.index_coefficient(0.25)), 7)
        0.0748327
    """
    phi, model = checked_ratios(ratio), checked_activation(activation)
    if (phi >= 1).any():
        msg = (
            f"ratio: {float(phi.max())}; below 1 is required, where the critical energy is positive"
        )
        raise InputError(msg)
    root = root_of(phi, model)
    if model == "linear":
        three_less = 8 * (1 - phi) / (3 + root)
        return np.asarray(2 * three_less / (3 * np.pi * (1 + root) * np.sqrt(root)))
    energy = critical_energy(phi, model)
    g = -(3 + root) / ((1 + root) * (1 - phi))
    jump_square = energy * phi**2
    inner = 2 - jump_square * g**2
    by_energy = 2 * phi * g / inner**2
    bend = 2 * phi**2 / (1 - phi * g) ** 3 + 2 / g**3
    bend = bend + 2 * jump_square * energy * phi * g * (6 + jump_square * g**2) / inner**3
    reach = energy * np.abs(by_energy)
    return np.asarray(2 / (3 * np.pi) * reach**1.5 * np.sqrt(2 / np.abs(bend)))


def small_index(
    energy: ArrayLike, ratio: ArrayLike, activation: str = "linear", scale: Real = 1.0
) -> FloatArray:
    r"""The small-index law $\alpha_0(\phi) ((\epsilon - \epsilon_c)/\epsilon_c)^{3/2}$ (eq. 20).

    It is zero below the critical energy and the asymptote of `index` above it.

    Raises:
        InputError: if a ratio is not in (0, 1) or another argument breaks its rule.

    Example:
        >>> energy = 1.01 * hs.theory.critical_energy(0.25)
        >>> bool(abs(hs.theory.small_index(energy, 0.25) / hs.theory.index(energy, 0.25) - 1) < 0.1)
        True
    """
    energies = _check.reals("energy", energy)
    critical = critical_energy(ratio, activation, scale)
    excess = np.maximum(energies / critical - 1, 0.0)
    return np.asarray(index_coefficient(ratio, activation) * excess**1.5)


def energy_for_index(
    index_value: Real, ratio: Real, activation: str = "linear", scale: Real = 1.0
) -> float:
    """The energy at which the index is `index_value`.

    Raises:
        InputError: if no energy has that index. At infinite energy the index is 1/2 less half
            of the atom at zero of the residual law; for ratio > 1 it starts above zero.

    Example:
        >>> energy = hs.theory.energy_for_index(0.05, 0.25)
        >>> round(float(hs.theory.index(energy, 0.25)), 9)
        0.05
    """
    phi = _check.positive("ratio", ratio)
    wanted = _check.positive("index_value", index_value)
    relu = checked_activation(activation) == "relu"
    limit = 0.5 * min(1.0, 1 / phi) if relu else 0.5
    if wanted >= limit:
        msg = f"index_value: {wanted}; below {limit:g}, the index at infinite energy, is required"
        raise InputError(msg)
    start = float(critical_energy(phi, activation))

    def excess(log_step: float) -> float:
        energy = start + float(np.exp(log_step))
        return float(np.log(max(float(index(energy, phi, activation)), 1e-300) / wanted))

    low, high = -5.0, 5.0
    while excess(low) > 0 and low > -60:
        low -= 5
    while excess(high) < 0 and high < 60:
        high += 5
    if excess(low) > 0:
        msg = f"index_value: {wanted}; at ratio {phi} even a vanishing energy gives a larger index"
        raise InputError(msg)
    step = brentq(excess, low, high, xtol=1e-13, rtol=1e-14)
    return float((start + np.exp(step)) * _check.positive("scale", scale) ** 2)

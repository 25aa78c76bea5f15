r"""Free multiplicative convolution of laws on the positive half-line."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from hessium._random import Rng, generator
from hessium._typing import FloatArray
from hessium.errors import InputError
from hessium.theory import _check
from hessium.theory._arrays import ComplexArray, log_upper, upper
from hessium.theory._cumulants import cumulants_from_moments, moments_from_cumulants
from hessium.theory._solver import FixedPoints, fixed_points
from hessium.theory.affine import affine
from hessium.theory.empirical import Empirical
from hessium.theory.ensembles import haar
from hessium.theory.law import Law
from hessium.theory.subordinated import SubordinatedLaw

_GRID = 600
_STRICT = 1e-13  # just outside an edge the real fixed point is almost interior
_HEIGHT = 1e-13  # of x: how far above the axis points off the support are evaluated


def free_product(first: Law, second: Law) -> Law:
    r"""The law of $\sqrt X Y \sqrt X$ for free positive X, Y: $S = S_X S_Y$.

    Args:
        first: law on [0, infinity), not the atom at zero.
        second: the same.

    Raises:
        InputError: if a law has mass below zero, or all of it at zero.
    """
    for name, law in (("first", first), ("second", second)):
        low, high = law.support()
        if low < -1e-12 * high or high <= 0:
            msg = f"{name}: support [{low:g}, {high:g}]; a law on [0, infinity) is required"
            raise InputError(msg)
    for law, other in ((first, second), (second, first)):
        if isinstance(law, Empirical) and law.nodes.size == 1:
            return affine(other, scale=float(law.nodes[0]))
    return FreeProduct(first, second)


@dataclass(frozen=True)
class FreeProduct(SubordinatedLaw):
    r"""$\mu \boxtimes \nu$ through $\eta(\zeta) = 1 - \zeta F(1/\zeta)$, $h = \eta/\zeta$.

    At $\zeta = 1/x$ the point $\omega_1$ is the fixed point of
    $w \mapsto \zeta h_\nu(\zeta h_\mu(w))$, a self-map of the upper half-plane
    (Belinschi and Bercovici 2007). Edges are bisected on whether such a point exists; a gap
    narrower than 1/600 of the support may be missed (its points still get density zero).
    """

    first: Law
    second: Law

    @staticmethod
    def _h(law: Law, w: ComplexArray) -> tuple[ComplexArray, ComplexArray]:
        """h(w) and its derivative."""
        inverse = upper(1 / w)
        g, slope = law._transform(inverse)
        f, f_slope = 1 / g, -slope / (g * g)
        return (inverse - f).conj(), -(1 - f_slope).conj() / (w * w)

    def _self_map(self, z: ComplexArray, w: ComplexArray) -> tuple[ComplexArray, ComplexArray]:
        inner, inner_slope = self._h(self.first, w)
        outer, outer_slope = self._h(self.second, upper(z * inner))
        return z * outer, z * z * outer_slope * inner_slope

    def _solve(self, z: ComplexArray) -> FixedPoints:
        zeta = upper(1 / z)
        return fixed_points(self._self_map, zeta, self.second.mean() * (zeta + 1j * np.abs(zeta)))

    def _subordination(self, z: ComplexArray) -> ComplexArray:
        off = (z.imag == 0) & ~self._interior(z.real)
        lifted = np.where(off, z + 1j * _HEIGHT * np.maximum(np.abs(z), 1e-300), z)
        return self._solve(lifted).points

    def _at(self, z: ComplexArray, w: ComplexArray) -> tuple[ComplexArray, ComplexArray]:
        zeta = upper(1 / z)
        inner, inner_slope = self._h(self.first, w)
        outer, outer_slope = self._h(self.second, upper(zeta * inner))
        speed = (outer + zeta * outer_slope * inner) / (1 - zeta**2 * outer_slope * inner_slope)
        eta = (w * inner).conj()
        eta_slope = ((inner + w * inner_slope) * speed).conj()
        f = z * (1 - eta)
        return 1 / f, -(1 - eta + eta_slope / z) / (f * f)

    def _potential_at(self, z: ComplexArray, w: ComplexArray) -> ComplexArray:
        inner, _ = self._h(self.first, w)
        phi = log_upper(z) - np.log(1 - (w * inner).conj())
        for law, point in ((self.first, w), (self.second, upper(1 / z) * inner)):
            p = upper(1 / point)
            phi = phi + law._log_potential(p) - np.log(p)
        return np.asarray(phi)

    def support_intervals(self) -> tuple[tuple[float, float], ...]:
        """Between the edges, bisected on whether an interior fixed point exists."""
        return self._intervals

    def _outside(self, x: FloatArray) -> FloatArray:
        raise NotImplementedError

    def _gap_mass(self, x: float) -> float:
        phi = self._log_potential(np.array([x], dtype=np.complex128))
        return float(1 - phi[0].imag / np.pi)

    def _inside(self, x: FloatArray) -> npt.NDArray[np.bool_]:
        """Whether an interior fixed point exists."""
        found = self._solve(x.astype(np.complex128))
        return found.interior & (found.displacements < _STRICT)

    @cached_property
    def _intervals(self) -> tuple[tuple[float, float], ...]:
        (a, b), (c, d) = self.first.support(), self.second.support()
        low, high = max(a, 0.0) * max(c, 0.0), b * d
        share = (np.arange(_GRID) + 0.5) / _GRID
        x = low + (high - low) * np.sin(0.5 * np.pi * share) ** 2
        if low == 0:  # mass may sit at any scale near zero
            x = np.concatenate([high * np.logspace(-14, -5, 40), x])
        inside = self._inside(x)
        for atom in self.atoms:
            inside &= np.abs(x - atom) > 1e-12 * high
        flips = np.flatnonzero(inside[1:] != inside[:-1])
        left, right, rising = x[flips].copy(), x[flips + 1].copy(), inside[flips + 1]
        for _ in range(55 if flips.size else 0):
            middle = 0.5 * (left + right)
            up = self._inside(middle) == rising
            left, right = np.where(up, left, middle), np.where(up, middle, right)
        ends = (0.5 * (left + right)).tolist()
        if inside[0]:
            ends = [low, *ends]
        if inside[-1]:
            ends = [*ends, high]
        return tuple(zip(ends[::2], ends[1::2], strict=True))

    @property
    def atoms(self) -> dict[float, float]:
        """The larger weight at zero; a b with weight mu{a} + nu{b} - 1 where that is positive."""
        ours, theirs = self.first.atoms, self.second.atoms
        zero = max(ours.get(0.0, 0.0), theirs.get(0.0, 0.0))
        result = {0.0: zero} if zero > 0 else {}
        for a, p in ours.items():
            for b, q in theirs.items():
                if a * b > 0 and p + q - 1 > 1e-15:
                    result[a * b] = p + q - 1
        return result

    def free_cumulants(self, count: int) -> FloatArray:
        r"""From the moments, which follow from the S-transforms as power series."""
        n = _check.count("count", count, 0)
        if n == 0:
            return np.zeros(0)
        inverse = _chi(self.first, n)
        # chi(y) = y S(y)/(1 + y), so chi = chi_1 chi_2 (1 + y)/y
        product = np.convolve(inverse, _chi(self.second, n))[1 : n + 2]
        product[1:] += product[:-1].copy()
        return cumulants_from_moments(_reverted(product[: n + 1])[1:])

    def matrix(self, n: int, rng: Rng = None) -> FloatArray:
        """sqrt(X) Y sqrt(X), Y in a Haar basis."""
        one, two, three = generator(rng).spawn(3)
        values, vectors = np.linalg.eigh(self.first.matrix(n, one))
        root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T @ haar(n, three)
        return np.asarray(root @ self.second.matrix(n, two) @ root.T)


def _chi(law: Law, n: int) -> FloatArray:
    """Power series of the inverse of psi(z) = sum m_k z^k, to order n."""
    moments = moments_from_cumulants(law.free_cumulants(n))
    return _reverted(np.concatenate([[0.0], moments]))


def _reverted(series: FloatArray) -> FloatArray:
    """The power series inverse to s_1 z + s_2 z^2 + ..., by Lagrange inversion."""
    n = series.size - 1
    result = np.zeros(n + 1)
    if n == 0:
        return result
    # z / s(z) = 1 / (s_1 + s_2 z + ...)
    ratio = np.zeros(n)
    ratio[0] = 1 / series[1]
    for k in range(1, n):
        ratio[k] = -(series[2 : k + 2] @ ratio[:k][::-1]) / series[1]
    power = np.zeros(n)
    power[0] = 1.0
    for k in range(1, n + 1):
        power = np.convolve(power, ratio)[:n]
        result[k] = power[k - 1] / k
    return result

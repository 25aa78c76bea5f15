r"""Free multiplicative convolution of laws on the positive half-line."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from hessium._random import Rng, generator
from hessium._typing import ComplexArray, FloatArray
from hessium.errors import InputError
from hessium.theory import _check
from hessium.theory._fixed_point import FixedPoints, HalfPlaneMap, fixed_points
from hessium.theory._half_plane import log_upper, upper
from hessium.theory.convolution._product_support import Gap, product_gaps
from hessium.theory.convolution.subordination import SubordinatedLaw
from hessium.theory.ensembles import haar
from hessium.theory.laws._certificate import edges_or_error, require
from hessium.theory.laws._components import Component
from hessium.theory.laws.cumulants import reverted
from hessium.theory.laws.empirical import Empirical
from hessium.theory.laws.law import Law, affine, checked_law

_POINT = 1e-9  # an interval shorter than this share of its position, around an atom, is the atom
_AWAY = 1e-11  # of an edge: where points that rounding hides are evaluated
_HEIGHT = 1e-13  # of x: how far above the axis points off the support are evaluated


def free_product(first: Law, second: Law) -> Law:
    r"""The law of $\sqrt X Y \sqrt X$ for free positive X, Y: $S = S_X S_Y$.

    Args:
        first: law on [0, infinity), not the atom at zero.
        second: the same.

    Raises:
        InputError: if a law has mass below zero, or all of it at zero.

    Example:
        >>> law = hs.theory.free_product(*2 * [hs.theory.MarchenkoPastur(0.5)])
        >>> round(law.mean(), 6), round(law.var(), 6)
        (1.0, 1.0)
    """
    for name, law in (("first", first), ("second", second)):
        low, high = checked_law(name, law).support()
        if low < -1e-12 * high or high <= 0:
            msg = f"{name}: support [{low:g}, {high:g}]; a law on [0, infinity) is required"
            raise InputError(msg)
    for law, other in ((first, second), (second, first)):
        if isinstance(law, Empirical) and law.nodes.size == 1:
            return affine(other, scale=float(law.nodes[0]))
    return FreeProduct(first, second)


@dataclass(frozen=True)
class FreeProduct(SubordinatedLaw, HalfPlaneMap):
    r"""$\mu \boxtimes \nu$ through $\eta(\zeta) = 1 - \zeta F(1/\zeta)$, $h = \eta/\zeta$.

    At $\zeta = 1/x$ the point $\omega_1$ is the fixed point of
    $w \mapsto \zeta h_\nu(\zeta h_\mu(w))$, a self-map of the upper half-plane
    (Belinschi and Bercovici 2007). A positive x is off the support iff real points $z_i$ off the
    supports exist at which that map attracts; `product_gaps` finds all of them.
    """

    first: Law
    second: Law

    @staticmethod
    def _h(law: Law, w: ComplexArray) -> tuple[ComplexArray, ComplexArray]:
        """h(w) and its derivative."""
        _, excess, rate = law.excess_above(upper(1 / w))
        return -excess.conj(), rate.conj() / (w * w)

    @property
    def _map(self) -> HalfPlaneMap:
        return self

    def step(
        self, z: ComplexArray, w: ComplexArray
    ) -> tuple[ComplexArray, ComplexArray, ComplexArray]:
        """The map at zeta; the rows are 1 - f' and the effect on f of rounding the inner value."""
        inner, inner_slope = self._h(self.first, w[0])
        point = upper(z * inner)
        outer, outer_slope = self._h(self.second, point)
        image, rate = z * outer, 1 - z * z * outer_slope * inner_slope
        return image[None], ((image - w[0]) / rate)[None], np.array([rate, z * outer_slope * point])

    def judged(
        self, z: ComplexArray, w: ComplexArray, rows: ComplexArray
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Rounding of the factor zeta and of both values of h is relative to f."""
        size = 2 * (np.abs(w) + np.abs(rows[1:]))
        return size, size / np.abs(rows[:1]), rows[0].real

    def _solve(self, z: ComplexArray) -> FixedPoints:
        zeta = upper(1 / z)
        start = self.second.mean() * (zeta + 1j * np.abs(zeta))
        return fixed_points(self._map, zeta, start[None])

    def _subordination(self, z: ComplexArray) -> ComplexArray:
        """Points off the support are solved just above the axis, points at an edge beside it."""
        off = (z.imag == 0) & ~self._interior(z.real)
        lifted = np.where(off, z + 1j * _HEIGHT * np.maximum(np.abs(z), 1e-300), z)
        found = self._solve(lifted)
        lost = np.flatnonzero(~found.certified)
        if lost.size:
            edge = edges_or_error(self, lifted[lost])[1].real
            side = np.where(z.real[lost] < edge, -1.0, 1.0)
            moved = lifted[lost]
            moved.real += side * _AWAY * np.abs(edge)
            found.put(lost, self._solve(moved))
            require(self, lifted[lost], found.certified[lost])
        return found.points

    def _at(self, z: ComplexArray, w: ComplexArray) -> tuple[ComplexArray, ComplexArray]:
        (w,) = w
        zeta = upper(1 / z)
        inner, inner_slope = self._h(self.first, w)
        outer, outer_slope = self._h(self.second, upper(zeta * inner))
        speed = (outer + zeta * outer_slope * inner) / (1 - zeta**2 * outer_slope * inner_slope)
        eta = (w * inner).conj()
        eta_slope = ((inner + w * inner_slope) * speed).conj()
        f = z * (1 - eta)
        return 1 / f, -(1 - eta + eta_slope / z) / (f * f)

    def _potential_at(self, z: ComplexArray, w: ComplexArray) -> ComplexArray:
        (w,) = w
        inner, _ = self._h(self.first, w)
        phi = log_upper(z) - np.log(1 - (w * inner).conj())
        for law, point in ((self.first, w), (self.second, upper(1 / z) * inner)):
            p = upper(1 / point)
            phi = phi + law.log_potential_above(p) - np.log(p)
        return np.asarray(phi)

    def support_intervals(self) -> tuple[tuple[float, float], ...]:
        """The intervals between the gaps; at the edges dx/dE = 0."""
        return self._intervals

    @cached_property
    def _gaps(self) -> tuple[Gap, ...]:
        return product_gaps(self.first, self.second, self.atoms.get(0.0, 0.0))

    @cached_property
    def _intervals(self) -> tuple[tuple[float, float], ...]:
        atoms = np.array([x for x in self.atoms if x > 0])

        def is_point(low: float, high: float) -> bool:
            return high - low <= _POINT * high and bool(
                (np.abs(atoms - high) <= _POINT * high).any()
            )

        ends = [(one.high, two.low) for one, two in pairwise(self._gaps)]
        return tuple((a, b) for a, b in ends if not is_point(a, b))

    @cached_property
    def _components(self) -> tuple[Component, ...]:
        """The components of the law, checked against the product of the means.

        Raises:
            RuntimeError: if the mean is outside the bounds that the components give, or a
                component is without mass: the search lost an interval.
        """
        parts: tuple[Component, ...] = super()._components
        masses = np.array([part.upto - part.below for part in parts])
        least = float(masses @ [part.low for part in parts])
        most = float(masses @ [part.high for part in parts])
        slack = 1e-9 * most
        mean = self.first.mean() * self.second.mean()
        if not masses.min() > 0 or not least - slack <= mean <= most + slack:
            msg = (
                f"{self!r}: intervals with masses {masses.tolist()} bound the mean by "
                f"[{least:g}, {most:g}]; the product of the means, {mean:g}, is outside"
            )
            raise RuntimeError(msg)
        return parts

    def _gap_mass(self, x: float) -> float:
        gap = next(gap for gap in reversed(self._gaps) if gap.low <= x)
        inner = [atom for atom in self.atoms if gap.low <= atom <= gap.high]
        return gap.below if inner and x < inner[0] else gap.upto

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
        r"""From the S-transforms, which multiply as power series."""
        n = _check.count("count", count, 0)
        one, two = (reverted(law.free_cumulants(n)) for law in (self.first, self.second))
        return reverted(np.convolve(one, two)[:n]) if n else np.zeros(0)

    def matrix(self, n: int, rng: Rng = None) -> FloatArray:
        """sqrt(X) Y sqrt(X), Y in a Haar basis."""
        one, two, three = generator(rng).spawn(3)
        values, vectors = np.linalg.eigh(self.first.matrix(n, one))
        root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T @ haar(n, three)
        return np.asarray(root @ self.second.matrix(n, two) @ root.T)

r"""Laws made by free convolution, through subordination at real x.

The transform of the result is the transform of a summand at another point, $G(z) = G_\mu(\omega)$,
and $\omega(z)$ is the fixed point of a self-map of the upper half-plane (Belinschi and Bercovici,
J. Anal. Math. 101, 2007). At real x a fixed point inside the half-plane is the answer and carries
its own certificate; there is none exactly where the density is zero.
"""

from __future__ import annotations

from abc import abstractmethod
from functools import cached_property

import numpy as np

from hessium._typing import FloatArray
from hessium.theory import _check
from hessium.theory._arrays import ArrayLike, ComplexArray
from hessium.theory._gaps import Gap
from hessium.theory._solver import FixedPoints, fixed_points, increasing_roots
from hessium.theory.law import Law

_NO_GAP = 1e-14
_SOLVED = 1e-9
_POINT = 1e-9  # an interval shorter than this share of the hull, around an atom, is the atom


class SubordinatedLaw(Law):
    """A law whose transform is that of a known law at a fixed point omega(z)."""

    @abstractmethod
    def _self_map(self, z: ComplexArray, w: ComplexArray) -> tuple[ComplexArray, ComplexArray]:
        """f_z(w) and its derivative in w, for z and w in the upper half-plane."""

    @abstractmethod
    def _at(self, z: ComplexArray, w: ComplexArray) -> tuple[ComplexArray, ComplexArray]:
        """G and its derivative in z, at the fixed point w."""

    @abstractmethod
    def _potential_at(self, z: ComplexArray, w: ComplexArray) -> ComplexArray:
        """The log-potential at the fixed point w."""

    @abstractmethod
    def _scan(self) -> list[Gap]:
        """Every gap of the support, in any order."""

    @cached_property
    def _gaps(self) -> list[Gap]:
        gaps = sorted(self._scan(), key=lambda gap: gap.low)
        # two descriptions of one gap: the wider one holds; a gap of rounding's width is none
        kept: list[Gap] = []
        for gap in gaps:
            width = gap.high - gap.low
            if np.isfinite(width) and width <= _NO_GAP * (abs(gap.low) + abs(gap.high)):
                continue
            if kept and gap.low < kept[-1].high and gap.high <= kept[-1].high:
                continue
            kept.append(gap)
        return kept

    @cached_property
    def _intervals(self) -> tuple[tuple[float, float], ...]:
        ends = [x for gap in self._gaps for x in (gap.low, gap.high)][1:-1]
        pairs = zip(ends[::2], ends[1::2], strict=True)
        atoms, hull = np.array(list(self.atoms)), ends[-1] - ends[0]
        hull = max(hull, 1e-300)

        def is_atom(low: float, high: float) -> bool:
            near = np.abs(atoms - 0.5 * (low + high)) <= _POINT * hull
            return high - low <= _POINT * hull and bool(near.any())

        return tuple((a, b) for a, b in pairs if b > a and not is_atom(a, b))

    def support_intervals(self) -> tuple[tuple[float, float], ...]:
        """The intervals between the gaps; edges are places where dx/dt = 0, not thresholds."""
        return self._intervals

    def _outside(self, x: FloatArray) -> FloatArray:
        """The real fixed point of positions off the support."""
        result = np.full(x.shape, np.nan)
        for gap in self._gaps:
            here = (x >= gap.low) & (x <= gap.high) & np.isnan(result)
            if here.any():
                size = int(here.sum())
                result[here] = increasing_roots(
                    gap.curve, x[here], np.full(size, gap.start), np.full(size, gap.end)
                )
        return result

    def _start(self, z: ComplexArray) -> ComplexArray:
        spread = self.std()
        return np.asarray(z + 1j * np.maximum(spread - z.imag, 0.1 * spread))

    def _solve(self, z: ComplexArray) -> FixedPoints:
        return fixed_points(self._self_map, z, self._start(z))

    def _subordination(self, z: ComplexArray) -> ComplexArray:
        w = np.empty(z.shape, dtype=np.complex128)
        solved = (z.imag > 0) | self._interior(z.real)
        if solved.any():
            w[solved] = self._solve(z[solved]).points
        if not solved.all():
            w[~solved] = self._outside(z.real[~solved])
        return w

    def subordination(self, x: ArrayLike) -> ComplexArray:
        """The fixed point omega at real x, the limit from above; real off the support."""
        points = _check.reals("x", x)
        return self._subordination(points.ravel().astype(np.complex128)).reshape(points.shape)

    def residual(self, x: ArrayLike) -> FloatArray:
        """|f(w) - w| / (|x| + |w|) at the fixed point behind the density; 0 off the support."""
        points = _check.reals("x", x)
        flat = points.ravel()
        result = np.zeros(flat.size)
        inside = self._interior(flat)
        if inside.any():
            result[inside] = self._solve(flat[inside].astype(np.complex128)).residuals
        return result.reshape(points.shape)

    def _density(self, x: FloatArray) -> FloatArray:
        """Zero where no interior fixed point exists: at an edge, to rounding."""
        solution = self._solve(x.astype(np.complex128))
        g, _ = self._at(x.astype(np.complex128), solution.points)
        density = np.where(solution.residuals < _SOLVED, -g.imag / np.pi, 0.0)
        return np.asarray(np.maximum(np.nan_to_num(density, posinf=np.inf), 0.0))

    def _distribution(self, x: FloatArray) -> FloatArray:
        """The level of the nearest edge where no interior fixed point exists."""
        z = x.astype(np.complex128)
        solution = self._solve(z)
        mass = 1 - self._potential_at(z, solution.points).imag / np.pi
        lost = ~(solution.residuals < _SOLVED)
        if lost.any():
            edges = np.array([(p.low, p.high) for p in self._components]).ravel()
            levels = np.array([(p.below, p.upto) for p in self._components]).ravel()
            nearest = np.abs(x[lost, None] - edges).argmin(1)
            mass[lost] = levels[nearest]
        return np.asarray(mass)

    def _transform(self, z: ComplexArray) -> tuple[ComplexArray, ComplexArray]:
        return self._at(z, self._subordination(z))

    def _log_potential(self, z: ComplexArray) -> ComplexArray:
        return self._potential_at(z, self._subordination(z))

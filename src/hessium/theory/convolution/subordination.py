r"""Laws made by free convolution, through subordination at real x.

The transform of the result is the transform of a summand at another point, $G(z) = G_\mu(\omega)$,
and $\omega(z)$ is the fixed point of a self-map of the upper half-plane (Belinschi and Bercovici,
J. Anal. Math. 101, 2007). At real x a fixed point inside the half-plane is the answer and carries
its own certificate; there is none exactly where the density is zero. All values come from
certified points, at complex z too: points within rounding of an edge take the value at the edge,
and a point that rounding hides raises an error.
"""

from __future__ import annotations

from abc import abstractmethod

import numpy as np

from hessium._typing import ArrayLike, ComplexArray, FloatArray
from hessium.theory import _check
from hessium.theory._fixed_point import FixedPoints, HalfPlaneMap, fixed_points
from hessium.theory._half_plane import upper
from hessium.theory.laws._certificate import nearest_edges
from hessium.theory.laws.law import Law


class SubordinatedLaw(Law):
    """A law whose transform is that of a known law at a fixed point omega(z).

    Fixed points w have shape (m, k): m coordinates at k points, m = 1 except in sums of laws.
    """

    @property
    @abstractmethod
    def _map(self) -> HalfPlaneMap:
        """The self-map f_z with fixed point omega."""

    @abstractmethod
    def _at(self, z: ComplexArray, w: ComplexArray) -> tuple[ComplexArray, ComplexArray]:
        """G and its derivative in z, at the fixed point w."""

    @abstractmethod
    def _potential_at(self, z: ComplexArray, w: ComplexArray) -> ComplexArray:
        """The log-potential at the fixed point w."""

    @abstractmethod
    def _subordination(self, z: ComplexArray) -> ComplexArray:
        """The certified fixed point, real off the support."""

    def _start(self, z: ComplexArray) -> ComplexArray:
        spread = self.std()
        return np.asarray(z + 1j * np.maximum(spread - z.imag, 0.1 * spread))[None]

    def _solve(self, z: ComplexArray) -> FixedPoints:
        return fixed_points(self._map, z, self._start(z))

    def subordination(self, z: ArrayLike) -> ComplexArray:
        """The fixed point omega, at real z the limit from above; real off the support.

        For a sum of several laws it is the point of the first one.

        Raises:
            ConvergenceError: if rounding hides a point.
        """
        points = _check.complexes("z", z)
        flat = self._subordination(upper(points.ravel()))[0]
        return np.where(points.ravel().imag < 0, flat.conj(), flat).reshape(points.shape)

    def residual(self, z: ArrayLike) -> FloatArray:
        """|f(w) - w| over the magnitude of the terms of f at the fixed point: a certificate of G.

        Args:
            z: real or complex, of any shape.

        Returns:
            Residuals at the level of rounding; 0 at real points off the support and within
            rounding of an edge; infinite where rounding hides the solution.
        """
        points = _check.complexes("z", z)
        flat = upper(points.ravel())
        result = np.zeros(flat.size)
        solved = np.flatnonzero(((flat.imag > 0) | self._interior(flat.real)) & np.isfinite(flat))
        if solved.size:
            found = self._solve(flat[solved])
            result[solved] = np.where(found.certified, found.residuals, np.inf)
            lost = solved[~found.certified]
            result[lost[nearest_edges(self, flat[lost])[0] >= 0]] = 0.0
        return result.reshape(points.shape)

    def cauchy_above(self, z: ComplexArray) -> tuple[ComplexArray, ComplexArray]:
        """G and G' at the fixed point."""
        return self._at(z, self._subordination(z))

    def log_potential_above(self, z: ComplexArray) -> ComplexArray:
        """The log-potential at the fixed point."""
        return self._potential_at(z, self._subordination(z))

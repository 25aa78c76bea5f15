r"""Laws made by free convolution, through subordination at real x.

The transform of the result is the transform of a summand at another point, $G(z) = G_\mu(\omega)$,
and $\omega(z)$ is the fixed point of a self-map of the upper half-plane (Belinschi and Bercovici,
J. Anal. Math. 101, 2007). At real x a fixed point inside the half-plane is the answer and carries
its own certificate; there is none exactly where the density is zero.
"""

from __future__ import annotations

from abc import abstractmethod

import numpy as np

from hessium._typing import FloatArray
from hessium.theory import _check
from hessium.theory._arrays import ArrayLike, ComplexArray
from hessium.theory._solver import FixedPoints, fixed_points
from hessium.theory.law import Law


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
    def _subordination(self, z: ComplexArray) -> ComplexArray:
        """The fixed point, real off the support."""

    def _start(self, z: ComplexArray) -> ComplexArray:
        spread = self.std()
        return np.asarray(z + 1j * np.maximum(spread - z.imag, 0.1 * spread))

    def _solve(self, z: ComplexArray) -> FixedPoints:
        return fixed_points(self._self_map, z, self._start(z))

    def subordination(self, x: ArrayLike) -> ComplexArray:
        """The fixed point omega at real x, the limit from above; real off the support."""
        points = _check.reals("x", x)
        return self._subordination(points.ravel().astype(np.complex128)).reshape(points.shape)

    def residual(self, x: ArrayLike) -> FloatArray:
        """|f(w) - w| / (|x| + |w|) at the fixed point behind the density: its certificate.

        Infinite where none was found inside the half-plane (the density counts as zero there: at
        an edge, to rounding); 0 off the support.
        """
        points = _check.reals("x", x)
        flat = points.ravel()
        result = np.zeros(flat.size)
        inside = self._interior(flat)
        if inside.any():
            found = self._solve(flat[inside].astype(np.complex128))
            result[inside] = np.where(found.interior, found.residuals, np.inf)
        return result.reshape(points.shape)

    def _density(self, x: FloatArray) -> FloatArray:
        """Zero where no interior fixed point exists: at an edge, to rounding."""
        solution = self._solve(x.astype(np.complex128))
        g, _ = self._at(x.astype(np.complex128), solution.points)
        density = np.where(solution.interior, -g.imag / np.pi, 0.0)
        return np.asarray(np.maximum(np.nan_to_num(density, posinf=np.inf), 0.0))

    def _distribution(self, x: FloatArray) -> FloatArray:
        """The level of the nearest edge where no interior fixed point exists."""
        z = x.astype(np.complex128)
        solution = self._solve(z)
        mass = 1 - self._potential_at(z, solution.points).imag / np.pi
        lost = ~solution.interior
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

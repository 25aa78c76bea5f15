r"""Density, distribution function and quantiles of a law, from its two transforms.

With $G(z) = \int \rho(t)/(z - t)\,dt$ and the log-potential
$\Phi(z) = \int \log(z - t)\,\rho(t)\,dt$ the density is $-\operatorname{Im} G(x + i0)/\pi$ and
the distribution function $1 - \operatorname{Im} \Phi(x + i0)/\pi$: no density is ever integrated.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property

import numpy as np

from hessium._display import Plottable
from hessium._random import Rng, generator
from hessium._typing import ArrayLike, BoolArray, ComplexArray, FloatArray, Real
from hessium.errors import InputError
from hessium.theory import _check
from hessium.theory.laws._components import Component, components, quantiles


class Distribution(Plottable, ABC):
    """The methods of a law with names from `scipy.stats`; see `Law`."""

    @abstractmethod
    def cauchy_above(self, z: ComplexArray) -> tuple[ComplexArray, ComplexArray]:
        """The Cauchy transform G and its derivative; a subclass defines it.

        Args:
            z: flat, with Im z >= 0, unchecked; a real z stands for its limit from above.

        Returns:
            G(z) and G'(z), of the shape of z.
        """

    @abstractmethod
    def log_potential_above(self, z: ComplexArray) -> ComplexArray:
        """The integral of log(z - t), principal logarithms; a subclass defines it.

        Args:
            z: as in `cauchy_above`.
        """

    @abstractmethod
    def support_intervals(self) -> tuple[tuple[float, float], ...]:
        """The intervals of the continuous part, ascending; isolated points are in `atoms`."""

    @property
    def atoms(self) -> dict[float, float]:
        """Points of positive mass: {location: weight}."""
        return {}

    # ------------------------------------------------------------------ density and distribution

    def pdf(self, x: ArrayLike) -> FloatArray:
        """Density of the continuous part: never negative, zero off the support."""
        points = _check.reals("x", x)
        density = np.zeros(points.size)
        flat = points.ravel()
        inside = self._interior(flat)
        if inside.any():
            density[inside] = self._density(flat[inside])
        return density.reshape(points.shape)

    def cdf(self, x: ArrayLike) -> FloatArray:
        """Mass of (-inf, x], atoms included."""
        points = _check.reals("x", x)
        flat = points.ravel()
        mass = np.zeros(flat.size)
        for part in self._components:
            mass[flat >= part.high] = part.upto
        inside = self._interior(flat)
        if inside.any():
            mass[inside] = self._distribution(flat[inside])
        return np.clip(mass, 0.0, 1.0).reshape(points.shape)

    def sf(self, x: ArrayLike) -> FloatArray:
        """Mass of (x, inf): the survival function."""
        return np.asarray(1.0 - self.cdf(x))

    def mass(self, a: Real, b: Real) -> float:
        """Mass of (a, b].

        Raises:
            InputError: unless a <= b.
        """
        low, high = _check.end("a", a), _check.end("b", b)
        if low > high:
            msg = f"a, b: {a} and {b}; a <= b is required"
            raise InputError(msg)
        below, upto = self.cdf(np.array([low, high]))
        return float(upto - below)

    def ppf(self, q: ArrayLike) -> FloatArray:
        """The smallest x whose cdf reaches q; at q = 0 the lower end of the support.

        Raises:
            InputError: if a level is outside [0, 1].
        """
        levels = _check.probabilities("q", q)
        return quantiles(self._components, self.cdf, self.pdf, levels.ravel()).reshape(levels.shape)

    def isf(self, q: ArrayLike) -> FloatArray:
        """The smallest x above which at most a share q lies; at q = 1 the lower end of the support.

        Raises:
            InputError: if a level is outside [0, 1].
        """
        return self.ppf(1 - _check.probabilities("q", q))

    def median(self) -> float:
        """The point below which half the mass lies."""
        return float(self.ppf(0.5))

    def interval(self, confidence: Real) -> tuple[float, float]:
        """The central interval that holds a share `confidence` of the mass.

        Raises:
            InputError: if `confidence` is outside [0, 1].
        """
        level = _check.number("confidence", confidence)
        if not 0 <= level <= 1:
            msg = f"confidence: {level}; a share of the mass in [0, 1] is required"
            raise InputError(msg)
        low, high = self.ppf(np.array([(1 - level) / 2, (1 + level) / 2]))
        return float(low), float(high)

    def support(self) -> tuple[float, float]:
        """Smallest and largest point of the support, atoms included."""
        ends = [end for interval in self.support_intervals() for end in interval]
        ends += list(self.atoms)
        return min(ends), max(ends)

    def rvs(self, size: int | tuple[int, ...] = (), rng: Rng = None) -> FloatArray:
        """Independent draws from the law (unlike the eigenvalues of `matrix`, which repel)."""
        return self.ppf(generator(rng).random(_check.shape("size", size)))

    # ------------------------------------------------------------------ for the laws themselves

    @cached_property
    def _components(self) -> tuple[Component, ...]:
        """Intervals and atoms in ascending order, with the mass below and up to each."""
        return components(self.support_intervals(), self.atoms, self._gap_mass)

    def _gap_mass(self, x: float) -> float:
        """Mass below a point that lies between two components."""
        return float(self._distribution(np.array([x]))[0])

    def _interior(self, x: FloatArray) -> BoolArray:
        inside = np.zeros(x.shape, dtype=bool)
        for low, high in self.support_intervals():
            inside |= (x > low) & (x < high)
        return inside

    def _density(self, x: FloatArray) -> FloatArray:
        """Density at points strictly inside the intervals."""
        with np.errstate(all="ignore"):
            return np.maximum(-self.cauchy_above(x.astype(np.complex128))[0].imag / np.pi, 0.0)

    def _distribution(self, x: FloatArray) -> FloatArray:
        """Mass up to points strictly inside the intervals."""
        with np.errstate(all="ignore"):
            return np.asarray(1.0 - self.log_potential_above(x.astype(np.complex128)).imag / np.pi)

"""Shift and scale: the law of a X + b for any law of X."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hessium._random import Rng
from hessium._typing import FloatArray
from hessium.errors import InputError
from hessium.theory import _check
from hessium.theory._arrays import ArrayLike, ComplexArray, Real
from hessium.theory.laws.law import Law
from hessium.theory.laws.levy import FreeLevy, LevyLaw


def affine(law: Law, scale: Real = 1.0, shift: Real = 0.0) -> Law:
    """The law of scale * X + shift.

    Raises:
        InputError: if `scale` is zero or an argument is not finite.
    """
    factor, offset = _check.number("scale", scale), _check.number("shift", shift)
    if factor == 0:
        msg = "scale: 0; a number other than 0 is required (0 X is an atom)"
        raise InputError(msg)
    if factor == 1 and offset == 0:
        return law
    if isinstance(law, LevyLaw):
        return FreeLevy.from_triple(law.triple.affine(factor, offset))
    if isinstance(law, Affine):
        return Affine(law.base, law.factor * factor, factor * law.offset + offset)
    return Affine(law, factor, offset)


@dataclass(frozen=True)
class Affine(Law):
    """The law of factor * X + offset, X of law `base`; made by `shifted` and `scaled`."""

    base: Law
    factor: Real
    offset: Real

    def _pull_back(self, z: ComplexArray) -> ComplexArray:
        """The base's point, mirrored into the upper half-plane if the factor is negative."""
        point = (z - self.offset) / self.factor
        return np.asarray(point if self.factor > 0 else point.real + 1j * np.abs(point.imag))

    def _transform(self, z: ComplexArray) -> tuple[ComplexArray, ComplexArray]:
        g, slope = self.base._transform(self._pull_back(z))
        if self.factor < 0:
            g, slope = g.conj(), slope.conj()
        return g / self.factor, slope / self.factor**2

    def _excess(self, z: ComplexArray) -> tuple[ComplexArray, ComplexArray, ComplexArray]:
        g, excess, rate = self.base._excess(self._pull_back(z))
        if self.factor < 0:
            g, excess, rate = g.conj(), excess.conj(), rate.conj()
        return g / self.factor, self.factor * excess - self.offset, rate

    def residual(self, z: ArrayLike) -> FloatArray:
        """That of the base where it is computed by iteration; zero for a closed form."""
        points = _check.complexes("z", z)
        solved = getattr(self.base, "residual", None)
        return np.zeros(points.shape) if solved is None else solved(self._pull_back(points))

    def _log_potential(self, z: ComplexArray) -> ComplexArray:
        phi = self.base._log_potential(self._pull_back(z))
        if self.factor < 0:
            phi = phi.conj() + 1j * np.pi
        return np.asarray(phi + np.log(abs(self.factor)))

    def _push(self, x: float) -> float:
        return self.factor * x + self.offset

    def support_intervals(self) -> tuple[tuple[float, float], ...]:
        """The images of the base's intervals."""
        images = (sorted((self._push(a), self._push(b))) for a, b in self.base.support_intervals())
        return tuple(sorted((a, b) for a, b in images))

    @property
    def atoms(self) -> dict[float, float]:
        """The images of the base's atoms."""
        return {self._push(x): weight for x, weight in sorted(self.base.atoms.items())}

    def free_cumulants(self, count: int) -> FloatArray:
        r"""$\kappa_n a^n$, and the shift added to the first."""
        base = self.base.free_cumulants(count)
        result = base * self.factor ** np.arange(1, base.size + 1)
        result[:1] += self.offset
        return np.asarray(result)

    def matrix(self, n: int, rng: Rng = None) -> FloatArray:
        """The base's matrix, scaled and shifted."""
        return self.factor * self.base.matrix(n, rng) + self.offset * np.eye(n)

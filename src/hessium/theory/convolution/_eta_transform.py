r"""The eta-transform of a law on the positive half-line at real z, and where it has one sign.

With the moment transform $T(z) = \psi(1/z) = zG(z) - 1 = \int t\,\mu(dt)/(z - t)$ and
$\eta = \psi/(1 + \psi)$ everything is written in $E(z) = 1 + 1/T(z) = 1/\eta(1/z)$.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hessium._typing import FloatArray, IntArray
from hessium.theory._roots import increasing_roots
from hessium.theory.convolution._branches import NUDGE
from hessium.theory.laws.cumulants import reverted
from hessium.theory.laws.law import Law, gaps_of

LIMIT = 35.0
"""Values of f beyond this, E beyond e^35, are taken as one point."""

RADII = 100.0
_ORDER = 12


class EtaTransform:
    r"""$E(z) = 1/\eta(1/z)$ of a law, with its logarithm, rates and inverse.

    Attributes:
        reach: values of |T| up to which the power series of $S(T) = (1 + T)/(zT)$ is used, because
            differences cancel there.
    """

    def __init__(self, law: Law) -> None:
        self.law, self.mean, self.unit = law, law.mean(), law.std()
        self.low, self.high = law.support()
        self.radius = max(self.high - self.mean, self.mean - self.low)
        self.reach = self.mean / (RADII * self.radius)
        with np.errstate(all="ignore"):
            cumulants = np.array(law.free_cumulants(_ORDER)) / self.mean ** np.arange(1, _ORDER + 1)
        cumulants[~np.isfinite(cumulants)] = 0.0  # high powers of extreme scales
        # g R(g) = y and S = g/y
        series = reverted(cumulants)
        self._series = series[::-1]
        self._slope = (np.arange(_ORDER) * series)[:0:-1]

    @property
    def logarithm_at_zero(self) -> float:
        """log|E| at z = 0: minus infinity without an atom there."""
        weight = self.law.atoms.get(0.0, 0.0)
        return float(np.log(weight / (1 - weight))) if weight else -np.inf

    def at(self, z: FloatArray) -> FloatArray:
        """Rows T, 1 + T and T'; infinite at atoms."""
        with np.errstate(all="ignore"):
            g, slope = (a.real for a in self.law.cauchy_above(z.astype(np.complex128)))
            return np.array([z * g - 1, z * g, g + z * slope])

    def far(self, y: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The differences w - f and 1 - r where T = y, |y| <= reach."""
        s, slope = np.polyval(self._series, y), np.polyval(self._slope, y)
        return np.asarray(np.log(self.mean) - np.log(s)), np.asarray(-y * (1 + y) * slope / s)

    def rates(
        self, z: FloatArray, known: tuple[FloatArray, FloatArray] | None = None
    ) -> tuple[FloatArray, FloatArray]:
        """The rate r and 1 - r at z, each precise where it is small.

        Args:
            z: not zero.
            known: T and 1 + T where they are more accurate than their values at z, else NaN.
        """
        z = np.asarray(z, dtype=np.float64)
        with np.errstate(all="ignore"):
            g, slope = (a.real for a in self.law.cauchy_above(z.astype(np.complex128)))
            at_atom = ~(np.isfinite(g) & np.isfinite(slope * z))
            if at_atom.any():
                z = np.where(at_atom, np.nextafter(z, np.inf), z)
                again = self.law.cauchy_above(z[at_atom].astype(np.complex128))
                g[at_atom], slope[at_atom] = (a.real for a in again)
            t, above = z * g - 1, z * g
            if known is not None:
                t = np.where(np.isnan(known[0]), t, known[0])
                above = np.where(np.isnan(known[1]), above, known[1])
            r = -(t / z) * (above / (g + z * slope))
            # 1/r - 1 = z (F' - 1)/(z - F)
            lack = -r * z * (slope / g + g) / t
            return r, np.where(np.abs(r) > 0.5, lack, 1 - r)

    def logarithm(self, z: FloatArray) -> FloatArray:
        """The f = log|E| at z; 0 at atoms."""
        t, above, _ = self.at(z)
        with np.errstate(all="ignore"):
            large = np.isinf(t) | np.isnan(t) | (t > 1) | (t < -2)
            inverse = np.where(np.isfinite(t), 1 / t, 0.0)
            return np.where(
                large, np.log1p(np.where(large, inverse, 0.0)), np.log(np.abs(above / t))
            )

    def inverse(self, f: FloatArray, sign: float, low: FloatArray, high: FloatArray) -> FloatArray:
        """The z in (low, high) where E = sign exp(f)."""
        scale = np.exp(f)

        def angle(z: FloatArray, which: IntArray) -> tuple[FloatArray, FloatArray]:
            size, (t, above, slope) = scale[which], self.at(z)
            with np.errstate(all="ignore"):
                value = np.arctan(above / (size * t))
                rise = -slope * (size / ((size * t) ** 2 + above**2))
                return np.where(np.isfinite(value), value, np.arctan(1 / size)), rise

        return increasing_roots(angle, np.full(f.size, 0.25 * np.pi * sign), low, high)


def values_of(f: FloatArray, sign: float) -> tuple[FloatArray, FloatArray]:
    """T and 1 + T where E = sign exp(f)."""
    with np.errstate(all="ignore"):
        if sign > 0:
            return 1 / np.expm1(f), -1 / np.expm1(-f)
        return -1 / (1 + np.exp(f)), 1 / (1 + np.exp(-f))


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A stretch of z > 0 on which E is finite and has one sign.

    Attributes:
        left, right: its ends; a `left` of 0 and a `right` of infinity are ends of the half-line.
        left_edge, right_edge: whether an end is an edge of the law, where E is neither 0 nor
            infinite.
        sign: of E.
    """

    left: float
    right: float
    left_edge: bool
    right_edge: bool
    sign: float


def pieces_of(eta: EtaTransform) -> list[Piece]:
    """All pieces in ascending order; T falls from atom to atom, through 0 and then through -1."""
    law = eta.law
    breaks = [*_crossings(eta, 0.0), *_crossings(eta, -1.0)]
    spans = [(a, b) for a, b in law.support_intervals() if b > 0]
    starts, ends = [0.0, *(b for _, b in spans)], [*(a for a, _ in spans), np.inf]
    found = []
    for start, end in zip(starts, ends, strict=True):
        if end <= start:
            continue
        inner = sorted(z for z in breaks if start < z < end)
        lefts, rights = [start, *inner], [*inner, end]
        for k, (left, right) in enumerate(zip(lefts, rights, strict=True)):
            middle = left + min(0.5 * (right - left), eta.unit)
            t, above, _ = eta.at(np.array([middle]))[:, 0]
            negative = t < 0 < above
            found.append(
                Piece(
                    left=left,
                    right=right,
                    left_edge=k == 0 and left > 0,
                    right_edge=k == len(inner) and bool(np.isfinite(right)),
                    sign=-1.0 if negative else 1.0,
                )
            )
    return found


def _crossings(eta: EtaTransform, level: float) -> list[float]:
    """Where T = level between components: there T falls, from infinity at an atom."""
    law = eta.law
    gaps = [(max(a, 0.0), b) for a, b in gaps_of(law) if np.isfinite(b) and b > 0]
    if not gaps:
        return []
    low, high = np.array(gaps).T
    row = 1 if level else 0

    def falling(z: FloatArray, _: IntArray) -> tuple[FloatArray, FloatArray]:
        values = eta.at(z)
        return -np.arctan(values[row]), -values[2] / (1 + values[row] ** 2)

    atoms = np.array(list(law.atoms))
    pad = np.maximum(NUDGE * (high - low), 2 * np.spacing(high))
    every = np.arange(low.size)
    # at 0 itself T is one less than the weight of the atom there
    rises = np.isin(low, atoms[atoms > 0]) | (falling(low + pad, every)[0] < 0)
    rises = np.where(low == 0, (level != 0) & np.isin(0.0, atoms), rises)
    falls = np.isin(high, atoms) | (falling(high - pad, every)[0] > 0)
    both = rises & falls
    if not both.any():
        return []
    roots = increasing_roots(falling, np.zeros(int(both.sum())), low[both], high[both])
    return [float(x) for x in roots]

r"""The free sum of laws without an explicit R-transform, any number of them at once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np

from hessium._random import Rng, generator
from hessium._typing import ComplexArray, FloatArray
from hessium.theory._fixed_point import FixedPoints, HalfPlaneMap, closed_form
from hessium.theory._half_plane import log_upper
from hessium.theory.convolution._branches import Branches, LawBranches
from hessium.theory.convolution._moebius import MoebiusPair
from hessium.theory.convolution._sum_branches import SumBranches
from hessium.theory.convolution._support_search import Stretch, position, rising_stretches, slope
from hessium.theory.convolution.additive import AdditiveConvolution, Gap, atoms_of_sum
from hessium.theory.ensembles import haar
from hessium.theory.laws.empirical import Empirical
from hessium.theory.laws.law import Law

Rows = TypeVar("Rows", FloatArray, ComplexArray)


@dataclass(frozen=True)
class GeneralSum(AdditiveConvolution, HalfPlaneMap):
    r"""$\mu_1 \boxplus \dots \boxplus \mu_k$: one fixed point in several variables.

    With $H_i = F_i - \mathrm{id}$, $F_i = 1/G_i$, the points satisfy
    $\omega_i = z + \sum_{j \ne i} H_j(\omega_j)$ and $F = F_i(\omega_i)$ for every i. The last
    one is eliminated; the other k - 1 are the fixed point of a self-map of a product of half-planes
    whose Jacobian is diagonal plus rank one, so that a step costs one evaluation of each law. For
    two laws it is $w \mapsto z + H_2(z + H_1(w))$ (Belinschi and Bercovici 2007). A real x is off
    the support iff $\sum_i (1 - 1/F_i'(\omega_i)) < 1$ at real $\omega_i$ off the supports (Bao,
    Erdos and Schnelli, J. Stat. Phys. 2020, for two).

    Args:
        laws: two or more.
    """

    laws: tuple[Law, ...]

    def _parts(
        self, z: ComplexArray, w: ComplexArray
    ) -> tuple[ComplexArray, ComplexArray, ComplexArray, ComplexArray]:
        """All points, shape (k, n), with G, H and F' - 1 of the laws there."""
        points = np.empty((len(self.laws), z.size), dtype=np.complex128)
        g, excess, rate = np.empty((3, *points.shape), dtype=np.complex128)
        points[:-1] = w
        for k, law in enumerate(self.laws):
            if k == len(w):
                last = z + excess[:k].sum(0)
                points[k] = last.real + 1j * np.maximum(last.imag, 0.0)
            g[k], excess[k], rate[k] = law.excess_above(points[k])
        return points, g, excess, rate

    def step(
        self, z: ComplexArray, w: ComplexArray
    ) -> tuple[ComplexArray, ComplexArray, ComplexArray]:
        """The Newton step by Sherman and Morrison; the rows are F' - 1 and the last point."""
        points, _, excess, rate = self._parts(z, w)
        image = z + excess[-1:]
        if len(w) > 1:
            image = image + _sums_of_others(excess[:-1])
        stretch, share, ratio = _jacobian(rate)
        error = image - w
        newton = stretch * (error + ratio * (share * error).sum(0))
        return image, newton, np.concatenate([rate, points[-1:]])

    def judged(
        self, z: ComplexArray, w: ComplexArray, rows: ComplexArray
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """A rounding error of a point is multiplied by F' - 1 there."""
        rate, last = rows[:-1], np.abs(rows[-1])
        stretch, share, ratio = _jacobian(rate)
        noise = np.abs(w) * np.abs(rate[:-1])
        size = np.abs(z) + np.abs(w) + last * (1 + np.abs(rate[-1]))
        if len(w) > 1:
            size = size + _sums_of_others(noise)
        spread = np.abs(ratio) * (np.abs(share) * size).sum(0)
        return size, np.abs(stretch) * (size + spread), (1 / ratio).real

    @property
    def _map(self) -> HalfPlaneMap:
        return self

    @cached_property
    def _moebius(self) -> MoebiusPair | None:
        pair = [law for law in self.laws if isinstance(law, Empirical) and law.nodes.size == 2]
        return MoebiusPair(*pair) if len(pair) == len(self.laws) == 2 else None

    def support_intervals(self) -> tuple[tuple[float, float], ...]:
        """The intervals between the gaps; closed forms for two laws on two points."""
        if self._moebius is None:
            return super().support_intervals()
        return self._moebius.support_intervals()

    def _solve(self, z: ComplexArray) -> FixedPoints:
        if self._moebius is None:
            return super()._solve(z)
        return closed_form(self, z, self._moebius.point(z))

    def _gap_mass(self, x: float) -> float:
        if self._moebius is None:
            return super()._gap_mass(x)
        atoms = sum(weight for location, weight in self.atoms.items() if location < x)
        return atoms + self._moebius.mass_below(x)

    def _start(self, z: ComplexArray) -> ComplexArray:
        return np.repeat(super()._start(z), len(self.laws) - 1, axis=0)

    def _at(self, z: ComplexArray, w: ComplexArray) -> tuple[ComplexArray, ComplexArray]:
        if self._moebius is not None:
            return self._moebius.cauchy(z)
        _, g, _, rate = self._parts(z, w)
        return g[0], -(g[0] * g[0]) / (1 - (rate / (1 + rate)).sum(0))

    def excess_above(self, z: ComplexArray) -> tuple[ComplexArray, ComplexArray, ComplexArray]:
        """F - z is the sum over the laws of F - id at their points."""
        _, g, excess, rate = self._parts(z, self._subordination(z))
        lack = (rate / (1 + rate)).sum(0)
        return g[0], excess.sum(0), lack / (1 - lack)

    def _potential_at(self, z: ComplexArray, w: ComplexArray) -> ComplexArray:
        points, g, _, _ = self._parts(z, w)
        return self._potential(points, 1 / g[0])

    def _potential(self, points: ComplexArray, f: ComplexArray) -> ComplexArray:
        phi = sum(law.log_potential_above(w) for law, w in zip(self.laws, points, strict=True))
        return np.asarray(phi - (len(self.laws) - 1) * log_upper(f))

    @property
    def atoms(self) -> dict[float, float]:
        """Sums of atoms whose weights add up to more than k - 1 (Bercovici and Voiculescu)."""
        return atoms_of_sum(self.laws)

    def free_cumulants(self, count: int) -> FloatArray:
        """Sums of the cumulants."""
        return np.asarray(sum(law.free_cumulants(count) for law in self.laws))

    def matrix(self, n: int, rng: Rng = None) -> FloatArray:
        """The first matrix plus the others, each in a Haar basis of its own."""
        first, *others = self.laws
        source, *children = generator(rng).spawn(2 * len(self.laws) - 1)
        total = first.matrix(n, source)
        for law, one, basis in zip(others, children[::2], children[1::2], strict=True):
            q = haar(n, basis)
            total = total + q @ law.matrix(n, one) @ q.T
        return np.asarray(total)

    @cached_property
    def _order(self) -> list[int]:
        """The laws in the order in which branches are added: those with the fewest first."""
        size = [len(law.atoms) + len(law.support_intervals()) for law in self.laws]
        return sorted(range(len(size)), key=size.__getitem__)

    @cached_property
    def _branches(self) -> tuple[Branches, Branches]:
        first, *others, last = (LawBranches(self.laws[k]) for k in self._order)
        total: Branches = first
        for other in others:
            total = SumBranches(total, other)
        return total, last

    def _stretches(self) -> list[Stretch]:
        return rising_stretches(*self._branches, self.std())

    def _values(self, stretch: Stretch, f: FloatArray) -> tuple[FloatArray, FloatArray]:
        ours, theirs = self._branches
        k = np.zeros(f.shape, dtype=np.int64)
        return ours.at(k + stretch.first, f), theirs.at(k + stretch.second, f)

    def _position(self, stretch: Stretch, f: FloatArray) -> tuple[FloatArray, FloatArray]:
        one, two = self._values(stretch, f)
        return position(one, two), slope(one[2:], two[2:])

    def _place(self, stretch: Stretch, f: FloatArray) -> FloatArray:
        """All points but the last."""
        return self._places(stretch, f)[:-1]

    def _places(self, stretch: Stretch, f: FloatArray) -> FloatArray:
        ours, theirs = self._branches
        k = np.zeros(f.shape, dtype=np.int64)
        found = [*ours.places(k + stretch.first, f), *theirs.places(k + stretch.second, f)]
        return np.array(found)[np.argsort(self._order)]

    def _potential_on(self, stretch: Stretch, f: FloatArray) -> ComplexArray:
        points = self._places(stretch, f).astype(np.complex128)
        return self._potential(points, f.astype(np.complex128))

    def _mass_on(self, gap: Gap, x: float) -> float:
        f = self._middle(gap, x)
        points = self._places(gap.stretch, np.array([f]))
        below = sum(float(law.cdf(w)[0]) for law, w in zip(self.laws, points, strict=True))
        return below - (len(self.laws) - 1) * float(f > 0)


def _jacobian(rate: ComplexArray) -> tuple[ComplexArray, ComplexArray, ComplexArray]:
    r"""$(I - f')^{-1} = D(I + c\,1 s^T)$, $f' = (1 + r_k) 1 r^T - \mathrm{diag}(r)$: D, s and c."""
    stretch, last = 1 / (1 + rate[:-1]), 1 + rate[-1]
    share = rate[:-1] * stretch
    return stretch, share, last / (1 - last * share.sum(0))


def _sums_of_others(values: Rows) -> Rows:
    """For each row the sum of the other rows, without subtraction."""
    rows = [np.delete(values, k, axis=0).sum(0) for k in range(len(values))]
    return np.array(rows, dtype=values.dtype)

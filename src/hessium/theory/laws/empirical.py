"""A finite spectrum as a law."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hessium._typing import ArrayLike, ComplexArray, FloatArray
from hessium.spectra import DiscreteMeasure, Measure, Spectrum
from hessium.theory import _check
from hessium.theory.laws.cumulants import to_cumulants
from hessium.theory.laws.law import Law

_BLOCK = 1 << 20  # complex numbers held at once: 16 MiB


_FAR = 10.0  # widths


@dataclass(frozen=True, init=False, eq=False)
class Empirical(Law):
    r"""$\sum_i w_i \delta_{\lambda_i}$: the eigenvalues of one matrix, to be added to other laws.

    The law consists of atoms: `pdf` is zero and `support_intervals` is empty.

    Args:
        eigenvalues: real numbers of any shape, or a spectrum.
        weights: positive, summing to one; equal if not given.

    Raises:
        InputError: if the spectrum is empty, complex or not finite, or the weights
            are not probabilities.

    Example:
        >>> law = hs.theory.Empirical([0.0, 1.0, 2.0])
        >>> law.mean(), len(law.atoms)
        (1.0, 3)
    """

    nodes: FloatArray
    weights: FloatArray

    def __init__(self, eigenvalues: ArrayLike | Measure, weights: ArrayLike | None = None) -> None:
        if isinstance(eigenvalues, Measure):
            measure: Measure = eigenvalues
        else:
            nodes = _check.spectrum("eigenvalues", eigenvalues)
            if weights is None:
                measure = Spectrum.of(nodes)
            else:
                shares = _check.reals("weights", weights).reshape(-1)
                measure = DiscreteMeasure(nodes=nodes, weights=shares)
        nodes, index = np.unique(measure.nodes, return_inverse=True)
        total = np.bincount(index, measure.weights)
        keep = total > 0
        nodes, total = nodes[keep], total[keep] / total.sum()
        nodes.flags.writeable = total.flags.writeable = False
        object.__setattr__(self, "nodes", nodes)
        object.__setattr__(self, "weights", total)

    @property
    def atoms(self) -> dict[float, float]:
        """The distinct eigenvalues and their shares."""
        return dict(zip(self.nodes.tolist(), self.weights.tolist(), strict=True))

    def support_intervals(self) -> tuple[tuple[float, float], ...]:
        """Empty, because the law consists of atoms."""
        return ()

    def free_cumulants(self, count: int) -> FloatArray:
        """From the moments of the eigenvalues about their mean."""
        orders = np.arange(1, _check.count("count", count, 0) + 1)
        mean = float(self.weights @ self.nodes)
        moments = np.array([self.weights @ (self.nodes - mean) ** k for k in orders])
        cumulants = to_cumulants(moments)
        cumulants[:1] = mean
        return cumulants

    def cdf(self, x: ArrayLike) -> FloatArray:
        """Share of the eigenvalues in (-inf, x]."""
        points = _check.reals("x", x)
        return DiscreteMeasure(nodes=self.nodes, weights=self.weights).cdf(points)

    def _distribution(self, x: FloatArray) -> FloatArray:
        return self.cdf(x)

    def cauchy_above(self, z: ComplexArray) -> tuple[ComplexArray, ComplexArray]:
        """Sums over the eigenvalues."""
        g, slope = np.empty_like(z), np.empty_like(z)
        # real numbers divide several times as fast
        points = z if z.imag.any() else z.real
        with np.errstate(all="ignore"):
            for part in self._blocks(z.size):
                inverse = 1 / (points[part, None] - self.nodes)
                g[part] = inverse @ self.weights
                slope[part] = -(inverse * inverse) @ self.weights
        return g, slope

    def excess_above(self, z: ComplexArray) -> tuple[ComplexArray, ComplexArray, ComplexArray]:
        r"""$H = \sum_i w_i (c - \lambda_i) y_i / G - c$, $F' - 1 = \sum_i w_i (y_i - G)^2 / G^2$.

        Here $y_i = 1/(z - \lambda_i)$, and c is the median. Beside an atom of nearly full
        weight F and z cancel; elsewhere their difference may be more accurate.
        """
        centre, columns = self._columns
        sums, rate = np.empty((2, z.size), dtype=np.complex128), np.empty_like(z)
        with np.errstate(all="ignore"):
            for part in self._blocks(z.size):
                inverse = 1 / (z[part, None] - self.nodes)
                sums[:, part] = columns @ inverse.T
                inverse -= sums[0, part, None]
                rate[part] = np.square(inverse, out=inverse) @ columns[0]
            f, share = 1 / sums[0], sums[1] / sums[0]
            cancels = np.abs(f) + np.abs(z) > np.abs(share) + abs(centre)
            return sums[0], np.where(cancels, share - centre, f - z), rate * (f * f)

    @cached_property
    def _columns(self) -> tuple[float, ComplexArray]:
        """The median, the weights, and the weights times the distance to the median."""
        centre = float(self.nodes[np.searchsorted(np.cumsum(self.weights), 0.5)])
        rows = np.array([self.weights, self.weights * (centre - self.nodes)])
        return centre, rows.astype(np.complex128)

    def log_potential_above(self, z: ComplexArray) -> ComplexArray:
        """The sum over the eigenvalues."""
        phi = np.empty_like(z)
        for part in self._blocks(z.size):
            phi[part] = np.log(z[part, None] - self.nodes) @ self.weights
        return phi

    def _blocks(self, size: int) -> list[slice]:
        rows = max(1, _BLOCK // self.nodes.size)
        return [slice(k, k + rows) for k in range(0, size, rows)]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Empirical):
            return NotImplemented
        same = np.array_equal(self.nodes, other.nodes)
        return same and np.array_equal(self.weights, other.weights)

    def __hash__(self) -> int:
        return hash((self.nodes.tobytes(), self.weights.tobytes()))

    def __repr__(self) -> str:
        return f"Empirical({self.nodes.size} points in [{self.nodes[0]:.6g}, {self.nodes[-1]:.6g}])"


def centred(law: Law) -> tuple[Law, float]:
    """A finite spectrum less its median, and the median, where that is far beyond its width.

    The width is that of the central nine tenths, which a light atom far away does not change. Other
    laws are returned unchanged, with zero.
    """
    if not isinstance(law, Empirical):
        return law, 0.0
    low, median, high = law.ppf([0.05, 0.5, 0.95])
    if abs(median) <= _FAR * (high - low):
        return law, 0.0
    return Empirical(law.nodes - median, weights=law.weights), float(median)

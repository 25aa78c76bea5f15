r"""Gauss quadrature from a tridiagonal matrix, with sharp bounds on the underlying measure.

Lanczos from a vector z gives the Gauss rule of the measure
$\mu_z = \sum_i (u_i^T z)^2 / |z|^2\, \delta_{\lambda_i}$. The rule also gives sharp bounds: among
all measures with the same moments, the Gauss-Radau rule with a node at x attains the largest and
the smallest mass left of x (Chebyshev, Markov, Stieltjes; Golub & Meurant 2010, ch. 3 and 6).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.linalg

from hessium._threads import blas_threads
from hessium._typing import FloatArray

_TOGETHER = 2**22  # matrix entries of the small eigenproblems that are solved in one call
_LARGEST = 1e6  # of a diagonal entry over the others: beyond it rounding would spoil the others


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GaussRule:
    """Gauss rule of the spectral measure of a start vector, from a Lanczos run.

    Attributes:
        diagonal: of the tridiagonal matrix, shape (m,).
        offdiagonal: subdiagonal, followed by the norm of the residual, shape (m,); a residual of
            zero means that the rule equals the measure.
        mass: of the measure: the squared norm of the start vector.
    """

    diagonal: FloatArray
    offdiagonal: FloatArray
    mass: float = 1.0

    @property
    def complete(self) -> bool:
        """Whether the Krylov space is invariant, so that the rule is exact."""
        return bool(self.offdiagonal[-1] == 0.0)

    def gauss(self) -> tuple[FloatArray, FloatArray]:
        """Nodes, ascending, and weights with sum one, shapes (m,)."""
        return self._rule(self.diagonal, self.offdiagonal[:-1])

    def coarser(self) -> tuple[FloatArray, FloatArray]:
        """Nodes and weights of the Gauss rule with one node less, shapes (m - 1,)."""
        return self._rule(self.diagonal[:-1], self.offdiagonal[:-2])

    def antigauss(self) -> tuple[FloatArray, FloatArray]:
        r"""The rule of m nodes whose error is that of `coarser` with the other sign.

        On polynomials of degree up to 2 m - 1; its last off-diagonal entry is that of the Gauss
        rule times $\sqrt2$ (Laurie 1996, "Anti-Gaussian quadrature formulas", Math. Comp. 65).
        """
        return self._rule(
            self.diagonal, np.append(self.offdiagonal[:-2], 2**0.5 * self.offdiagonal[-2])
        )

    @staticmethod
    def _rule(diagonal: FloatArray, offdiagonal: FloatArray) -> tuple[FloatArray, FloatArray]:
        with blas_threads(diagonal.size):
            nodes, vectors = scipy.linalg.eigh_tridiagonal(diagonal, offdiagonal)
        return np.asarray(nodes, dtype=np.float64), np.asarray(vectors[0] ** 2, dtype=np.float64)

    def radau(self, endpoint: float) -> tuple[FloatArray, FloatArray]:
        """Nodes and weights of the rule with one more node, fixed outside of the spectrum.

        Golub & Meurant 2010, section 6.2: the last diagonal entry makes `endpoint` an eigenvalue.
        """
        if self.complete:
            return self.gauss()
        pivot = np.inf  # of the factorisation of T - endpoint, one after the other
        for entry, before in zip(self.diagonal, [0.0, *self.offdiagonal[:-1]], strict=True):
            pivot = entry - endpoint - before**2 / pivot
        last = endpoint + self.offdiagonal[-1] ** 2 / pivot
        return self._rule(np.append(self.diagonal, last), self.offdiagonal)

    def cdf_brackets(self, x: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
        r"""Bounds on $\mu((-\infty, x])$ that hold for every measure with these moments.

        Rounding moves atoms by about machine epsilon times their size: if x may be an atom,
        evaluate the lower bound slightly left of it and the upper bound slightly right.

        Args:
            x: finite points, any shape.

        Returns:
            Lower and upper bounds in the shape of x, fractions of the mass, sharp: the Gauss-Radau
            rule with a node at x attains both, with its mass at x counted or not.
        """
        points = np.asarray(x, dtype=np.float64)
        flat = points.reshape(-1)
        if self.complete:
            nodes, weights = self.gauss()
            below = np.concatenate([[0.0], np.cumsum(weights)])
            exact = below[np.searchsorted(nodes, flat, side="right")].clip(0.0, 1.0)
            return exact.reshape(points.shape), exact.reshape(points.shape).copy()
        lower, upper = np.empty(flat.size), np.empty(flat.size)
        step = max(1, _TOGETHER // (self.diagonal.size + 1) ** 2)
        for first in range(0, flat.size, step):
            part = slice(first, first + step)
            lower[part], upper[part] = self._radau(flat[part])
        return lower.reshape(points.shape), upper.reshape(points.shape)

    def open_mass(self, points: int = 65) -> float:
        """Half-width of the brackets on the cdf, averaged over the range of the nodes."""
        if self.complete:
            return 0.0
        nodes, _ = self.gauss()
        lower, upper = self.cdf_brackets(np.linspace(nodes[0], nodes[-1], points))
        return float((upper - lower).mean() / 2)

    def _radau(self, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        m = self.diagonal.size
        last, is_node = self._radau_entry(x)
        matrix = np.zeros((x.size, m + 1, m + 1))
        index = np.arange(m)
        matrix[:, index, index] = self.diagonal
        matrix[:, m, m] = last
        # the lower triangle is what eigh reads; without its last row this is the Gauss rule
        matrix[:, index + 1, index] = self.offdiagonal
        matrix[is_node, m, m - 1] = 0.0
        with blas_threads(m):
            nodes, vectors = np.linalg.eigh(matrix)
        weights = vectors[:, 0, :] ** 2
        at = np.abs(nodes - x[:, None]).argmin(axis=1)
        rows = np.arange(x.size)
        upper = np.cumsum(weights, axis=1)[rows, at]
        return (upper - weights[rows, at]).clip(0.0, 1.0), upper.clip(0.0, 1.0)

    def _radau_entry(self, x: FloatArray) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
        """The last diagonal entry that makes x a node (Golub 1973), by the pivots of T - x.

        Where x is a Gauss node already the entry is infinite and takes no mass.
        """
        scale = float(np.abs(self.diagonal).max() + self.offdiagonal.max())
        # in units of the measure: squares may overflow
        alphas, betas, points = self.diagonal / scale, self.offdiagonal / scale, x / scale
        tiny = np.finfo(np.float64).eps
        pivot = alphas[0] - points
        for a, b in zip(alphas[1:], betas[:-1], strict=True):
            pivot = np.where(np.abs(pivot) < tiny, np.copysign(tiny, pivot), pivot)
            pivot = a - points - b**2 / pivot
        is_node = np.abs(pivot) * _LARGEST < betas[-1] ** 2
        outside = alphas.min() - 2
        shift = betas[-1] ** 2 / np.where(is_node, 1.0, pivot)
        return scale * np.where(is_node, outside, points + shift), is_node

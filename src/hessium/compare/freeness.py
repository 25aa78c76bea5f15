r"""Test whether two symmetric matrices are in generic position (asymptotically free).

A and $QBQ^T$ with Haar Q are free as n grows, so statistics of the pair (A, B) are compared with
those of (A, $QBQ^T$): spectrum and mixed moments. The test over rotations is exact at every size:
if the eigenvectors of B are Haar relative to those of A, the pair and its rotations are
exchangeable. The null hypothesis is that the eigenvectors of B are uniformly distributed relative
to those of A. It implies asymptotic freeness; less random families that are free in the limit (for
example two fixed sequences of matrices) may be rejected.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hessium import _arguments
from hessium._display import Displayable
from hessium._random import Rng, generator
from hessium._typing import FloatArray
from hessium.compare.distance import kolmogorov
from hessium.compare.mixed_moments import (
    PAIRS,
    MixedMoment,
    free_moments,
    names_of,
    pair_of,
)
from hessium.errors import InputError
from hessium.linalg import SymmetricOperator
from hessium.linalg.adapt import Operator
from hessium.linalg.dense_matrices import require_memory
from hessium.progress import Progress, silent
from hessium.spectra import Measure, Spectrum
from hessium.theory import Empirical, Law, free_sum, haar

_DIGITS = 10  # of the largest eigenvalue, in which spectra are compared


@dataclass(frozen=True, slots=True, kw_only=True, repr=False, eq=False)
class Freeness(Displayable):
    r"""Comparison of a pair of matrices with its Haar rotations.

    Attributes:
        size: n.
        moments: normalised mixed moments up to order four.
        p_value: of the moments among those of the rotations, at least 1/(rotations + 1).
        spectrum: of A + B.
        rotated: spectra of $A + QBQ^T$, ascending, shape (rotations, n).
        distance: Kolmogorov distance of `spectrum` from the mean of the rotated ones.
        rotated_distances: of each rotated spectrum from the mean of all others, shape (rotations,).
        distance_p_value: rank of `distance` among these.
        first, second: spectra of A and B.

    Example:
        >>> a = hs.theory.wishart(60, 120, rng=1)
        >>> found = hs.compare.freeness(a, a, rotations=19, rng=0)
        >>> found.p_value < 0.1  # no matrix is free of itself
        True
    """

    size: int
    moments: tuple[MixedMoment, ...]
    p_value: float
    spectrum: Measure
    rotated: FloatArray
    distance: float
    rotated_distances: FloatArray
    distance_p_value: float
    first: Measure
    second: Measure

    @property
    def law(self) -> Law:
        """The free sum of the two measured spectra; its density and quantiles cost O(n) a point."""
        return free_sum(Empirical(self.first), Empirical(self.second))

    def law_distance(self) -> float:
        """Kolmogorov distance of the spectrum of A + B from the free sum."""
        return kolmogorov(self.spectrum, self.law)[0]

    def __repr__(self) -> str:
        worst = max(self.moments, key=lambda m: abs(m.z))
        return (
            f"Freeness(n = {self.size}: p {self.p_value:.2g} from {len(self.rotated)} rotations, "
            f"largest excess {worst.name} = {worst.value:.3g} ({worst.z:+.1f} sd); spectrum of "
            f"A + B {self.distance:.2g} from the rotated ones, p {self.distance_p_value:.2g})"
        )


def freeness(
    first: Operator | SymmetricOperator | Tensor,
    second: Operator | SymmetricOperator | Tensor,
    *,
    rotations: int = 99,
    rng: Rng = None,
    max_bytes: int = 2**33,
    progress: Progress = silent,
) -> Freeness:
    r"""Exact test of freeness of two operators, from dense matrices.

    The statistic is the sum of squared excesses of seven mixed moments: $\tau(p_i(A) q_j(B))$,
    $i + j \le 4$, with $p_i$, $q_j$ the orthonormal polynomials of the two spectra, and
    $\tau(p_1(A) q_1(B) p_1(A) q_1(B))$. For Haar Q the six have mean zero and variance
    $n^2/((n-1)(n+2)) \cdot 2/n^2$ exactly and are uncorrelated; commuting independent matrices
    pass them and fail the seventh, which is 1 where free pairs have 1/n. The p-value is the rank
    of the statistic among the rotated pairs: at significance level $\alpha$ a pair in generic
    position is rejected with probability at most $\alpha$, at any n.

    Args:
        first: A.
        second: B, of the same size.
        rotations: Haar rotations; the smallest p-value is 1/(rotations + 1).
        rng: seed.
        max_bytes: memory limit for all dense matrices.
        progress: called with rotations done and rotations in all.

    Raises:
        InputError: if sizes differ, matrices do not fit, or one of them is a multiple of the
            identity, which is free of every matrix.

    Cost: two eigendecompositions; one, a QR and two products of n x n matrices for each rotation.

    Example:
        >>> a, b = hs.theory.goe(60, rng=0), hs.theory.wishart(60, 120, rng=1)
        >>> hs.compare.freeness(a, b, rotations=19, rng=0).p_value > 0.05
        True
    """
    rotations = _arguments.count("rotations", rotations)
    a, b = pair_of(first, second)
    require_memory(a.shape[0], torch.float64, max_bytes // 6)
    (x, left), (y, right) = (_eigen(one, max_bytes) for one in (a, b))
    basis = _Basis(x, y)
    own = left.T @ right  # the eigenvectors of B in the eigenbasis of A
    source, n = generator(rng), x.size
    moments, spectra = [basis.moments(own)], [basis.sum_spectrum(own)]
    for done in range(rotations):
        progress(done, rotations, "rotations")
        turn = haar(n, source)
        moments.append(basis.moments(turn))
        spectra.append(basis.sum_spectrum(turn))
    progress(rotations, rotations, "rotations")
    free_mean, free_spread = free_moments(n, len(basis.pairs))
    scores = (((np.array(moments) - free_mean) / free_spread) ** 2).sum(axis=1)
    distances = _leave_one_out(np.array(spectra))
    return Freeness(
        size=n,
        moments=tuple(
            MixedMoment(
                name=name, value=float(v), stderr=0.0, free_mean=float(m), free_spread=float(s)
            )
            for name, v, m, s in zip(
                names_of(basis.pairs), moments[0], free_mean, free_spread, strict=True
            )
        ),
        p_value=_rank(scores),
        spectrum=Spectrum.of(spectra[0]),
        rotated=np.array(spectra[1:]),
        distance=float(distances[0]),
        rotated_distances=distances[1:],
        distance_p_value=_rank(distances),
        first=Spectrum.of(x),
        second=Spectrum.of(y),
    )


class _Basis:
    """Two spectra with their orthonormal polynomials, invariant under rotations."""

    def __init__(self, x: FloatArray, y: FloatArray) -> None:
        self._x, self._y = x, y
        self._p, self._q = (_orthonormal(one) for one in (x, y))
        highest = len(self._p) - 1, len(self._q) - 1
        if 0 in highest:
            name = ("first", "second")[highest.index(0)]
            msg = f"{name}: a multiple of the identity, which is free of every matrix"
            raise InputError(msg)
        self.pairs = tuple((i, j) for i, j in PAIRS if i <= highest[0] and j <= highest[1])

    def moments(self, turn: FloatArray) -> FloatArray:
        """Of diag(x) and turn diag(y) turn', shape (pairs + 1,)."""
        n, squares = self._x.size, turn**2
        pairs = [self._p[i] @ squares @ self._q[j] / n for i, j in self.pairs]
        rotated = (turn * self._q[1]) @ turn.T
        return np.array([*pairs, self._p[1] @ rotated**2 @ self._p[1] / n])

    def sum_spectrum(self, turn: FloatArray) -> FloatArray:
        """Eigenvalues of diag(x) + turn diag(y) turn'."""
        total = (turn * self._y) @ turn.T
        total[np.diag_indices(self._x.size)] += self._x
        return np.asarray(np.linalg.eigvalsh(total))


def _orthonormal(values: FloatArray) -> list[FloatArray]:
    """Polynomials of degree 0 to 3 at the eigenvalues; fewer if fewer are distinct."""
    n = values.size
    found = [np.ones(n)]
    inner = (values - values.mean()) / (np.abs(values - values.mean()).max() or 1.0)
    for _ in range(3):
        fresh = inner * found[-1]
        for _ in range(2):
            for one in found:
                fresh = fresh - (one @ fresh / n) * one
        norm = float(np.sqrt(fresh @ fresh / n))
        if norm < 1e-8:
            break
        found.append(fresh / norm)
    return found


def _eigen(operator: SymmetricOperator, max_bytes: int) -> tuple[FloatArray, FloatArray]:
    values, vectors = np.linalg.eigh(operator.dense(max_bytes=max_bytes).double().cpu().numpy())
    return values, vectors


def _leave_one_out(spectra: FloatArray) -> FloatArray:
    """Kolmogorov distance of each spectrum from the mean of the others."""
    draws, n = spectra.shape
    # equal eigenvalues differ by rounding, which must not count as a difference
    spectra = np.round(spectra / max(float(np.abs(spectra).max()), 1e-300), _DIGITS)
    grid = np.quantile(spectra, np.linspace(0, 1, 4 * n + 1))
    levels = np.array([np.searchsorted(row, grid, side="right") for row in spectra]) / n
    others = (levels.sum(axis=0) - levels) / max(draws - 1, 1)
    return np.asarray(np.abs(levels - others).max(axis=1))


def _rank(scores: FloatArray) -> float:
    """Fraction of scores at least as large as the first one, itself included."""
    return float((scores >= scores[0]).mean())

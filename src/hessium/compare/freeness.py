r"""Are two symmetric matrices in generic position to each other, as free independence has it?

A and $QBQ^T$ with Haar Q are free as n grows, so everything that is measured of the pair (A, B) is
set beside the same measurement on (A, $QBQ^T$): its spectrum, its outliers, its mixed moments. The
test over rotations is exact at every size: if the eigenvectors of B are Haar relative to those of
A, the pair and its rotations are exchangeable.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hessium._random import Rng, generator
from hessium._typing import FloatArray
from hessium.compare.distance import kolmogorov
from hessium.errors import InputError
from hessium.linalg import SymmetricOperator
from hessium.linalg.adapt import Operator, as_operator
from hessium.linalg.operator import require_memory
from hessium.measure import DiscreteMeasure
from hessium.progress import Progress, silent
from hessium.theory import Empirical, Law, free_sum, haar

_DIGITS = 10  # of the largest eigenvalue, in which spectra are compared

PAIRS = ((1, 1), (2, 1), (1, 2), (3, 1), (2, 2), (1, 3))
"""Degrees (i, j) of the orthonormal polynomials in $\\tau(p_i(A) q_j(B))$."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MixedMoment:
    r"""One normalised mixed moment; zero for free matrices.

    Attributes:
        name: such as "p1(A) q2(B)".
        value: the moment, with $|\tau(p_i(A) q_j(B))| \le 1$.
        stderr: error of estimation: 0 where matrices are dense.
        free_mean: expectation for a Haar-rotated pair of this size.
        free_spread: standard deviation there.
    """

    name: str
    value: float
    stderr: float
    free_mean: float
    free_spread: float

    @property
    def z(self) -> float:
        """Excess in standard deviations of a free pair, estimation error included."""
        return (self.value - self.free_mean) / float(np.hypot(self.free_spread, self.stderr))


@dataclass(frozen=True, slots=True, kw_only=True, repr=False, eq=False)
class Freeness:
    r"""A pair of matrices beside its Haar rotations.

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
    """

    size: int
    moments: tuple[MixedMoment, ...]
    p_value: float
    spectrum: DiscreteMeasure
    rotated: FloatArray
    distance: float
    rotated_distances: FloatArray
    distance_p_value: float
    first: DiscreteMeasure
    second: DiscreteMeasure

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
    r"""Test whether two operators are free of each other, exactly, from dense matrices.

    The statistic is the sum of squared excesses of seven mixed moments: $\tau(p_i(A) q_j(B))$,
    $i + j \le 4$, with $p_i$, $q_j$ the orthonormal polynomials of the two spectra, and
    $\tau(p_1(A) q_1(B) p_1(A) q_1(B))$. For Haar Q the six have mean zero and variance
    $n^2/((n-1)(n+2)) \cdot 2/n^2$ exactly and are uncorrelated; commuting independent matrices
    pass them and fail the seventh, which is 1 where free pairs have 1/n. The p-value is the rank
    of the statistic among the rotated pairs: a pair in generic position is rejected at level
    $\alpha$ with probability at most $\alpha$, at any n.

    Args:
        first: A.
        second: B, of the same size.
        rotations: Haar rotations; the smallest p-value is 1/(rotations + 1).
        rng: seed.
        max_bytes: what the dense matrices may take together.
        progress: called with rotations done and rotations in all.

    Raises:
        InputError: if sizes differ, matrices do not fit, or one of them is a multiple of the
            identity: it is free of everything.

    Cost: two eigendecompositions; one, a QR and two products of n x n matrices for each rotation.
    """
    if isinstance(rotations, bool) or rotations < 1:
        msg = f"rotations: {rotations}; at least 1 is required"
        raise InputError(msg)
    a, b = _pair(first, second)
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
    free_mean, free_spread = _free_moments(n, len(basis.pairs))
    scores = (((np.array(moments) - free_mean) / free_spread) ** 2).sum(axis=1)
    distances = _leave_one_out(np.array(spectra))
    return Freeness(
        size=n,
        moments=tuple(
            MixedMoment(
                name=name, value=float(v), stderr=0.0, free_mean=float(m), free_spread=float(s)
            )
            for name, v, m, s in zip(
                _names(basis.pairs), moments[0], free_mean, free_spread, strict=True
            )
        ),
        p_value=_rank(scores),
        spectrum=DiscreteMeasure.uniform(spectra[0]),
        rotated=np.array(spectra[1:]),
        distance=float(distances[0]),
        rotated_distances=distances[1:],
        distance_p_value=_rank(distances),
        first=DiscreteMeasure.uniform(x),
        second=DiscreteMeasure.uniform(y),
    )


def mixed_moments(
    first: Operator | SymmetricOperator | Tensor,
    second: Operator | SymmetricOperator | Tensor,
    *,
    probes: int = 32,
    rng: Rng = None,
    progress: Progress = silent,
) -> tuple[MixedMoment, ...]:
    r"""The mixed moments of two operators that fit no matrix, by random probes.

    With Gaussian probes z all moments are averages of inner products of $A^k z$, $B^k z$
    ($k \le 3$), ABz and BAz. `stderr` is the jackknife over probes; normalisation and
    centring are estimated from the same probes and their error is part of it. `z` has the spread
    of a free pair added.

    Args:
        first: A.
        second: B.
        probes: random vectors, at least 4.
        rng: seed.
        progress: called with probes done and probes in all.

    Raises:
        InputError: if an argument breaks its rule.

    Cost: four products with each operator for each probe.
    """
    if isinstance(probes, bool) or probes < 4:
        msg = f"probes: {probes}; at least 4 are required for an error"
        raise InputError(msg)
    a, b = _pair(first, second)
    n, source = a.shape[0], generator(rng)
    rows = []
    for done in range(probes):
        progress(done, probes, "probes")
        z = torch.from_numpy(source.standard_normal((n, 1))).to(dtype=a.dtype, device=a.device)
        az, bz = a @ z, b @ z
        aaz, abz, baz, bbz = a @ az, a @ bz, b @ az, b @ bz
        # rows: A^k z and B^k z, k = 0 to 3, then ABz and BAz
        vectors = torch.cat([z, az, aaz, a @ aaz, bz, bbz, b @ bbz, abz, baz], dim=1)
        rows.append((vectors.mT @ vectors).double().cpu().numpy() / n)
    progress(probes, probes, "probes")
    table = np.array(rows)
    whole = _normalised(table.mean(axis=0))
    left_out = np.array(
        [_normalised(np.delete(table, k, axis=0).mean(axis=0)) for k in range(probes)]
    )
    errors = np.sqrt((probes - 1) * left_out.var(axis=0))
    free_mean, free_spread = _free_moments(n, len(PAIRS))
    return tuple(
        MixedMoment(
            name=name, value=float(v), stderr=float(e), free_mean=float(m), free_spread=float(s)
        )
        for name, v, e, m, s in zip(
            _names(PAIRS), whole, errors, free_mean, free_spread, strict=True
        )
    )


class _Basis:
    """Two spectra with their orthonormal polynomials: what does not change under rotations."""

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
    """Polynomials of degree 0 to 3 at the eigenvalues; fewer where fewer are distinct."""
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


def _normalised(products: FloatArray) -> FloatArray:
    """Mixed moments from the averaged inner products of `mixed_moments`."""
    a, b = [0, 1, 2, 3], [0, 4, 5, 6]
    p, q = (np.linalg.inv(np.linalg.cholesky(products[np.ix_(w, w)])) for w in (a, b))
    mixed = products[np.ix_(a, b)]  # tau(A^k B^l)
    pairs = [p[i, : i + 1] @ mixed[: i + 1, : j + 1] @ q[j, : j + 1] for i, j in PAIRS]
    unit = products[0, 0]
    alpha, beta = products[0, 1] / unit, products[0, 4] / unit
    centred = (
        products[7, 8]
        - 2 * alpha * mixed[1, 2]
        - 2 * beta * mixed[2, 1]
        + alpha**2 * products[4, 4]
        + beta**2 * products[1, 1]
        + 4 * alpha * beta * mixed[1, 1]
        - 3 * alpha**2 * beta**2 * unit
    )
    scale = (products[1, 1] / unit - alpha**2) * (products[4, 4] / unit - beta**2)
    return np.array([*pairs, centred / unit / scale])


def _free_moments(n: int, pairs: int) -> tuple[FloatArray, FloatArray]:
    """Mean and standard deviation of the moments of a Haar-rotated pair.

    Those of the pairs are exact, and so is the mean of the last moment; its deviation is the limit.
    """
    mean = np.array([0.0] * pairs + [(n - 2) / ((n - 1) * (n + 2))])
    spread = np.array([np.sqrt(2 / ((n - 1) * (n + 2)))] * pairs + [2 / n])
    return mean, spread


def _names(pairs: Sequence[tuple[int, int]]) -> list[str]:
    return [*(f"p{i}(A) q{j}(B)" for i, j in pairs), "p1(A) q1(B) p1(A) q1(B)"]


def _pair(
    first: Operator | SymmetricOperator | Tensor, second: Operator | SymmetricOperator | Tensor
) -> tuple[SymmetricOperator, SymmetricOperator]:
    a, b = as_operator(first), as_operator(second)
    if a.shape != b.shape:
        msg = f"first, second: sizes {a.shape[0]} and {b.shape[0]}; they must be equal"
        raise InputError(msg)
    return a, b


def _eigen(operator: SymmetricOperator, max_bytes: int) -> tuple[FloatArray, FloatArray]:
    values, vectors = np.linalg.eigh(operator.dense(max_bytes=max_bytes).double().cpu().numpy())
    return values, vectors


def _leave_one_out(spectra: FloatArray) -> FloatArray:
    """Kolmogorov distance of each spectrum from the mean of the others."""
    draws, n = spectra.shape
    # equal eigenvalues come out different to rounding, which is no difference of distributions
    spectra = np.round(spectra / max(float(np.abs(spectra).max()), 1e-300), _DIGITS)
    grid = np.quantile(spectra, np.linspace(0, 1, 4 * n + 1))
    levels = np.array([np.searchsorted(row, grid, side="right") for row in spectra]) / n
    others = (levels.sum(axis=0) - levels) / max(draws - 1, 1)
    return np.asarray(np.abs(levels - others).max(axis=1))


def _rank(scores: FloatArray) -> float:
    """Share of scores at least as large as the first one, itself included."""
    return float((scores >= scores[0]).mean())

"""Mixed moments of two matrices and their values for free pairs; from probes if too large."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hessium import _arguments
from hessium._display import Displayable
from hessium._random import Rng, generator
from hessium._typing import FloatArray
from hessium.errors import InputError
from hessium.linalg import SymmetricOperator
from hessium.linalg.adapt import Operator, as_operator
from hessium.progress import Progress, silent
from hessium.spectra.measure import relative_resolution

_POWERS = ([0, 1, 2, 3], [0, 4, 5, 6])  # columns of A^k z and of B^k z, k = 0 to 3

PAIRS = ((1, 1), (2, 1), (1, 2), (3, 1), (2, 2), (1, 3))
"""Degrees (i, j) of the orthonormal polynomials in $\\tau(p_i(A) q_j(B))$."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MixedMoment(Displayable):
    r"""One normalised mixed moment; zero for free matrices.

    Attributes:
        name: such as "p1(A) q2(B)".
        value: the moment, with $|\tau(p_i(A) q_j(B))| \le 1$.
        stderr: standard error: 0 for dense matrices.
        free_mean: expectation for a Haar-rotated pair of this size.
        free_spread: standard deviation there.

    Example:
        >>> a, b = hs.theory.goe(60, rng=0), hs.theory.wishart(60, 120, rng=1)
        >>> one = hs.compare.mixed_moments(a, b)[0]
        >>> one.stderr >= 0
        True
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


def mixed_moments(
    first: Operator | SymmetricOperator | Tensor,
    second: Operator | SymmetricOperator | Tensor,
    *,
    probes: int = 32,
    rng: Rng = None,
    progress: Progress = silent,
) -> tuple[MixedMoment, ...]:
    r"""Mixed moments of two operators too large for dense matrices, from random probes.

    With Gaussian probes z all moments are averages of inner products of $A^k z$, $B^k z$
    ($k \le 3$), ABz and BAz. `stderr` is the jackknife over probes; it includes the error of
    normalisation and centring, which are estimated from the same probes. `z` adds the standard
    deviation of a free pair: of $QBQ^T$ with a random rotation Q, independent of A.

    The moments are invariant under shifts and scaling, so both operators are first standardised
    approximately: with a mean of a hundred standard deviations all digits of third moments would
    cancel, and powers could overflow in float32. An operator of few distinct eigenvalues, such as a
    projection, has fewer polynomials.

    Args:
        first: A.
        second: B.
        probes: random vectors, at least 4.
        rng: seed.
        progress: called with probes done and probes in all.

    Raises:
        InputError: if an argument is invalid, or an operator is a multiple of the identity.

    Cost: four products with each operator for each probe, and one more each.

    Example:
        >>> a, b = hs.theory.goe(60, rng=0), hs.theory.wishart(60, 120, rng=1)
        >>> [one.name for one in hs.compare.mixed_moments(a, b)][:1]
        ['p1(A) q1(B)']
    """
    probes = _arguments.count("probes", probes, 4)
    given = pair_of(first, second)
    n, source = given[0].shape[0], generator(rng)

    def probe() -> Tensor:
        drawn = torch.from_numpy(source.standard_normal((n, 1)))
        return drawn.to(dtype=given[0].dtype, device=given[0].device)

    start = probe()
    a, b = (
        _standard(name, one, start) for name, one in zip(("first", "second"), given, strict=True)
    )
    rows = []
    for done in range(probes):
        progress(done, probes, "probes")
        z = probe()
        az, bz = a @ z, b @ z
        aaz, abz, baz, bbz = a @ az, a @ bz, b @ az, b @ bz
        # rows: A^k z and B^k z, k = 0 to 3, then ABz and BAz
        vectors = torch.cat([z, az, aaz, a @ aaz, bz, bbz, b @ bbz, abz, baz], dim=1).double()
        rows.append((vectors.mT @ vectors).cpu().numpy() / n)
    progress(probes, probes, "probes")
    table = np.array(rows)
    same = max(1e-6, 1e3 * float(torch.finfo(given[0].dtype).eps))
    degrees = tuple(len(_polynomials(table.mean(axis=0)[np.ix_(w, w)], same)) - 1 for w in _POWERS)
    pairs = tuple((i, j) for i, j in PAIRS if i <= degrees[0] and j <= degrees[1])
    whole = _normalised(table.mean(axis=0), pairs)
    left_out = np.array(
        [_normalised(np.delete(table, k, axis=0).mean(axis=0), pairs) for k in range(probes)]
    )
    errors = np.sqrt((probes - 1) * left_out.var(axis=0))
    free_mean, free_spread = free_moments(n, len(pairs))
    return tuple(
        MixedMoment(
            name=name, value=float(v), stderr=float(e), free_mean=float(m), free_spread=float(s)
        )
        for name, v, e, m, s in zip(
            names_of(pairs), whole, errors, free_mean, free_spread, strict=True
        )
    )


def _standard(name: str, operator: SymmetricOperator, probe: Tensor) -> SymmetricOperator:
    """An operator standardised with mean and standard deviation from one probe."""
    z, image = probe.double(), (operator @ probe).double()
    norm = float(z.norm())
    mean = float((z * image).sum()) / norm**2
    spread = float((image - mean * z).norm()) / norm
    unit = float(torch.finfo(operator.dtype).eps)
    if spread <= relative_resolution(operator.shape[0], unit) * abs(mean):
        msg = f"{name}: a multiple of the identity to rounding, which is free of every matrix"
        raise InputError(msg)
    return operator.shifted(-mean) / spread


def _polynomials(gram: FloatArray, same: float = 0.0, most: int = 4) -> list[FloatArray]:
    """Coefficients of orthonormal polynomials of degree 0, 1, ... from inner products of powers.

    They end at a power that is a linear combination of lower ones (few distinct eigenvalues), to a
    relative error `same`.
    """
    found: list[FloatArray] = []
    for power in np.eye(len(gram))[:most]:
        fresh = power
        for _ in range(2):
            for one in found:
                fresh = fresh - (one @ gram @ fresh) * one
        square = float(fresh @ gram @ fresh)
        if square <= same**2 * float(power @ gram @ power):
            break
        found.append(fresh / np.sqrt(square))
    return found


def _normalised(products: FloatArray, pairs: Sequence[tuple[int, int]]) -> FloatArray:
    """Mixed moments from the averaged inner products of `mixed_moments`."""
    degrees = [max(degree) for degree in zip(*pairs, strict=True)]
    p, q = (
        _polynomials(products[np.ix_(w, w)], most=degree + 1)
        for w, degree in zip(_POWERS, degrees, strict=True)
    )
    mixed = products[np.ix_(*_POWERS)]  # tau(A^k B^l)
    moments = [p[i] @ mixed @ q[j] for i, j in pairs]
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
    return np.array([*moments, centred / unit / scale])


def free_moments(n: int, pairs: int) -> tuple[FloatArray, FloatArray]:
    """Mean and standard deviation of the moments of a Haar-rotated pair.

    Those of the pairs are exact, and so is the mean of the last moment; its deviation is the limit.
    """
    mean = np.array([0.0] * pairs + [(n - 2) / ((n - 1) * (n + 2))])
    spread = np.array([np.sqrt(2 / ((n - 1) * (n + 2)))] * pairs + [2 / n])
    return mean, spread


def names_of(pairs: Sequence[tuple[int, int]]) -> list[str]:
    """Names of the moments of some degrees and of the last one."""
    return [*(f"p{i}(A) q{j}(B)" for i, j in pairs), "p1(A) q1(B) p1(A) q1(B)"]


def pair_of(
    first: Operator | SymmetricOperator | Tensor, second: Operator | SymmetricOperator | Tensor
) -> tuple[SymmetricOperator, SymmetricOperator]:
    """Both arguments as operators.

    Raises:
        InputError: if their sizes differ.
    """
    a, b = as_operator(first), as_operator(second)
    if a.shape != b.shape:
        msg = f"first, second: sizes {a.shape[0]} and {b.shape[0]}; they must be equal"
        raise InputError(msg)
    return a, b

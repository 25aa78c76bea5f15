"""A probability measure on finitely many points: exact spectra and quadratures are the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hessium._arguments import count, end, levels, reals
from hessium._typing import FloatArray
from hessium.errors import InputError

_DOUBLE = float(np.finfo(np.float64).eps)


def relative_resolution(size: int, unit: float) -> float:
    r"""Rounding error of an eigenvalue of a dense matrix over the largest one, with room.

    $4\sqrt n\,\varepsilon$: rounding errors add up like a random walk.

    Args:
        size: n, side of the matrix.
        unit: $\varepsilon$ of the dtype in which the matrix was computed.
    """
    return float(4 * size**0.5 * unit)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class DiscreteMeasure:
    r"""The measure $\mu = \sum_i w_i \delta_{x_i}$ with $w_i \ge 0$ and $\sum_i w_i = 1$.

    The empirical spectral distribution of a symmetric n x n matrix has its n eigenvalues as nodes
    and weights 1/n; a Gauss quadrature of a spectrum has Ritz values and their weights.

    Attributes:
        nodes: points, ascending, shape (k,), repeated values allowed.
        weights: masses, shape (k,), summing to one.
        unit: relative rounding of the numbers that the nodes were computed from, the eps of a
            dtype. Nodes are float64 whatever it is.
    """

    nodes: FloatArray
    weights: FloatArray
    unit: float = _DOUBLE

    def __post_init__(self) -> None:
        nodes, weights = reals("nodes", self.nodes).copy(), reals("weights", self.weights).copy()
        if nodes.ndim != 1 or nodes.shape != weights.shape or nodes.size == 0:
            msg = (
                f"nodes, weights: shapes {nodes.shape} and {weights.shape}; "
                "both must be the same (k,) with k > 0"
            )
            raise InputError(msg)
        if not np.isfinite(nodes).all():
            msg = f"nodes: {int((~np.isfinite(nodes)).sum())} of {nodes.size} are not finite"
            raise InputError(msg)
        total = float(weights.sum())
        if not (weights >= 0).all() or not abs(total - 1.0) <= 1e-8:
            msg = f"weights: smallest {weights.min():g}, sum {total:g}; all >= 0 and sum 1 required"
            raise InputError(msg)
        order = np.argsort(nodes, kind="stable")
        nodes, weights = nodes[order], weights[order]
        nodes.flags.writeable = weights.flags.writeable = False
        object.__setattr__(self, "nodes", nodes)
        object.__setattr__(self, "weights", weights)

    @classmethod
    def uniform(cls, nodes: npt.ArrayLike) -> DiscreteMeasure:
        """Equal weights on `nodes`: the empirical distribution of a list of numbers.

        Nodes in float32 are known to be rounded as such.

        Raises:
            InputError: if the nodes are complex or more than a list.
        """
        given = np.asarray(nodes)
        if given.ndim > 1 or given.dtype.kind not in "fiu":
            msg = f"nodes: {given.dtype} of shape {given.shape}; a list of real numbers is required"
            raise InputError(msg + " (of a matrix, its eigenvalues)")
        single = given.dtype.kind == "f" and given.dtype.itemsize < 8
        array = np.asarray(given, dtype=np.float64).reshape(-1)
        return cls(
            nodes=array,
            weights=np.full(array.size, 1.0 / max(array.size, 1)),
            unit=float(np.finfo(given.dtype).eps) if single else _DOUBLE,
        )

    @classmethod
    def mixture(cls, parts: Sequence[DiscreteMeasure]) -> DiscreteMeasure:
        """The average of measures, such as one quadrature for each probe vector."""
        if not parts:
            msg = "parts: empty; a mixture needs at least one measure"
            raise InputError(msg)
        return cls(
            nodes=np.concatenate([part.nodes for part in parts]),
            weights=np.concatenate([part.weights for part in parts]) / len(parts),
            unit=max(part.unit for part in parts),
        )

    @property
    def resolution(self) -> float:
        """What rounding may have added to an eigenvalue: nodes closer than this may be equal."""
        return relative_resolution(self.nodes.size, self.unit) * float(np.abs(self.nodes).max())

    def cdf(self, x: npt.ArrayLike) -> FloatArray:
        r"""$\mu((-\infty, x])$, right-continuous, for x of any shape."""
        cumulative = np.concatenate([[0.0], np.cumsum(self.weights)])
        cumulative[-1] = 1.0
        return np.asarray(cumulative[np.searchsorted(self.nodes, reals("x", x), side="right")])

    def mass(self, a: float, b: float) -> float:
        r"""$\mu((a, b])$."""
        a, b = end("a", a), end("b", b)
        if not a <= b:
            msg = f"a, b: ({a}, {b}] is no interval; a <= b is required"
            raise InputError(msg)
        lower, upper = self.cdf(np.array([a, b]))
        return float(upper - lower)

    def ppf(self, q: npt.ArrayLike) -> FloatArray:
        r"""Smallest node x with $\mu((-\infty, x]) \ge q$, for q in [0, 1] of any shape."""
        wanted = levels("q", q)
        # the sums may fall short of their levels by rounding: lift them, so that ppf(cdf(x)) = x
        cumulative = np.cumsum(self.weights) * (1 + 4e-16 * self.nodes.size)
        index = np.searchsorted(cumulative, wanted, side="left")
        return np.asarray(self.nodes[np.minimum(index, self.nodes.size - 1)])

    def moment(self, order: int) -> float:
        r"""$\int x^k d\mu$, k a natural number.

        Raises:
            InputError: if it is not.
        """
        return float(self.weights @ self.nodes ** count("order", order, 0))

    def mean(self) -> float:
        """First moment: trace / n of an n x n spectrum."""
        return self.moment(1)

    def var(self) -> float:
        """Second central moment."""
        return float(self.weights @ (self.nodes - self.mean()) ** 2)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> FloatArray:
        """The nodes, so that plotting and NumPy functions take a spectrum as it is.

        Raises:
            InputError: if weights are unequal: an array of nodes would lose them.
        """
        if np.ptp(self.weights) > 1e-9 * self.weights[0]:
            msg = f"{self!r}: weights are unequal; take .nodes together with .weights"
            raise InputError(msg)
        return np.array(self.nodes, dtype=dtype)

    def __repr__(self) -> str:
        low, high = self.nodes[0], self.nodes[-1]
        return f"DiscreteMeasure({self.nodes.size} nodes in [{low:.6g}, {high:.6g}])"

"""Probability measures on finitely many points."""

from __future__ import annotations

from abc import ABC
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import numpy.typing as npt

from hessium._arguments import count, end, probabilities, reals
from hessium._display import Displayable
from hessium._typing import FloatArray
from hessium.errors import InputError

_DOUBLE = float(np.finfo(np.float64).eps)


def relative_resolution(size: int, unit: float) -> float:
    r"""Rounding error of an eigenvalue of a dense matrix relative to the largest, with a margin.

    $4\sqrt n\,\varepsilon$: rounding errors add up like a random walk.

    Args:
        size: n, the size of the matrix.
        unit: $\varepsilon$ of the dtype in which the matrix was computed.
    """
    return float(4 * size**0.5 * unit)


def resolution_of(values: FloatArray, unit: float = _DOUBLE) -> float:
    """Rounding error of the eigenvalues of a dense matrix.

    Args:
        values: all of them.
        unit: machine epsilon of the dtype in which the matrix was computed.
    """
    return relative_resolution(values.size, unit) * float(np.abs(values).max(initial=0.0))


def rounding_unit(array: npt.NDArray[Any]) -> float:
    """Machine epsilon of an array's dtype, of float64 for integers."""
    single = array.dtype.kind == "f" and array.dtype.itemsize < 8
    return float(np.finfo(array.dtype).eps) if single else _DOUBLE


def real_list(name: str, values: npt.ArrayLike) -> npt.NDArray[Any]:
    """A list of real numbers as an array of its own dtype.

    Raises:
        InputError: if the values are complex or not a list.
    """
    try:
        given = np.asarray(values)
    except ValueError as error:  # lists of different lengths
        msg = f"{name}: {type(values).__name__}; a list of real numbers is required"
        raise InputError(msg) from error
    if given.ndim > 1 or given.dtype.kind not in "fiu":
        msg = f"{name}: {given.dtype} of shape {given.shape}; a list of real numbers is required"
        raise InputError(msg + " (of a matrix, its eigenvalues)")
    if not np.isfinite(given).all():
        msg = f"{name}: {int((~np.isfinite(given)).sum())} of {given.size} are NaN or infinite"
        raise InputError(msg)
    return given.reshape(-1)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Measure(Displayable, ABC):
    r"""The measure $\mu = \sum_i w_i \delta_{x_i}$ with $w_i \ge 0$ and $\sum_i w_i = 1$.

    Attributes:
        nodes: points, ascending, shape (k,), repeated values allowed.
        weights: masses, shape (k,), summing to one.
        resolution: rounding error of a node: nodes closer than this may be equal.
    """

    nodes: FloatArray
    weights: FloatArray
    resolution: float

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

    def cdf(self, x: npt.ArrayLike) -> FloatArray:
        r"""$\mu((-\infty, x])$, right-continuous, for x of any shape."""
        cumulative = np.concatenate([[0.0], np.cumsum(self.weights)])
        cumulative[-1] = 1.0
        return np.asarray(cumulative[np.searchsorted(self.nodes, reals("x", x), side="right")])

    def mass(self, a: float, b: float) -> float:
        r"""$\mu((a, b])$."""
        a, b = end("a", a), end("b", b)
        if not a <= b:
            msg = f"a, b: ({a}, {b}]; a <= b is required"
            raise InputError(msg)
        lower, upper = self.cdf(np.array([a, b]))
        return float(upper - lower)

    def quantile(self, q: npt.ArrayLike) -> FloatArray:
        r"""Smallest node x with $\mu((-\infty, x]) \ge q$, for q in [0, 1] of any shape."""
        wanted = probabilities("q", q)
        # sums may fall short of q by rounding: they are raised, so that quantile(cdf(x)) = x
        cumulative = np.cumsum(self.weights) * (1 + 4e-16 * self.nodes.size)
        index = np.searchsorted(cumulative, wanted, side="left")
        return np.asarray(self.nodes[np.minimum(index, self.nodes.size - 1)])

    def moment(self, order: int) -> float:
        r"""$\int x^k d\mu$, k a nonnegative integer.

        Raises:
            InputError: for other k.
        """
        return float(self.weights @ self.nodes ** count("order", order, 0))

    def mean(self) -> float:
        """First moment: trace / n of an n x n spectrum."""
        return self.moment(1)

    def var(self) -> float:
        """Second central moment."""
        return float(self.weights @ (self.nodes - self.mean()) ** 2)

    def support(self) -> tuple[float, float]:
        """Smallest and largest node."""
        return float(self.nodes[0]), float(self.nodes[-1])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> FloatArray:
        """The nodes, so that plotting and NumPy functions take a spectrum as it is.

        Raises:
            InputError: if weights are unequal: an array of nodes would lose them.
        """
        if np.ptp(self.weights) > 1e-9 * self.weights[0]:
            msg = f"{self!r}: weights are unequal; take .nodes together with .weights"
            raise InputError(msg)
        return np.array(self.nodes, dtype=dtype)


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class DiscreteMeasure(Measure):
    """A measure given by nodes and weights, such as a quadrature.

    Attributes and errors as in `Measure`; the default resolution is that of float64.

    Example:
        >>> m = hs.DiscreteMeasure(nodes=np.array([0.0, 1.0]), weights=np.array([0.5, 0.5]))
        >>> float(m.moment(2)), float(m.quantile(0.75))
        (0.5, 1.0)
    """

    resolution: float = -1.0

    def __post_init__(self) -> None:
        Measure.__post_init__(self)
        if self.resolution < 0:
            object.__setattr__(self, "resolution", resolution_of(self.nodes))

    @classmethod
    def mixture(cls, parts: Sequence[Measure]) -> DiscreteMeasure:
        """The average of measures, such as one quadrature for each probe vector."""
        if not parts:
            msg = "parts: empty; a mixture needs at least one measure"
            raise InputError(msg)
        return cls(
            nodes=np.concatenate([part.nodes for part in parts]),
            weights=np.concatenate([part.weights for part in parts]) / len(parts),
            resolution=max(part.resolution for part in parts),
        )

    def __repr__(self) -> str:
        low, high = self.support()
        return f"DiscreteMeasure({self.nodes.size} nodes in [{low:.6g}, {high:.6g}])"

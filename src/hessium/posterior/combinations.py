r"""Names for combinations of parameters: "b c", "a - b", or coefficients.

The gradients of the combinations that the data determine span a subspace W of the open parameters.
If the outputs depend on powers $\prod_i \theta_i^{p_i}$ only, then $\theta_i w_i \propto p_i$ for
the gradients w; if on sums $\sum_i c_i \theta_i$, then $w_i \propto c_i$. So the reduced basis of W
in either coordinates has small whole numbers. Whether the name holds beyond first order is checked
by a move along which the named combinations are constant: the outputs must not change.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy.linalg

from hessium._typing import FloatArray

Kind = Literal["product", "sum", "local"]

_WHOLE = 1e-5  # distance from a whole number
_MULTIPLES = (1, 2, 3, 4)
_LARGEST = 6  # exponent or coefficient
_STEP = 0.3  # of the move that checks a name
_VISIBLE = 1e-6  # of the largest coefficient
_SAME = 1e-6  # relative change of outputs by that move


@dataclass(frozen=True, slots=True, kw_only=True)
class Combination:
    """A combination of parameters that the data determine.

    Attributes:
        text: its name, such as "b c", "a - b" or "0.71 b + 0.7 c".
        kind: "product" of powers, "sum", or "local": a gradient at these parameters only.
        value: at the parameters of the risk.
        std: its standard deviation.
        parameters: labels of the parameters in it.

    A "local" one is determined to first order only: it may have another value at other parameters
    that fit the data as well.

    Example:
        >>> post = hs.GaussNewtonPosterior(risk, noise=0.1)
        >>> len(post.identifiable(["2.bias"]).combinations) >= 0
        True
    """

    text: str
    kind: Kind
    value: float
    std: float
    parameters: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Combination({self.text} = {self.value:.4g} +- {self.std:.2g})"


def named_combinations(
    labels: list[str],
    theta: FloatArray,
    basis: FloatArray,
    units: FloatArray,
    covariance: FloatArray,
    change: Callable[[FloatArray], float] | None,
    others: int = 0,
) -> list[Combination]:
    """The determined combinations of undetermined parameters.

    Args:
        labels: of the parameters, k of them.
        theta: their values, (k,).
        basis: gradients of determined combinations with respect to `units` times theta,
            orthonormal, (k, d).
        units: scale of each parameter, in which the basis is given, (k,).
        covariance: finite part of the covariance, (k, k).
        change: relative change of the outputs if the parameters become the argument, infinite where
            the model has no value; None if moves along undetermined directions involve other
            parameters, so that no name can be checked.
        others: number of first parameters that were not asked for; combinations with one of them
            are left out, and so are local ones.
    """
    found: list[Combination] = []
    for kind in ("product", "sum"):
        if change is None or (kind == "product" and not bool((theta != 0).all())):
            continue
        scale = theta if kind == "product" else np.ones_like(theta)
        table = _whole_numbers(_reduced(basis.T, units * scale))
        if table is None or not _holds(kind, table, theta, change):
            continue
        for row in table:
            if row[:others].any():
                continue
            gradient = row / scale
            value = float(np.prod(np.power(theta, row)) if kind == "product" else row @ theta)
            if kind == "product":
                gradient = gradient * value
            text, parts = _text(kind, row, labels), _parts(row, labels)
            found.append(_made(text, kind, value, gradient, covariance, parts))
        return found
    if others:
        return []
    for row in _reduced(basis.T, units):
        row = row / np.linalg.norm(row)
        sizes = np.abs(row / units)
        text = _text("local", row, labels, sizes)
        parts = _parts(np.where(sizes > _VISIBLE * sizes.max(), row, 0.0), labels)
        found.append(_made(text, "local", float(row @ theta), row, covariance, parts))
    return found


def _made(
    text: str,
    kind: Kind,
    value: float,
    gradient: FloatArray,
    covariance: FloatArray,
    parts: tuple[str, ...],
) -> Combination:
    std = math.sqrt(max(float(gradient @ covariance @ gradient), 0.0))
    return Combination(text=text, kind=kind, value=value, std=std, parameters=parts)


def _parts(row: FloatArray, labels: list[str]) -> tuple[str, ...]:
    return tuple(label for value, label in zip(row, labels, strict=True) if value)


def _reduced(table: FloatArray, scale: FloatArray) -> FloatArray:
    """Reduced row echelon form of a table with scaled columns; zeros are judged before."""
    rows = np.array(table, dtype=np.float64)
    at, pivots = 0, []
    for column in range(rows.shape[1]):
        if at == rows.shape[0]:
            break
        pivot = at + int(np.abs(rows[at:, column]).argmax())
        if abs(rows[pivot, column]) <= 1e-8 * np.abs(rows).max():
            continue
        rows[[at, pivot]] = rows[[pivot, at]]
        rows[at] /= rows[at, column]
        for other in range(rows.shape[0]):
            if other != at:
                rows[other] -= rows[other, column] * rows[at]
        pivots.append(column)
        at += 1
    rows = rows * scale
    rows[:at] /= scale[pivots][:, None]
    return rows


def _whole_numbers(rows: FloatArray) -> FloatArray | None:
    """Each row as small whole numbers; None if one is not."""
    found = []
    for row in rows:
        for multiple in _MULTIPLES:
            whole = np.round(row * multiple)
            if np.abs(row * multiple - whole).max() < _WHOLE and np.abs(whole).max() <= _LARGEST:
                found.append(whole)
                break
        else:
            return None
    return np.array(found)


def _holds(
    kind: str, table: FloatArray, theta: FloatArray, change: Callable[[FloatArray], float]
) -> bool:
    """Whether the outputs stay as they are where the named combinations do."""
    for free in scipy.linalg.null_space(table).T:
        for sign in (-1, 1):
            step = sign * _STEP * free
            moved = (
                theta * np.exp(step)
                if kind == "product"
                else (theta + step * max(1e-300, float(np.abs(theta).max()) or 1.0))
            )
            if change(moved) > _SAME:
                return False
    return True


def _text(kind: str, row: FloatArray, labels: list[str], sizes: FloatArray | None = None) -> str:
    sizes = np.abs(row) if sizes is None else sizes
    pairs = [(value, label) for value, label in zip(row, labels, strict=True)]
    if kind == "product":
        above = " ".join(_power(v, n) for v, n in pairs if v > 0)
        below = " ".join(_power(-v, n) for v, n in pairs if v < 0)
        return (
            f"{above or '1'} / {below if below.count(' ') == 0 else f'({below})'}"
            if below
            else above
        )
    large = sizes > _VISIBLE * float(sizes.max())
    visible = [pair for pair, shown in zip(pairs, large, strict=True) if shown]
    words = ""
    for value, name in visible:
        size = abs(value)
        factor = "" if kind == "sum" and size == 1 else f"{size:.3g} "
        sign = "-" if value < 0 else "+"
        words += f" {sign} {factor}{name}" if words else f"{'-' if value < 0 else ''}{factor}{name}"
    return words


def _power(exponent: float, name: str) -> str:
    return name if exponent == 1 else f"{name}^{exponent:g}"

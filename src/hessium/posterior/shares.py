"""Which parameters a direction consists of."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from hessium._arguments import count
from hessium._display import Displayable
from hessium._typing import FloatArray
from hessium.errors import InputError
from hessium.estimate import Eigenpairs
from hessium.linalg.operator import NamedShapes
from hessium.posterior import _tables
from hessium.problem import EmpiricalRisk

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, kw_only=True, repr=False, eq=False)
class ParameterShares(Displayable):
    r"""Squared length of each direction in each parameter; every column sums to one.

    Attributes:
        names: of the parameters (tensors and named scalars), in the order of the risk.
        shares: shape (names, k).
        values: one number for each direction: its eigenvalue, or its standard deviation, (k,).
        what: the name of these numbers.

    Example:
        >>> shares = hs.eigenpairs(H, 2).by_parameter()
        >>> shares.shares.shape, len(shares.names)
        ((4, 2), 4)
    """

    names: tuple[str, ...]
    shares: FloatArray
    values: FloatArray
    what: str

    def by_layer(self) -> ParameterShares:
        """Sums over the parameters of each module."""
        layers = [name.rpartition(".")[0] or name for name in self.names]
        order = tuple(dict.fromkeys(layers))
        sums = np.zeros((len(order), self.shares.shape[1]))
        np.add.at(sums, [order.index(layer) for layer in layers], self.shares)
        return ParameterShares(names=order, shares=sums, values=self.values, what=self.what)

    def largest(self, direction: int, k: int = 3) -> list[tuple[str, float]]:
        """Names and shares of the k largest parts of one direction."""
        column = self.shares[:, direction]
        order = np.argsort(-column, kind="stable")[: count("k", k)]
        return [(self.names[i], float(column[i])) for i in order if column[i] > 0]

    def _columns(self) -> _tables.Columns:
        columns: dict[str, Any] = {"direction": list(range(self.values.size))}
        columns[self.what] = self.values.tolist()
        return columns | {n: row.tolist() for n, row in zip(self.names, self.shares, strict=True)}

    def to_dataframe(self) -> pd.DataFrame:
        """One row for each direction, one column for each parameter."""
        return _tables.frame(self._columns())

    def _repr_html_(self) -> str:
        """The sentence and the table."""
        return _tables.html(repr(self), self._columns())

    def __repr__(self) -> str:
        if not self.values.size:
            return "ParameterShares(no direction)"
        parts = ", ".join(f"{name} {share:.0%}" for name, share in self.largest(0))
        return (
            f"ParameterShares({self.values.size} directions in {len(self.names)} parameters; the "
            f"first, with {self.what} {self.values[0]:.4g}: {parts})"
        )


def by_parameter(
    directions: Eigenpairs | Tensor, risk: EmpiricalRisk | None = None
) -> ParameterShares:
    """Share of every parameter in eigenvectors, or in other directions.

        pairs = hs.eigenpairs(hs.Hessian(risk), 5)
        pairs.by_parameter()                        # the same as hs.by_parameter(pairs)
        hs.by_parameter(step, risk)

    Args:
        directions: eigenpairs, or columns (P, k), or one vector (P,).
        risk: gives names and layout; eigenpairs of an operator of a risk know them.

    Raises:
        InputError: if the directions are not finite or have another length than the parameters, or
            nothing tells the names.

    Example:
        >>> shares = hs.by_parameter(hs.eigenpairs(H, 1))
        >>> shares.names, bool(np.isclose(shares.shares.sum(), 1.0))
        (('0.weight', '0.bias', '2.weight', '2.bias'), True)
    """
    if isinstance(directions, Eigenpairs):
        if directions.rows:
            msg = "directions: this process holds some rows of the vectors; give pairs.gathered(op)"
            raise InputError(msg)
        vectors, values, what = directions.vectors, directions.values, "eigenvalue"
    else:
        vectors = _columns(directions)
        values, what = vectors.norm(dim=0).double().cpu().numpy(), "length"
    if risk is not None:
        if not isinstance(risk, EmpiricalRisk):
            msg = f"risk: {type(risk).__name__}; an hs.EmpiricalRisk is required"
            raise InputError(msg)
        known = risk.named_shapes
    else:
        known = directions.named_shapes if isinstance(directions, Eigenpairs) else ()
    if not known:
        msg = (
            "risk: None; these directions do not know the names of the parameters: pass the risk, "
            "hs.by_parameter(directions, risk)"
        )
        raise InputError(msg)
    dim = sum(math.prod(shape) for _, shape in known)
    if vectors.shape[0] != dim:
        msg = f"directions: {vectors.shape[0]} entries; the risk has {dim} parameters"
        raise InputError(msg)
    return shares(vectors, known, np.asarray(values, dtype=np.float64), what)


def _columns(directions: object) -> Tensor:
    """Directions as columns (P, k).

    Raises:
        InputError: if they are not a finite real vector or matrix.
    """
    if not isinstance(directions, Tensor) or directions.dim() not in (1, 2):
        kind = type(directions).__name__
        shape = f" of shape {tuple(directions.shape)}" if isinstance(directions, Tensor) else ""
        msg = (
            f"directions: {kind}{shape}; eigenpairs, a tensor of columns (P, k) or one vector (P,) "
            "is required"
        )
        raise InputError(msg)
    if directions.is_complex() or not bool(torch.isfinite(directions).all()):
        msg = "directions: have complex, NaN or infinite entries; finite real numbers are required"
        raise InputError(msg)
    return directions if directions.dim() == 2 else directions[:, None]


def shares(
    directions: Tensor, known: NamedShapes, values: FloatArray, what: str
) -> ParameterShares:
    """Squared lengths by parameter of columns (P, k)."""
    squares = directions.detach().double().square()
    sizes = [math.prod(shape) for _, shape in known]
    table = torch.stack([part.sum(dim=0) for part in squares.split(sizes)]).cpu().numpy()
    total = table.sum(axis=0, keepdims=True)
    return ParameterShares(
        names=tuple(name for name, _ in known),
        shares=table / np.where(total > 0, total, 1.0),
        values=values,
        what=what,
    )

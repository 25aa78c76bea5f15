"""Values and vectors of a risk along a line, for comparisons with differences."""

from __future__ import annotations

import weakref
from collections import OrderedDict
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from hessium.curvature.differences import Accuracy, Claim
from hessium.curvature.places import SINGLE_PRODUCTS
from hessium.problem import EmpiricalRisk
from hessium.problem.one_pass import values

if TYPE_CHECKING:
    from hessium.curvature.base import RiskOperator

NATURAL = 1e-3  # of |y| / |theta|: derivatives below that are compared with zero
_VECTORS = 4  # kept of one line: as many as one comparison needs again


class Line:
    r"""The function that an operator differentiates, on the line $\theta + h v$; values are cached.

    Args:
        operator: whose product with v is the derivative.
        direction: v.

    Attributes:
        operator: a weak reference to it.
        direction: v.
    """

    def __init__(self, operator: RiskOperator, direction: Tensor) -> None:
        # a weak reference: an operator and its graphs must be freed with the user's reference
        self.operator: RiskOperator = weakref.proxy(operator)
        self.direction = direction
        self._along: Tensor | None = None
        self._others: dict[int, RiskOperator] = {}  # by the risk, which they keep alive
        self._values: dict[tuple[int, float], float] = {}
        self._vectors: OrderedDict[tuple[int, float], Tensor] = OrderedDict()

    def at(self, fine: EmpiricalRisk, h: float) -> tuple[float, Tensor]:
        """Value of the loss and the vector that is differentiated."""
        key = (id(fine), h)
        if key not in self._vectors:
            source = self.operator
            if fine is not source.risk:
                if id(fine) not in self._others:
                    self._others[id(fine)] = source.elsewhere(fine)
                source = self._others[id(fine)]
            along = self.along(fine)
            # a difference needs both ends: one pass over the data
            ends = (-h, h)
            found = source.primitives([fine.moved(along, end) for end in ends])
            for end, (value, vector) in zip(ends, found, strict=True):
                self._values[id(fine), end], self._vectors[id(fine), end] = value, vector
            while len(self._vectors) > _VECTORS:
                self._vectors.popitem(last=False)
        return self._values[key], self._vectors[key]

    def value(self, fine: EmpiricalRisk, h: float) -> float:
        """Value of the loss."""
        key = (id(fine), h)
        if key not in self._values and self._gradients_there(fine):
            return self.at(fine, h)[0]
        if key not in self._values:
            along = self.along(fine)
            found = values([fine.moved(along, end) for end in (-h, h)])
            self._values |= {(id(fine), end): v for end, v in zip((-h, h), found, strict=True)}
        return self._values[key]

    def _gradients_there(self, fine: EmpiricalRisk) -> bool:
        """Whether products are compared at the same place: one pass gives values and vectors."""
        risk = self.operator.risk
        single = risk.dtype is not torch.float64
        return (fine is not risk) == (single and SINGLE_PRODUCTS in risk.refuted)

    def along(self, fine: EmpiricalRisk) -> Tensor:
        """V in the dtype of a risk."""
        if self._along is None or self._along.dtype is not fine.dtype:
            self._along = self.direction.to(fine.dtype)
        return self._along

    def product(self, place: EmpiricalRisk) -> Tensor:
        """The product at another place."""
        return self.operator.elsewhere(place) @ self.direction

    def claim(self, product: Tensor, place: EmpiricalRisk, fine: EmpiricalRisk) -> Claim:
        """A product at `place`, whose differences `fine` evaluates."""
        layout, length = place.layout, place.length
        return Claim(
            derivative=layout.unflatten(product.to(fine.dtype)),
            function=lambda h: layout.unflatten(self.at(fine, h)[1]),
            accuracy=Accuracy.of(place.dtype, fine.dtype, length),
            natural=NATURAL / (length or 1.0),
        )

"""Self-check on a part of the samples, by one difference for each derivative.

It can only confirm: where it does not, all samples and several steps decide. Differences are taken
in float64 where the model can be evaluated there, so kinks and rounding rarely interfere.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from torch import Tensor

from hessium.curvature.gradient_check import (
    SLOPE,
    confirmed,
    slope_claim,
    slopes_agree,
    typical_slope,
)
from hessium.curvature.line import Line
from hessium.curvature.places import SHARE, directions, finest
from hessium.curvature.product_checks import check_products
from hessium.problem import EmpiricalRisk

if TYPE_CHECKING:
    from hessium.curvature.base import RiskOperator


def agrees_on_part(operator: RiskOperator, *, known: bool) -> bool:
    """Whether a product and the gradient agree with differences on a part of the samples.

    Args:
        operator: to be checked.
        known: whether its architecture passed a full check before. Then one product and the slope
            along its direction are enough.

    Cost: about one gradient if known, else two to three.
    """
    if operator.differenced:
        return False
    # programs are checked as they are, on all samples
    part = operator.risk.beginning(SHARE)
    here = (
        operator
        if operator.programmed
        else operator.elsewhere(part, graph_bytes=operator.graph_bytes)
    )

    def agrees() -> bool:
        line = Line(here, directions(here.risk)[0])
        product = here @ line.direction
        if not known:
            check_products(here, *directions(here.risk), product)
        return any(_agrees(line, product, fine) for fine in finest(here.risk))

    return confirmed(agrees)


def _agrees(line: Line, product: Tensor, fine: EmpiricalRisk) -> bool:
    """The product, and the slopes that are not known: at least that along its direction."""
    operator, risk = line.operator, line.operator.risk
    claim = line.claim(product, risk, fine)
    if not claim.agrees_at_once():
        return False
    gradients = operator.differences_gradients
    if not risk.knows(SLOPE) or not (gradients or SLOPE in risk.proven):
        value = functools.partial(line.value, fine) if gradients else None
        if slopes_agree(risk, fine, value):
            risk.prove(SLOPE)
            return True
        return False
    if not gradients:
        return True
    # the mean of the slopes at both ends is that of the values, to the same order
    h = claim.accuracy.steps[0]
    along = line.direction.to(fine.dtype)
    up, down = line.at(fine, h)[1], line.at(fine, -h)[1]
    size = typical_slope(up, along, risk.layout)
    slope = float((up + down) @ along) / 2
    known = slope_claim(slope, size, lambda x: line.value(fine, x), risk, fine).agrees_at_once()
    if known:
        risk.prove(SLOPE)
    return known

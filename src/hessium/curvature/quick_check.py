"""Self-check on a part of the samples, by one difference for each derivative.

It can only confirm: where it does not, all samples and several steps decide. Differences are taken
in float64 where the model can be evaluated there, so kinks and rounding rarely interfere.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from torch import Tensor

from hessium.curvature.differences import Claim
from hessium.curvature.gradient_check import (
    SLOPE,
    confirmed,
    slope_claim,
    slopes_agree,
    typical_slope,
)
from hessium.curvature.line import Line
from hessium.curvature.places import SHARE, agrees_finely, direction, directions
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
    part_of_it = operator.elsewhere(part, graph_bytes=0 if known else operator.graph_bytes)
    here = operator if operator.programmed else part_of_it

    def agrees() -> bool:
        line = Line(here, direction(here.risk))
        product = here @ line.direction
        if not known:
            check_products(here, *directions(here.risk), product)
        return agrees_finely(here.risk, lambda fine: _agrees(line, product, fine))

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
        agrees = slopes_agree(risk, fine, value)
    elif gradients:
        agrees = _slope_agrees(line, claim, fine)
    else:
        return True
    if agrees:
        risk.prove(SLOPE)
    return agrees


def _slope_agrees(line: Line, claim: Claim, fine: EmpiricalRisk) -> bool:
    """The slope along the direction of a product whose differences are known."""
    risk = line.operator.risk
    # the mean of the slopes at both ends is that of the values, to the same order
    h = claim.accuracy.steps[0]
    along = line.along(fine)
    up, down = line.at(fine, h)[1], line.at(fine, -h)[1]
    size = typical_slope(up, along, risk.layout)
    slope = float(up @ along + down @ along) / 2
    return slope_claim(slope, size, lambda x: line.value(fine, x), risk, fine).agrees_at_once()

"""Points and precisions at which claimed derivatives are compared with differences."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import cached_property
from typing import TypeAlias

import torch
from torch import Tensor

from hessium.curvature.differences import Claim, Comparison, Outcome
from hessium.errors import InputError, NonFiniteError
from hessium.problem import EmpiricalRisk

# (place, the same place in the highest available precision) -> claim there
ClaimAt: TypeAlias = Callable[[EmpiricalRisk, EmpiricalRisk], Claim]

# refuted for a model whose rounding in single precision hides the differences
SINGLE_SLOPES = "differences of the loss in single precision"
SINGLE_PRODUCTS = "differences of gradients in single precision"
SHARE = 1 / 8  # of the samples of every batch, on which differences are tried first
_SMALL = 4096  # entries of vectors that cost nothing
_NEARBY = 1e-2  # of theta: the distance of the places beside a kink or a critical point


def directions(risk: EmpiricalRisk) -> tuple[Tensor, Tensor]:
    """Two fixed random unit vectors with equal norm in every parameter tensor.

    Zero in the padding rows of embeddings, which torch keeps constant.
    """
    return direction(risk), direction(risk, 1)


def direction(risk: EmpiricalRisk, number: int = 0) -> Tensor:
    """One of `directions`."""
    if (known := risk.directions.get(number)) is not None:
        return known
    generator = torch.Generator().manual_seed(20170706)
    count = 2 if number or risk.dim < _SMALL else 1  # the second takes time and is rarely needed
    normal = torch.randn(count, risk.dim, generator=generator, dtype=risk.dtype, device="cpu")
    vector = normal[number]
    for at in risk.constant_entries():
        vector[at] = 0.0
    parts = risk.layout.unflatten(vector)
    lengths = [float(part.norm()) for part in parts]
    whole = sum(length > 0 for length in lengths) ** 0.5
    for part, length in zip(parts, lengths, strict=True):
        part /= length * whole or 1.0
    found = risk.directions[number] = vector.to(risk.device)
    return found


class Precisions:
    """A risk in its own precision and, created on demand, in float64.

    Args:
        risk: at the parameters where derivatives are compared.
    """

    def __init__(self, risk: EmpiricalRisk) -> None:
        self.risk = risk

    @property
    def single(self) -> bool:
        """Whether the risk has lower precision than float64."""
        return self.risk.dtype is not torch.float64

    @cached_property
    def double(self) -> EmpiricalRisk | None:
        """The risk in float64; None if it cannot be evaluated there."""
        if not self.single:
            return self.risk
        try:
            double = self.risk.in_dtype(torch.float64)
            double.value()
        except Exception:  # kernels for one dtype, devices without float64, data not converted
            return None
        return double

    def finest(self, kind: str) -> EmpiricalRisk:
        """The risk where `kind` of differences is accurate: itself, or in float64 if it can be."""
        return (self.double if kind in self.risk.refuted else None) or self.risk

    def settled(self, claim_at: ClaimAt, kind: str) -> Comparison:
        """Outcome of a comparison at the risk, then in float64, then at nearby points.

        At a kink differences do not converge to the derivative, and at a critical point rounding
        hides the slope. Single precision alone never rejects a claim: it cannot distinguish a
        network with many kinks from a wrong derivative.

        Args:
            claim_at: (place, the same place in the highest available precision) -> claim.
            kind: of the differences, `SINGLE_SLOPES` or `SINGLE_PRODUCTS`.
        """
        risk = self.risk
        enough = not (self.single and kind in risk.refuted)
        if enough and claim_at(risk, risk).agrees_at_once():
            return Comparison(outcome=Outcome.AGREES)
        double = self.double
        if double is None:
            alone = claim_at(risk, risk).compare()
            agrees = alone.outcome is Outcome.AGREES
            return alone if agrees else dataclasses.replace(alone, outcome=Outcome.OPEN)
        found = _compared(claim_at, risk, double, at_once=self.single)
        if found.outcome is Outcome.AGREES:
            if self.single:
                risk.refuted.add(kind)  # as it will be for other directions
            return found
        beside = [
            _compared(
                claim_at, place, double.at(place.theta.to(double.dtype)) if self.single else place
            )
            for place in _nearby(risk)
        ]
        wrong = [one for one in beside if one.outcome is Outcome.WRONG]
        right = [one for one in beside if one.outcome is Outcome.AGREES]
        if found.outcome is Outcome.WRONG:
            corner = right and not wrong
            return dataclasses.replace(found, outcome=Outcome.CORNER) if corner else found
        return (wrong or right or beside)[0]


def _compared(
    claim_at: ClaimAt, place: EmpiricalRisk, fine: EmpiricalRisk, *, at_once: bool = False
) -> Comparison:
    """Compare; open if a derivative does not exist or cannot be computed."""
    try:
        if at_once and claim_at(place, fine).agrees_at_once():
            return Comparison(outcome=Outcome.AGREES)
        return claim_at(place, fine).compare()
    except (InputError, NonFiniteError):
        return Comparison(outcome=Outcome.OPEN)


def _nearby(risk: EmpiricalRisk) -> list[EmpiricalRisk]:
    length = float(risk.theta.norm()) or 1.0
    return [risk.at(risk.theta + _NEARBY * length * d) for d in directions(risk)]


def agrees_finely(risk: EmpiricalRisk, agrees: Callable[[EmpiricalRisk], bool]) -> bool:
    """Whether a comparison whose differences are taken at the given risk agrees.

    Tried in float64; before that as the risk is, on devices that are slow in float64; and as it is
    where it cannot be evaluated in float64.
    """
    if risk.dtype is torch.float64:
        return agrees(risk)
    on_cpu = risk.device.type == "cpu"
    if not on_cpu and agrees(risk):
        return True
    try:
        return agrees(risk.in_dtype(torch.float64))
    except torch.OutOfMemoryError:
        raise
    except Exception:  # kernels for one dtype, devices without float64, data not converted
        return on_cpu and agrees(risk)

"""Numbers of a matrix as cells of a table, each with its error."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias, TypeVar

from hessium.figures.formatting import digits
from hessium.figures.records import Number, exact
from hessium.profiles.matrix_profile import MatrixProfile
from hessium.spectra import Count, Integral

Cell: TypeAlias = Number | str
T = TypeVar("T")

NOT_MEASURED = "not measured"
ROUNDING = "value [bounds of rounding]"
RESIDUAL = "value [within its residual of an eigenvalue]"
ZERO = "the matrix is zero"


def eigenvalue_cell(value: float, error: float, *, exact: bool, floor: float = -math.inf) -> Number:
    """An eigenvalue with its rounding error, or with the residual of its eigenpair."""
    return Number(
        value=value,
        low=max(value - error, floor),
        high=value + error,
        basis=ROUNDING if exact else RESIDUAL,
        digits=4 if abs(value) > error else 2,
    )


def end_cell(one: MatrixProfile, *, largest: bool) -> Cell:
    """The largest or the smallest eigenvalue of a matrix."""
    if not largest and _is_zero(one, one.dim - 1):
        return exact(0)
    if not one.scale:
        return ZERO
    if not largest and one.pairs is not None and one.pairs.which == "LM":
        return "≥ 0" if one.nonnegative else NOT_MEASURED
    return known_cell(one, 0 if largest else one.eigenvalues.size - 1)


def known_cell(one: MatrixProfile, position: int) -> Number:
    """One of the eigenvalues known one by one."""
    if one.exact and _is_zero(one, position):
        return exact(0)
    value, error = float(one.eigenvalues[position]), float(one.residuals[position])
    floor = 0.0 if one.nonnegative else -math.inf
    return eigenvalue_cell(value, error, exact=one.exact, floor=floor)


def _is_zero(one: MatrixProfile, position: int) -> bool:
    """Whether the rank of a positive semidefinite matrix is too small for this eigenvalue."""
    bound = None if one.spectrum is None else one.spectrum.rank_bound
    return one.nonnegative and bound is not None and position >= bound


def number_cell(one: T, number: Callable[[T], Integral]) -> Cell:
    """A sum over the spectrum with its error; of a matrix, as far as it was measured."""
    if isinstance(one, MatrixProfile) and one.spectrum is None:
        return NOT_MEASURED
    found = number(one)
    if not (math.isfinite(found.lower) and math.isfinite(found.upper)):
        return Number(value=found.value, basis="of one probe, so no error is known", digits=4)
    basis = (
        ROUNDING
        if found.confidence is None
        else f"value [{found.confidence:.0%} interval over the probes]"
    )
    return Number(value=found.value, low=found.lower, high=found.upper, basis=basis, digits=4)


def negative_mass_cell(one: MatrixProfile) -> Cell:
    """The negative mass; words where the matrix is zero."""
    return number_cell(one, lambda m: m.negative_mass) if one.scale else ZERO


def count_cell(count: Count | None) -> Cell:
    """A number of eigenvalues with its bracket."""
    if count is None:
        return NOT_MEASURED
    if count.exact and count.confidence is None:
        return exact(count.value)
    of = (
        "of rounding" if count.confidence is None else f"with confidence {digits(count.confidence)}"
    )
    return Number(
        value=float(count.value),
        low=float(count.lower),
        high=float(count.upper),
        basis=f"count [bounds {of}]",
        digits=12,
    )


def rounded_cell(value: float, unit: float) -> Number:
    """A number with a relative rounding error."""
    return eigenvalue_cell(value, unit * abs(value), exact=True)

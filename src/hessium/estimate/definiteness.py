"""Checks that A + sI is positive definite."""

from __future__ import annotations

from hessium.errors import IndefiniteError, InputError
from hessium.linalg.operator import SymmetricOperator
from hessium.spectra import Measure


def require_bound(smallest: float, lowest: float, error: float, what: str) -> None:
    """Check a lower bound on the eigenvalues against a value that was computed.

    Raises:
        InputError: if `lowest`, known up to `error`, lies below `smallest`.
    """
    if lowest < smallest - error:
        msg = (
            f"smallest: {smallest:g}; {what} {lowest:.6g} lies below; a lower bound on the "
            "eigenvalues is required"
        )
        raise InputError(msg)


def indefinite_error(
    operator: SymmetricOperator,
    lowest: float,
    shift: float,
    what: str,
    doubtful: bool,
    partial: Measure | None,
) -> IndefiniteError:
    """The error that a value at or below minus the shift calls for.

    Args:
        operator: A.
        lowest: the value.
        shift: s.
        what: the kind of the value.
        doubtful: whether rounding alone may have made it so small.
        partial: the spectrum, or the quadratures so far.
    """
    doubt = " (rounding alone may do that)" if doubtful else ""
    msg = (
        f"op: {operator!r} has an eigenvalue of at most {lowest:.6g} ({what}){doubt}, so plus "
        f"shift {shift:g} it is not positive definite; a shift above {-lowest:.6g} is required"
    )
    return IndefiniteError(msg, ritz_value=lowest + shift, partial=partial)

"""Numbers are checked where they enter: one sentence, argument, value and rule."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from hessium._typing import FloatArray
from hessium.errors import InputError


def number(name: str, value: Any) -> float:
    """`value` as a finite float.

    Raises:
        InputError: if it is complex, a string, a truth value, not a number, or not finite.
    """
    result = _float(value)
    if not math.isfinite(result):
        msg = f"{name}: {value!r}; a finite real number is required"
        raise InputError(msg)
    return result


def end(name: str, value: Any) -> float:
    """`value` as an end of an interval: a float, infinite or not.

    Raises:
        InputError: if it is not.
    """
    result = _float(value)
    if math.isnan(result):
        msg = f"{name}: {value!r}; a real number, or an infinity, is required"
        raise InputError(msg)
    return result


def positive(name: str, value: Any) -> float:
    """`value` as a finite float above zero.

    Raises:
        InputError: if it is not.
    """
    result = number(name, value)
    if result <= 0:
        msg = f"{name}: {result!r}; a number > 0 is required"
        raise InputError(msg)
    return result


def nonnegative(name: str, value: Any) -> float:
    """`value` as a finite float, zero or above.

    Raises:
        InputError: if it is not.
    """
    result = number(name, value)
    if result < 0:
        msg = f"{name}: {result!r}; a number >= 0 is required"
        raise InputError(msg)
    return result


def count(name: str, value: Any, at_least: int = 1) -> int:
    """`value` as an integer of at least `at_least`.

    Raises:
        InputError: if it is not.
    """
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        msg = f"{name}: {value!r}; an integer is required"
        raise InputError(msg)
    if value < at_least:
        msg = f"{name}: {value}; an integer >= {at_least} is required"
        raise InputError(msg)
    return int(value)


def memory(name: str, value: Any) -> int:
    """`value` as a number of bytes, one at least.

    Raises:
        InputError: if it is not.
    """
    result = number(name, value)
    if result < 1:
        msg = f"{name}: {value!r}; a number of bytes >= 1 is required"
        raise InputError(msg)
    return int(result)


def function(name: str, value: Any) -> None:
    """`value` can be called.

    Raises:
        InputError: if not.
    """
    if not callable(value):
        msg = f"{name}: {value!r}; a function is required"
        raise InputError(msg)


def reals(name: str, value: Any) -> FloatArray:
    """`value` as an array of float64, of any shape.

    Raises:
        InputError: if it holds other than real numbers.
    """
    try:
        array = np.asarray(value)
        kind = array.dtype.kind
    except (TypeError, ValueError, RuntimeError):
        kind = "O"
    if kind not in "iuf":
        msg = f"{name}: {value!r}; real numbers are required"
        raise InputError(msg)
    return np.asarray(array, dtype=np.float64)


def fraction(name: str, value: Any) -> float:
    """`value` as a float strictly between zero and one.

    Raises:
        InputError: if it is not.
    """
    result = number(name, value)
    if not 0 < result < 1:
        msg = f"{name}: {result!r}; 0 < {name} < 1 is required"
        raise InputError(msg)
    return result


def _float(value: Any) -> float:
    """NaN for what is no real number."""
    if isinstance(value, (complex, str, bytes, bool, np.bool_)):
        return math.nan
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        return math.nan

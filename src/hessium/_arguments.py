"""Numbers are checked where they enter: one sentence, argument, value and rule."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from hessium.errors import InputError


def number(name: str, value: Any) -> float:
    """`value` as a finite float.

    Raises:
        InputError: if it is complex, not a number, or not finite.
    """
    try:
        result = float(value) if not isinstance(value, complex) else math.nan
    except (TypeError, ValueError):
        result = math.nan
    if not math.isfinite(result):
        msg = f"{name}: {value!r}; a finite real number is required"
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


def callback(name: str, value: Any) -> None:
    """Nothing, if `value` can be called.

    Raises:
        InputError: if it cannot.
    """
    if not callable(value):
        msg = f"{name}: {value!r}; a function (done, total, what) is required"
        raise InputError(msg)

"""Checks of arguments; messages give argument, value and rule."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from hessium._typing import FloatArray
from hessium.errors import InputError

_LONGEST = 60  # characters of a value in a message


def shown(value: Any) -> str:
    """A value in a message: on one line, and short; arrays by type and shape."""
    shape = getattr(value, "shape", ())
    if isinstance(shape, tuple) and shape:
        return f"{type(value).__name__} of shape {tuple(shape)}"
    text = " ".join(repr(value).split())
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def number(name: str, value: Any) -> float:
    """`value` as a finite float.

    Raises:
        InputError: if it is complex, a string, a truth value, not a number, or not finite.
    """
    result = _float(value)
    if not math.isfinite(result):
        msg = f"{name}: {shown(value)}; a finite real number is required"
        raise InputError(msg)
    return result


def end(name: str, value: Any) -> float:
    """`value` as an end of an interval: a float, infinite or not.

    Raises:
        InputError: if it is not.
    """
    result = _float(value)
    if math.isnan(result):
        msg = f"{name}: {shown(value)}; a real number, or an infinity, is required"
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
        msg = f"{name}: {shown(value)}; an integer is required"
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
        msg = f"{name}: {shown(value)}; a number of bytes >= 1 is required"
        raise InputError(msg)
    return int(result)


def flag(name: str, value: Any) -> None:
    """Check that an argument is True or False.

    Raises:
        InputError: if it is not.
    """
    if not isinstance(value, (bool, np.bool_)):
        msg = f"{name}: {shown(value)}; True or False is required"
        raise InputError(msg)


def function(name: str, value: Any, takes: str = "") -> None:
    """`value` can be called, with the arguments that `takes` names for the message.

    Raises:
        InputError: if not.
    """
    if not callable(value):
        msg = f"{name}: {shown(value)}; a function {takes}is required"
        raise InputError(msg)


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
    """A real number as a float, NaN for anything else."""
    if isinstance(value, (complex, str, bytes, bool, np.bool_)):
        return math.nan
    try:
        return float(value) if np.ndim(value) == 0 else math.nan
    except (TypeError, ValueError, RuntimeError, OverflowError):
        return math.nan


def reals(name: str, values: Any) -> FloatArray:
    """`values` as an array of floats without NaN; infinities pass.

    Raises:
        InputError: if the values are complex, not numbers, or contain NaN.
    """
    array = as_numbers(name, values)
    if array.dtype.kind == "c":
        msg = f"{name}: values of type {array.dtype}; real numbers are required"
        raise InputError(msg)
    array = np.asarray(array, dtype=np.float64)
    if np.isnan(array).any():
        msg = f"{name}: {int(np.isnan(array).sum())} of {array.size} values are NaN"
        raise InputError(msg)
    return array


def probabilities(name: str, values: Any) -> FloatArray:
    """`values` as an array of probabilities.

    Raises:
        InputError: if one is not a real number in [0, 1].
    """
    array = reals(name, values)
    if array.size and not (array.min() >= 0 and array.max() <= 1):
        msg = f"{name}: values in [{array.min():g}, {array.max():g}]; a probability lies in [0, 1]"
        raise InputError(msg)
    return array


def as_numbers(name: str, values: Any) -> npt.NDArray[Any]:
    """`values` as an array of integers, floats or complex numbers.

    Raises:
        InputError: if they are something else, or rows have different lengths.
    """
    try:
        array = np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as error:
        msg = f"{name}: not an array ({error}); numbers are required"
        raise InputError(msg) from error
    if array.dtype.kind not in "iufc":
        msg = f"{name}: values of type {array.dtype}; numbers are required"
        raise InputError(msg)
    return array

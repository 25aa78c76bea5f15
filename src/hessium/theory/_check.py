"""Parameters are checked where they enter: one sentence, argument, value and rule."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from hessium._typing import FloatArray
from hessium.errors import InputError
from hessium.theory._arrays import ArrayLike, ComplexArray


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


def reals(name: str, values: ArrayLike) -> FloatArray:
    """`values` as an array of floats without NaN; infinities pass.

    Raises:
        InputError: if the values are complex, not numbers, or contain NaN.
    """
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        msg = f"{name}: values of type {array.dtype}; real numbers are required"
        raise InputError(msg)
    array = np.asarray(array, dtype=np.float64)
    if np.isnan(array).any():
        msg = f"{name}: {int(np.isnan(array).sum())} of {array.size} values are NaN"
        raise InputError(msg)
    return array


def levels(name: str, values: ArrayLike) -> FloatArray:
    """`values` as an array of probabilities.

    Raises:
        InputError: if one is not a real number in [0, 1].
    """
    array = reals(name, values)
    if array.size and not (array.min() >= 0 and array.max() <= 1):
        msg = f"{name}: values in [{array.min():g}, {array.max():g}]; a level lies in [0, 1]"
        raise InputError(msg)
    return array


def complexes(name: str, values: ArrayLike) -> ComplexArray:
    """`values` as an array of complex numbers without NaN; infinities pass.

    Raises:
        InputError: if the values are not numbers, or contain NaN.
    """
    array = np.asarray(values)
    if array.dtype.kind not in "biufc":
        msg = f"{name}: values of type {array.dtype}; numbers are required"
        raise InputError(msg)
    array = np.asarray(array, dtype=np.complex128)
    if np.isnan(array).any():
        msg = f"{name}: {int(np.isnan(array).sum())} of {array.size} values are NaN"
        raise InputError(msg)
    return array


def spectrum(name: str, values: ArrayLike) -> FloatArray:
    """`values` as a non-empty flat array of finite floats.

    Raises:
        InputError: if it is empty, complex, or not finite.
    """
    array = reals(name, values).reshape(-1)
    if array.size == 0:
        msg = f"{name}: empty; at least one value is required"
        raise InputError(msg)
    if not np.isfinite(array).all():
        bad = int((~np.isfinite(array)).sum())
        msg = f"{name}: {bad} of {array.size} values are infinite; finite values are required"
        raise InputError(msg)
    return array

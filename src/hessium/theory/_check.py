"""Arrays are checked where they enter: one sentence, argument, value and rule."""

from __future__ import annotations

import numpy as np

from hessium._arguments import count as count
from hessium._arguments import nonnegative as nonnegative
from hessium._arguments import number as number
from hessium._arguments import positive as positive
from hessium._typing import FloatArray
from hessium.errors import InputError
from hessium.theory._arrays import ArrayLike, ComplexArray


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

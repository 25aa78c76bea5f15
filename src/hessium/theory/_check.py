"""Checks of arguments: a message names the argument, its value and the rule."""

from __future__ import annotations

from typing import Any

import numpy as np

from hessium import _arguments
from hessium._arguments import as_numbers
from hessium._arguments import count as count
from hessium._arguments import probabilities as probabilities
from hessium._arguments import reals as reals
from hessium._typing import ArrayLike, ComplexArray, FloatArray
from hessium.errors import InputError

LARGEST = 1e150
"""Parameters lie between its inverse and this: squares are within float64."""


def number(name: str, value: Any) -> float:
    """`value` as a float whose square is within float64.

    Raises:
        InputError: if it is not a finite real number, or too large or too small.
    """
    return _within(name, _arguments.number(name, value))


def positive(name: str, value: Any) -> float:
    """`value` as a positive float whose square is within float64.

    Raises:
        InputError: if it is not a positive number, or too large or too small.
    """
    return _within(name, _arguments.positive(name, value))


def nonnegative(name: str, value: Any) -> float:
    """`value` as a float that is not negative and whose square is within float64.

    Raises:
        InputError: if it is negative or not a number, or too large or too small.
    """
    return _within(name, _arguments.nonnegative(name, value))


def _within(name: str, value: float) -> float:
    if value and not 1 / LARGEST <= abs(value) <= LARGEST:
        msg = (
            f"{name}: {value!r}; zero or a magnitude between {1 / LARGEST:g} and {LARGEST:g} is "
            "required, so that its square stays within float64; choose other units"
        )
        raise InputError(msg)
    return value


def sequence(name: str, values: Any) -> tuple[Any, ...]:
    """A list, a tuple or an array of one dimension, as a tuple.

    Raises:
        InputError: if `values` is something else.
    """
    if not isinstance(values, (list, tuple)) and not (
        isinstance(values, np.ndarray) and values.ndim == 1
    ):
        msg = f"{name}: {values!r}; a list of numbers is required"
        raise InputError(msg)
    return tuple(values)


def shape(name: str, value: Any) -> tuple[int, ...]:
    """A length or a tuple of lengths, as a shape.

    Raises:
        InputError: if `value` is neither.
    """
    lengths = sequence(name, value) if isinstance(value, (list, tuple)) else (value,)
    return tuple(count(name, length, 0) for length in lengths)


def end(name: str, value: Any) -> float:
    """`value` as a float, which may be infinite.

    Raises:
        InputError: if it is not one real number.
    """
    point = reals(name, value)
    if point.ndim:
        msg = f"{name}: of shape {point.shape}; one number is required"
        raise InputError(msg)
    return float(point)


def flat(name: str, values: Any) -> FloatArray:
    """`values` as a list of floats without NaN, shape (k,).

    Raises:
        InputError: if they are something else.
    """
    array = reals(name, values)
    if array.ndim != 1:
        msg = f"{name}: of shape {array.shape}; a list of numbers is required"
        raise InputError(msg)
    return array


def complexes(name: str, values: ArrayLike) -> ComplexArray:
    """`values` as an array of complex numbers without NaN; infinities pass.

    Raises:
        InputError: if the values are not numbers, or contain NaN.
    """
    array = np.asarray(as_numbers(name, values), dtype=np.complex128)
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
    _within(name, max(float(np.abs(array).max()), 1.0))
    return array

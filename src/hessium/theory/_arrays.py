"""Types of arguments and arrays, spelled so that checkers at run time take an int for a float."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

ComplexArray: TypeAlias = npt.NDArray[np.complex128]
Real: TypeAlias = float | int
ArrayLike: TypeAlias = npt.ArrayLike | float | int


def upper(z: ComplexArray) -> ComplexArray:
    """The points, mirrored into the closed upper half-plane; a zero imaginary part becomes +0."""
    mirrored = np.array(z, dtype=np.complex128)
    mirrored.imag = np.abs(mirrored.imag)
    return mirrored


def log_upper(w: ComplexArray) -> ComplexArray:
    """Principal logarithm of points of the closed upper half-plane, whatever the sign of a zero."""
    return np.log(upper(w))

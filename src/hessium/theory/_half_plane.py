"""Points of the closed upper half-plane."""

from __future__ import annotations

import numpy as np

from hessium._typing import ComplexArray


def upper(z: ComplexArray) -> ComplexArray:
    """Points mirrored into the closed upper half-plane; a zero imaginary part becomes +0."""
    mirrored = np.array(z, dtype=np.complex128)
    mirrored.imag = np.abs(mirrored.imag)
    return mirrored


def log_upper(w: ComplexArray) -> ComplexArray:
    """Principal logarithm on the closed upper half-plane; -0 as imaginary part counts as +0."""
    return np.log(upper(w))

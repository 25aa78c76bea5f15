"""R- and S-transforms of a law that has no closed form for them: the functional inverse of G."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hessium.errors import InputError
from hessium.theory._arrays import ComplexArray, Real, upper

if TYPE_CHECKING:
    from hessium.theory.law import Law

_STEPS = 80


def _too_large(value: complex) -> InputError:
    msg = f"g, y: {value:g} has no preimage outside the support; a value nearer to 0 is required"
    return InputError(msg)


def _cauchy(law: Law, z: ComplexArray) -> tuple[ComplexArray, ComplexArray]:
    """G and G' on both half-planes."""
    below = z.imag < 0
    g, slope = law._transform(upper(z))
    return np.where(below, g.conj(), g), np.where(below, slope.conj(), slope)


def r_transform(law: Law, g: ComplexArray) -> ComplexArray:
    """K(g) - 1/g, where K inverts G outside the support.

    The unknown is u with z = c + 1/u, c the mean, in which G is near the identity: Newton from
    u = g, damped so that z stays out of the hull of the support where G jumps.
    """
    mean, (low, high) = law.mean(), law.support()
    result = np.full(g.shape, mean, dtype=np.complex128)
    for k, value in enumerate(g):
        if value != 0:
            result[k] = _preimage(law, complex(value), mean, low, high) - 1 / value
    return result


def _preimage(law: Law, value: complex, mean: Real, low: float, high: float) -> complex:
    z = mean + 1 / value
    if value.imag == 0:
        z = complex(min(z.real, low) if value.real < 0 else max(z.real, high))
        return _real_preimage(law, value.real, z.real, low, high)
    for _ in range(_STEPS):
        cauchy, slope = (complex(a[0]) for a in _cauchy(law, np.array([z])))
        error = cauchy - value
        if abs(error) <= 1e-14 * abs(value):
            return z
        # Newton for 1/G - 1/value, which is almost linear in z
        step = (1 / cauchy - 1 / value) * cauchy**2 / slope
        while (z + step).imag * z.imag <= 0:
            step *= 0.5
        z += step
    raise _too_large(value)


def _real_preimage(law: Law, value: float, z: float, low: float, high: float) -> complex:
    sign = 1.0 if value > 0 else -1.0
    end = high if value > 0 else low
    near, far = 0.0, max(1.0, abs(z - end), abs(high - low))

    def size(t: float) -> float:
        g = _cauchy(law, np.array([end + sign * t], dtype=complex))[0][0]
        return float(sign * g.real)

    while size(far) > abs(value):
        near, far = far, 4 * far
    t = far
    for _ in range(4 * _STEPS):
        t = 0.5 * (near + far)
        if size(t) > abs(value):
            near = t
        else:
            far = t
        if far - near <= 4e-16 * far:
            break
    if near == 0.0 and abs(size(far) - abs(value)) > 1e-9 * abs(value):
        raise _too_large(value)
    return complex(end + sign * t)


def s_transform(law: Law, y: ComplexArray) -> ComplexArray:
    """g/y with g R(g) = y: fixed-point form g = y/R(g), sped up by the secant rule."""
    mean = law.mean()
    if mean == 0:
        msg = "s_transform: the law has mean 0; the S-transform needs a mean other than 0"
        raise InputError(msg)
    result = np.empty(y.shape, dtype=np.complex128)
    for k, value in enumerate(y):
        result[k] = _s_value(law, complex(value), mean)
    return result


def _s_value(law: Law, y: complex, mean: Real) -> complex:
    if y == 0:
        return complex(1 / mean)

    def excess(g: complex) -> complex:
        return g * complex(law.r_transform(np.array([g]))[0]) - y

    old, new = y / mean * 0.99, y / mean
    error_old, error_new = excess(old), excess(new)
    for _ in range(_STEPS):
        if abs(error_new) <= 1e-14 * abs(y) or error_new == error_old:
            break
        old, new = new, new - error_new * (new - old) / (error_new - error_old)
        error_old, error_new = error_new, excess(new)
    if abs(error_new) > 1e-10 * abs(y):
        raise _too_large(y)
    return new / y

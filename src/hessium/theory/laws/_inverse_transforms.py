r"""R- and S-transforms by functional inversion, for laws without a closed form of them.

Off the support $h(z) = c/z + \dots$ is inverted, h = G or h = z G - 1: on a ray of the real line
by bisection, elsewhere by Newton. Near zero, where differences cancel, the series in the
free cumulants replaces both.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from hessium._typing import ComplexArray, FloatArray, Real
from hessium.errors import InputError
from hessium.theory._half_plane import upper
from hessium.theory.laws.cumulants import CumulantSeries

Function = Callable[[ComplexArray], tuple[ComplexArray, ComplexArray]]

_STEPS, _BISECTIONS = 80, 320
_ROUNDING = 4e-16
_PATH = np.geomspace(1e-2, 1.0, 40).tolist()


def _too_large(name: str, value: complex) -> InputError:
    shown = value.real if value.imag == 0 else value
    msg = f"{name}: {shown:g}; no preimage off the support found, a value nearer to 0 is required"
    return InputError(msg)


def r_transform(transform: Function, series: CumulantSeries, g: ComplexArray) -> ComplexArray:
    """K(g) - 1/g, where K inverts G outside the support.

    Args:
        transform: G and G' at points with Im z >= 0.
        series: of the law.
        g: values of G.
    """
    g = _checked("g", g)

    def cauchy(z: ComplexArray) -> tuple[ComplexArray, ComplexArray]:
        return _on_both_sides(transform, z)

    result = np.empty(g.shape, dtype=np.complex128)
    near = np.abs(g) * series.reach >= 1
    result[~near] = series.r_transform(g[~near])
    inner = g[near]
    result[near] = (
        _preimages(series.support, "g", cauchy, 1.0, inner, series.mean + 1 / inner) - 1 / inner
    )
    return result


def s_transform(transform: Function, series: CumulantSeries, y: ComplexArray) -> ComplexArray:
    """g/y with g R(g) = y, that is z G(z) - 1 = y at g = G(z); arguments as in `r_transform`."""
    y, mean = _checked("y", y), series.mean
    if mean == 0:
        msg = "s_transform: the law has mean 0; the S-transform needs a mean other than 0"
        raise InputError(msg)

    def excess(z: ComplexArray) -> tuple[ComplexArray, ComplexArray]:
        g, slope = _on_both_sides(transform, z)
        return z * g - 1, g + z * slope

    result = np.empty(y.shape, dtype=np.complex128)
    near = np.abs(y / mean) * series.reach >= 1
    result[~near] = [_from_series(series, "y", complex(value), mean) for value in y[~near]]
    inner = y[near]
    z = _preimages(series.support, "y", excess, mean, inner, mean / inner + series.variance / mean)
    result[near] = _on_both_sides(transform, z)[0] / inner
    return result


def _checked(name: str, values: ComplexArray) -> ComplexArray:
    """The values; imaginary parts below rounding are set to zero."""
    if not np.isfinite(values).all():
        raise _too_large(name, complex(values[~np.isfinite(values)][0]))
    rounding = np.abs(values.imag) <= np.finfo(float).eps * np.abs(values.real)
    return np.where(rounding, values.real, values)


def _on_both_sides(transform: Function, z: ComplexArray) -> tuple[ComplexArray, ComplexArray]:
    """G and G' on both half-planes."""
    below = z.imag < 0
    with np.errstate(all="ignore"):  # G' diverges at an edge
        g, slope = transform(upper(z))
    return np.where(below, g.conj(), g), np.where(below, slope.conj(), slope)


def _preimages(
    support: tuple[Real, Real],
    name: str,
    h: Function,
    weight: float,
    values: ComplexArray,
    start: ComplexArray,
) -> ComplexArray:
    """The z outside the hull of the support at which h takes values, h(z) ~ weight/z far out."""
    result = np.empty(values.shape, dtype=np.complex128)
    real = values.imag == 0
    with np.errstate(all="ignore"):
        if real.any():
            result[real] = _on_rays(support, name, h, weight, values.real[real])
        for k in np.flatnonzero(~real):
            z = _off_axis(h, weight, complex(values[k]), complex(start[k]))
            if z is None:
                raise _too_large(name, complex(values[k]))
            result[k] = z
    return result


def _on_rays(
    support: tuple[Real, Real], name: str, h: Function, weight: float, values: FloatArray
) -> FloatArray:
    """By bisection in the distance from the support, all at once.

    From infinity inwards |h| grows up to an edge or to a zero of h' (for z G - 1 there is
    at most one, on the ray where it is negative times the mean, as F is convex there). The
    first distance at which |h| reaches the value is the answer, if it comes before that zero.
    """
    low, high = support
    upwards = values * weight > 0
    end, sign = np.where(upwards, high, low), np.where(upwards, 1.0, -1.0)

    def look(t: FloatArray) -> tuple[FloatArray, FloatArray]:
        height, slope = h((end + sign * t).astype(np.complex128))
        return np.abs(height.real), weight * slope.real

    def outside(t: FloatArray) -> npt.NDArray[np.bool_]:
        height, slope = look(t)
        return (height < np.abs(values)) & (slope < 0)

    near, far = np.zeros(values.shape), np.full(values.shape, max(high - low, abs(high), abs(low)))
    for _ in range(_BISECTIONS):
        short = ~outside(far)
        if not short.any():
            break
        near, far = np.where(short, far, near), np.where(short, 4 * far, far)
    for _ in range(_BISECTIONS):
        middle = 0.5 * (near + far)
        out = outside(middle)
        near, far = np.where(out, near, middle), np.where(out, middle, far)
        if (far - near <= _ROUNDING * far).all():
            break
    height, slope = look(near)
    before, after = np.abs(height - np.abs(values)), np.abs(look(far)[0] - np.abs(values))
    passed = (near > 0) & (height >= np.abs(values)) & (slope < 0)
    met = passed | (np.minimum(before, after) <= 1e-9 * np.abs(values))  # at an edge, to rounding
    if not met.all():
        raise _too_large(name, complex(values[~met][0]))
    return np.asarray(end + sign * np.where(before < after, near, far))


def _off_axis(h: Function, weight: float, value: complex, start: complex) -> complex | None:
    """Newton's method, at once or along a path of values that grows from near zero."""
    z = _newton(h, value, start)
    if z is None:
        z = start + weight * (1 / _PATH[0] - 1) / value
        for share in _PATH:
            z = _newton(h, value * share, z)
            if z is None:
                break
    return z


def _newton(h: Function, value: complex, z: complex) -> complex | None:
    """Newton for 1/h, which is almost linear in z, in the half-plane where z starts."""
    for _ in range(_STEPS):
        now, slope = (complex(a[0]) for a in h(np.array([z])))
        if abs(now - value) <= 1e-14 * abs(value) + _ROUNDING:
            return z
        step = (1 / now - 1 / value) * now**2 / slope
        for _ in range(_STEPS):
            # approach the axis by a factor at most, so that the iteration does not stop there
            if math.copysign(1.0, z.imag) * (z + step).imag > 0.1 * abs(z.imag):
                break
            step *= 0.5
        z += step
    return None


def _from_series(series: CumulantSeries, name: str, y: complex, mean: float) -> complex:
    """The secant rule for g R(g) = y."""
    if y == 0:
        return complex(1 / mean)

    def excess(g: complex) -> complex:
        return g * complex(series.r_transform(np.array([g]))[0]) - y

    old, new = y / mean * 0.99, y / mean
    error_old, error_new = excess(old), excess(new)
    for _ in range(_STEPS):
        if abs(error_new) <= 1e-15 * abs(y) or error_new == error_old:
            break
        old, new = new, new - error_new * (new - old) / (error_new - error_old)
        error_old, error_new = error_new, excess(new)
    if not (abs(error_new) <= 1e-10 * abs(y) and abs(new) * series.reach <= 2):
        raise _too_large(name, y)
    return new / y

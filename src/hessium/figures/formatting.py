"""Numbers as words, in plain Unicode."""

from __future__ import annotations

import math

import numpy as np

from hessium.figures.records import Numbers

_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def digits(value: float | int, significant: int = 3) -> str:
    """`value` to so many significant digits, with a power of ten where it is far from one.

    Integers below 10⁹ are written out if ten digits or more are asked for; what is no finite
    number is ∞, −∞ or "not a number".
    """
    if not math.isfinite(value):
        return "not a number" if math.isnan(value) else "∞" if value > 0 else "−∞"
    if value == 0:
        return "0"
    if value == int(value) and abs(value) < 1e9 and significant >= 10:
        return f"{int(value):,}".replace("-", "−")
    # rounded in text: a power of ten below 10^-308 is no float of full precision
    mantissa, _, power_of_ten = f"{value:.{significant - 1}e}".partition("e")
    exponent = int(power_of_ten)
    if -4 < exponent < 6:
        places = max(significant - 1 - exponent, 0)
        return _trimmed(f"{float(f'{mantissa}e{exponent}'):.{places}f}").replace("-", "−")
    factor = _trimmed(mantissa)
    power = f"10{superscript(exponent)}"
    text = factor[:-1] + power if factor in ("1", "-1") else f"{factor}×{power}"
    return text.replace("-", "−")


def telling(low: float, high: float, significant: int = 3) -> int:
    """Significant digits that tell both ends to about 10^-significant of the way between them."""
    reach = max(abs(low), abs(high)) / (high - low) if high > low else 1.0
    return min(significant + max(0, math.floor(math.log10(reach))), 17)


def superscript(exponent: int) -> str:
    """An integer as superscript: −6 is ⁻⁶."""
    return str(exponent).translate(_SUPERSCRIPT)


def between(values: Numbers, significant: int = 3) -> str:
    """From the least to the greatest of some numbers; one number where both read the same."""
    array = np.asarray(values, dtype=np.float64)
    low, high = digits(float(array.min()), significant), digits(float(array.max()), significant)
    return low if low == high else f"{low} to {high}"


def _trimmed(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text

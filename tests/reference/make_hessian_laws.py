"""Writes hessian_laws.json: densities and masses of the two Hessian laws to 25 digits.

Run by hand: `python tests/reference/make_hessian_laws.py`. Independent of the library: the density
is the root of the printed polynomial (eq. 18 and eq. 30 of Pennington and Bahri 2017) in 60-digit
arithmetic, the edges are roots of dz/dG = 0, and masses come from the inverse-function integral;
for a few parameters that integral is compared here with a quadrature of the density.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mpmath as mp

mp.mp.dps = 60
ENERGIES = (1e-8, 1e-5, 1e-3, 0.02, 0.1, 1.0, 10.0)
RATIOS = (1e-3, 0.1, 0.5, 0.96875, 1.0, 2.0, 9.0, 100.0)
SHARES = (0.02, 0.2, 0.5, 0.83, 0.99)
NEAR = 1e-9


def polynomial(model: str, e: Any, p: Any, z: Any) -> list[Any]:
    """Coefficients in G, highest first; eq. 18, or eq. 30 at scale 1."""
    if model == "linear":
        return [2 * e * p, -(2 * e + z * p), z + p - 1, mp.mpf(-1)]
    return [
        z * e * p**3,
        -e * p**2 * (z + p - 2),
        -p * (2 * z + e * (1 - p)),
        2 * (z - (1 - p)),
        mp.mpf(-2),
    ]


def r_transform(model: str, e: Any, p: Any, g: Any) -> Any:
    extra = 2 * e * g if model == "linear" else e * p * g / (2 - e * p**2 * g**2)
    return 1 / (1 - p * g) + extra


def slope(model: str, e: Any, p: Any, g: Any) -> Any:
    """dz/dG for z = R(G) + 1/G."""
    extra = (
        2 * e if model == "linear" else e * p * (2 + e * p**2 * g**2) / (2 - e * p**2 * g**2) ** 2
    )
    return p / (1 - p * g) ** 2 + extra - 1 / g**2


def slope_numerator(model: str, e: Any, p: Any) -> list[Any]:
    """Polynomial in G whose real roots hold the edges, highest first."""

    def times(a: list[Any], b: list[Any]) -> list[Any]:
        out = [mp.mpf(0)] * (len(a) + len(b) - 1)
        for i, x in enumerate(a):
            for j, y in enumerate(b):
                out[i + j] += x * y
        return out

    def plus(a: list[Any], b: list[Any]) -> list[Any]:
        size = max(len(a), len(b))
        a, b = [mp.mpf(0)] * (size - len(a)) + a, [mp.mpf(0)] * (size - len(b)) + b
        return [x + y for x, y in zip(a, b, strict=True)]

    one_less = times([-p, mp.mpf(1)], [-p, mp.mpf(1)])
    g2 = [mp.mpf(1), mp.mpf(0), mp.mpf(0)]
    if model == "linear":
        poly = plus([p * c for c in g2], times([2 * e * c for c in g2], one_less))
        return plus(poly, [-c for c in one_less])
    inner = [-e * p**2, mp.mpf(0), mp.mpf(2)]
    square = times(inner, inner)
    first = times([p * c for c in g2], square)
    second = times(times([e * p * e * p**2, mp.mpf(0), 2 * e * p], g2), one_less)
    return plus(plus(first, second), [-c for c in times(one_less, square)])


def roots_of(coefficients: list[Any]) -> list[Any]:
    while coefficients[0] == 0:  # the ReLU polynomials lose a degree at ratio 2
        coefficients = coefficients[1:]
    return list(mp.polyroots(coefficients, maxsteps=2000, extraprec=600))


def edges(model: str, e: Any, p: Any) -> list[Any]:
    roots = roots_of(slope_numerator(model, e, p))
    real = [mp.re(g) for g in roots if abs(mp.im(g)) < mp.mpf(10) ** (-0.4 * mp.mp.dps) * abs(g)]
    ends = [r_transform(model, e, p, g) + 1 / g for g in real]
    if len(ends) % 2:  # at ratio 2 the ReLU law has a hard edge at zero, where G is infinite
        ends.append(mp.mpf(0))
    return sorted(ends)


def root(model: str, e: Any, p: Any, x: Any) -> Any:
    return min(roots_of(polynomial(model, e, p, x)), key=mp.im)


def density(model: str, e: Any, p: Any, x: Any) -> Any:
    return max(mp.mpf(0), -mp.im(root(model, e, p, x)) / mp.pi)


def mass(model: str, e: Any, p: Any, x: Any) -> Any:
    """1 - Im Phi / pi with Phi = xG - 1 - log G - int R, inside the support."""
    g = root(model, e, p, x)
    phi = x * g - mp.log(g) + mp.log(1 - p * g) / p
    if model == "linear":
        phi -= e * g**2
    else:
        jump = p * mp.sqrt(e / 2)
        phi += (mp.log(1 - jump * g) + mp.log(1 + jump * g)) / (2 * p)
    return 1 - mp.im(phi) / mp.pi


def check_by_quadrature(model: str, e: Any, p: Any) -> None:
    ends = edges(model, e, p)
    x = ends[-2] + (ends[-1] - ends[-2]) * mp.mpf("0.3")
    below = mp.mpf(0)
    for low, high in zip(ends[::2], ends[1::2], strict=True):
        top = min(high, x)
        if top > low:
            half = (high - low) / 2
            angle = mp.re(mp.acos((low + half - top) / half))
            below += mp.quad(
                lambda t, low=low, half=half: (
                    density(model, e, p, low + half * (1 - mp.cos(t))) * half * mp.sin(t)
                ),
                mp.linspace(0, angle, 9),
            )
    error = abs(below - mass(model, e, p, x))
    if error > mp.mpf(10) ** -12:
        msg = f"{model} {e} {p}: quadrature differs by {mp.nstr(error, 3)}"
        raise ArithmeticError(msg)


def rows(model: str) -> list[dict[str, Any]]:
    out = []
    for energy in ENERGIES:
        for ratio in RATIOS:
            e, p = mp.mpf(energy), mp.mpf(ratio)
            ends = edges(model, e, p)
            points = []
            for low, high in zip(ends[::2], ends[1::2], strict=True):
                shares = [*SHARES, NEAR, 1 - NEAR]
                points += [(float(low + (high - low) * s), s in (NEAR, 1 - NEAR)) for s in shares]
            out.append(
                {
                    "model": model,
                    "energy": energy,
                    "ratio": ratio,
                    "edges": [mp.nstr(x, 25) for x in ends],
                    "x": [x for x, _ in points],
                    "near_edge": [near for _, near in points],
                    "pdf": [mp.nstr(density(model, e, p, mp.mpf(x)), 25) for x, _ in points],
                    "cdf": [mp.nstr(mass(model, e, p, mp.mpf(x)), 25) for x, _ in points],
                }
            )
    return out


def main() -> None:
    for model in ("linear", "relu"):
        for energy, ratio in ((0.1, 0.25), (0.004, 2.0)):
            mp.mp.dps = 25
            check_by_quadrature(model, mp.mpf(energy), mp.mpf(ratio))
            mp.mp.dps = 60
    table = rows("linear") + rows("relu")
    lines = ",\n".join(json.dumps(row) for row in table)
    Path(__file__).with_name("hessian_laws.json").write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()

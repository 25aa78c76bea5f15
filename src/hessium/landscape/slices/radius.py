r"""How far the quadratic model of a loss reaches in a line or a plane.

The model at $\theta$ is $q(d) = L + g^T d + \tfrac12 d^T H d$. At distance r it is right to the
fraction `within` if no direction u of the plane has

$$|L(\theta + r u) - q(r u)| > \mathrm{within} \cdot
  \max_w \left(r |g^T w| + \tfrac12 r^2 |w^T H w|\right),$$

both over unit vectors of the plane. Third and fourth directional derivatives predict the radius;
values of the loss along rays decide.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hessium._typing import BoolArray, FloatArray
from hessium.problem import EmpiricalRisk
from hessium.problem.many_points import ManyPoints

_LINES = 5  # of a plane: they determine a quartic form
_ANGLES = 180
_RAYS = 4  # on which the prediction is checked
_FACTORS = (0.5, 1.0, 1.3, 2.0)  # of the predicted radius
_FINER = 16  # directions of a half plane that are checked at the radius found
_NEARER = (0.5, 0.75, 0.9, 0.97)  # distances on those where that radius is too large
_MARGIN = 0.99  # for directions between them
_BISECTIONS = 7
_BITS = 4  # values by which rounding is measured
_OUTWARD = 6  # doublings beyond the largest distance


@dataclass(frozen=True)
class Plane:
    r"""The quadratic model in orthonormal coordinates of a line or a plane.

    Attributes:
        risk: the loss at the centre.
        many: evaluates it elsewhere.
        basis: orthonormal columns (P, k).
        value: L at the centre.
        slope: $g^T u_i$, (k,).
        bend: $u_i^T H u_j$, (k, k).
        noise: rounding error of the loss near the centre, measured.
    """

    risk: EmpiricalRisk
    many: ManyPoints
    basis: Tensor
    value: float
    slope: FloatArray
    bend: FloatArray
    noise: float

    def model(self, points: FloatArray) -> FloatArray:
        """Q at points (..., k)."""
        quadratic = np.einsum("...i,ij,...j->...", points, self.bend, points)
        return np.asarray(self.value + points @ self.slope + 0.5 * quadratic)

    def size(self, distances: FloatArray) -> FloatArray:
        """Largest change of the model at some distances, the scale of its error."""
        u = self.units(_ANGLES)
        linear = np.abs(u @ self.slope)
        curved = np.abs(np.einsum("ai,ij,aj->a", u, self.bend, u))
        r = np.asarray(distances, dtype=np.float64)[..., None]
        return np.asarray((r * linear + 0.5 * r**2 * curved).max(axis=-1))

    def units(self, number: int) -> FloatArray:
        """Unit vectors of one half of the plane, (number, k); one of a line."""
        if len(self.slope) == 1:
            return np.ones((1, 1))
        angles = np.pi * np.arange(number) / number
        return np.stack([np.cos(angles), np.sin(angles)], axis=1)

    def losses(self, points: FloatArray) -> FloatArray:
        """L at points (m, k)."""
        theta, rows = self.risk.theta, torch.as_tensor(points).to(self.basis)
        columns = self.basis.mT
        return self.many.values(lambda part: torch.addmm(theta, rows[part], columns), len(rows))

    def wrong(self, points: FloatArray, values: FloatArray, within: float) -> BoolArray:
        """Whether the model is off by more than the fraction, at points (m, k)."""
        scale = self.size(np.linalg.norm(points, axis=-1))
        error = np.abs(values - self.model(points))
        return np.asarray(~(error <= within * scale + self.rounding(np.abs(values))))

    def rounding(self, size: FloatArray) -> FloatArray:
        """Error that is put down to rounding, where the values have some size."""
        eps = torch.finfo(self.risk.dtype).eps
        return np.asarray(64 * eps * np.maximum(size, abs(self.value)) + 4 * self.noise)


def measured_noise(risk: EmpiricalRisk, many: ManyPoints, rng: np.random.Generator) -> float:
    """Largest change of the loss when the last bits of the parameters change.

    Where residuals are small, rounding in the outputs exceeds that of the loss itself by far.
    """
    values = many.batches(_rounded(risk, rng)).sum(axis=1) / risk.denominator
    return float(np.abs(values - risk.value()).max())


def batch_noise(risk: EmpiricalRisk, many: ManyPoints, totals: FloatArray) -> FloatArray:
    """The same for the totals of each batch."""
    found = many.batches(_rounded(risk, np.random.default_rng(0)))
    return np.asarray(np.abs(found - totals).max(axis=0))


def _rounded(risk: EmpiricalRisk, rng: np.random.Generator) -> Tensor:
    """Parameters that differ in their last bits, one row each."""
    signs = torch.as_tensor(rng.choice([-1.0, 1.0], (_BITS, risk.dim))).to(risk.theta)
    return risk.theta * (1 + torch.finfo(risk.dtype).eps * signs)


def predicted_radius(plane: Plane, within: float, reach: float) -> tuple[float, FloatArray]:
    """Radius by third and fourth directional derivatives, and the direction that limits it.

    Infinite if both vanish to rounding. Cost: two values for each of 1 or 5 lines, repeated at a
    smaller step where the radius is smaller than the step.

    Args:
        plane: the quadratic model.
        within: the fraction.
        reach: four times the first step.
    """
    step = reach / 4
    lines = plane.units(_LINES)
    radius, worst = math.inf, lines[0]
    for _ in range(2):
        third, fourth = _derivatives(plane, lines, step)
        radius, worst = _first_violation(plane, lines, third, fourth, within)
        if radius >= step:
            break
        step = radius / 2
    return radius, worst


def _derivatives(plane: Plane, lines: FloatArray, step: float) -> tuple[FloatArray, FloatArray]:
    """Third and fourth derivatives along lines, from the values at both ends of a step."""
    losses = plane.losses(np.concatenate([step * lines, -step * lines]))
    up, down = np.split(losses, 2)
    slope = lines @ plane.slope
    bend = np.einsum("ai,ij,aj->a", lines, plane.bend, lines)
    odd = (up - down) / 2 - slope * step
    even = (up + down) / 2 - plane.value - bend * step**2 / 2
    size = np.abs(up) + np.abs(down) + np.abs(slope) * step + np.abs(bend) * step**2
    noise = plane.rounding(size)
    third = np.where(np.abs(odd) > noise, 6 * odd / step**3, 0.0)
    fourth = np.where(np.abs(even) > noise, 24 * even / step**4, 0.0)
    return third, fourth


def _first_violation(
    plane: Plane, lines: FloatArray, third: FloatArray, fourth: FloatArray, within: float
) -> tuple[float, FloatArray]:
    """Smallest distance at which the quartic Taylor polynomial leaves the quadratic model."""
    if len(plane.slope) == 1:
        units, cubic, quartic = np.array([[1.0], [-1.0]]), np.r_[third, -third], np.r_[fourth] * 1.0
        quartic = np.repeat(quartic, 2)
    else:
        half = plane.units(_ANGLES)
        units = np.concatenate([half, -half])
        cubic = _form(units, 3) @ np.linalg.lstsq(_form(lines, 3), third, rcond=None)[0]
        quartic = _form(units, 4) @ np.linalg.lstsq(_form(lines, 4), fourth, rcond=None)[0]
    if not (np.abs(cubic).max() or np.abs(quartic).max()):
        return math.inf, units[0]
    # |c r^3 / 6 + d r^4 / 24| = within * size(r), by a fine scan in the logarithm of r
    scale = _scale_of(plane, cubic, quartic)
    r = scale * np.logspace(-8, 8, 6401)
    size = within * plane.size(r)
    error = np.abs(cubic[:, None] * r**3 / 6 + quartic[:, None] * r**4 / 24)
    bad = error > size
    first = np.where(bad.any(axis=1), bad.argmax(axis=1), len(r) - 1)
    at = int(first.argmin())
    return (float(r[first[at]]) if bad.any() else math.inf), units[at]


def _form(units: FloatArray, degree: int) -> FloatArray:
    """Monomials of a form of a degree in two variables."""
    x, y = units[:, 0], units[:, 1]
    return np.stack([x ** (degree - i) * y**i for i in range(degree + 1)], axis=1)


def _scale_of(plane: Plane, cubic: FloatArray, quartic: FloatArray) -> float:
    bend = float(np.abs(np.linalg.eigvalsh(plane.bend)).max()) + float(np.abs(plane.slope).max())
    sizes = [bend / abs(c) ** 1 for c in (np.abs(cubic).max(),) if c > 0]
    sizes += [math.sqrt(bend / q) for q in (np.abs(quartic).max(),) if q > 0]
    return min(sizes) if bend > 0 else 1.0


def checked_radius(
    plane: Plane, predicted: float, worst: FloatArray, within: float, reach: float
) -> float:
    """The radius, by values of the loss along rays.

    Args:
        plane: the quadratic model.
        predicted: radius by derivatives.
        worst: the direction that limits it.
        within: the fraction.
        reach: the largest distance of the slice, up to which an infinite radius is checked.
    """
    half = plane.units(_RAYS // 2)
    rays = np.unique(np.concatenate([half, -half, worst[None], -worst[None]]).round(12), axis=0)
    base = predicted if math.isfinite(predicted) and predicted > 0 else reach / 2
    known: dict[int, list[tuple[float, bool]]] = {i: [] for i in range(len(rays))}

    def tried(pairs: list[tuple[int, float]]) -> list[bool]:
        points = np.array([rays[i] * r for i, r in pairs])
        bad = plane.wrong(points, plane.losses(points), within).tolist()
        for (i, r), one in zip(pairs, bad, strict=True):
            known[i].append((r, one))
        return [bool(one) for one in bad]

    for factor in _FACTORS:  # outward, as far as the model is right on all rays
        if any(tried([(i, base * factor) for i in known])):
            break
    if not any(one for pairs in known.values() for _, one in pairs):
        if not math.isfinite(predicted):
            return math.inf
        r = base * _FACTORS[-1]
        for _ in range(_OUTWARD):  # the derivatives promised less than the loss keeps
            r *= 2
            if any(tried([(i, r) for i in known])):
                break
        else:
            return math.inf
    elif min(r for pairs in known.values() for r, one in pairs if one) <= base * _FACTORS[0]:
        r = base * _FACTORS[0]
        for _ in range(30):
            r /= 2
            if not any(tried([(i, r) for i in known])):
                break
        else:
            return 0.0
    radius = _bisected(known, tried)
    if len(plane.slope) == 1 or not math.isfinite(radius):
        return radius
    # other directions between those rays
    finer = plane.units(_FINER)
    rays = np.concatenate([rays, finer, -finer])
    new = range(len(rays) - 2 * _FINER, len(rays))
    known.update({i: [] for i in new})
    bad = tried([(i, radius) for i in new])
    nearer = [(i, radius * f) for i, one in zip(new, bad, strict=True) if one for f in _NEARER]
    if nearer:
        tried(nearer)
        radius = _bisected(known, tried)
    return radius * _MARGIN


def _bisected(
    known: dict[int, list[tuple[float, bool]]],
    tried: Callable[[list[tuple[int, float]]], list[bool]],
) -> float:
    """The smallest distance of a violation, refined on the rays that may hold it."""
    for _ in range(_BISECTIONS):
        ends = {i: _bracket(pairs) for i, pairs in known.items()}
        best = min(high for _, high in ends.values())
        open_rays = [(i, low, high) for i, (low, high) in ends.items() if low < best < math.inf]
        wide = [(i, math.sqrt(low * min(high, best))) for i, low, high in open_rays if low > 0]
        wide = [(i, r) for i, r in wide if best > 1.002 * ends[i][0]]
        if not wide:
            break
        tried(wide)
    return min(_bracket(pairs)[0] if _bracket(pairs)[1] < math.inf else math.inf
               for pairs in known.values())  # fmt: skip


def _bracket(pairs: list[tuple[float, bool]]) -> tuple[float, float]:
    """The last distance before the first violation, and that of the violation."""
    high = min((r for r, bad in pairs if bad), default=math.inf)
    return max((r for r, bad in pairs if not bad and r < high), default=0.0), high

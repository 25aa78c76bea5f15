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
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hessium._typing import BoolArray, FloatArray
from hessium.curvature import Hessian
from hessium.problem import EmpiricalRisk
from hessium.problem.many_points import ManyPoints

_LINES = 5  # of a plane: they determine a quartic form
_ANGLES = 180
_SCAN = 641  # distances of a scan
_NEAREST = 24  # points of the grid from which the first step is estimated
_BITS = 3  # values by which rounding is measured


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

    def errors(self, points: FloatArray, values: FloatArray, within: float) -> FloatArray:
        """Errors of the model over what is allowed, at points (m, k); infinite if not finite."""
        scale = self.size(np.linalg.norm(points, axis=-1))
        allowed = within * scale + self.rounding(np.abs(values))
        error = np.abs(values - self.model(points))
        found = np.where(error > 0, error / np.maximum(allowed, 1e-300), 0.0)
        return np.where(np.isfinite(values), found, np.inf)

    def wrong(self, points: FloatArray, values: FloatArray, within: float) -> BoolArray:
        """Whether the model is off by more than the fraction, at points (m, k)."""
        return np.asarray(self.errors(points, values, within) > 1)

    def rounding(self, size: FloatArray) -> FloatArray:
        """Error that is put down to rounding, where the values have some size."""
        eps = torch.finfo(self.risk.dtype).eps
        return np.asarray(64 * eps * np.maximum(size, abs(self.value)) + 4 * self.noise)


def measured_noise(
    risk: EmpiricalRisk, many: ManyPoints, value: float, rng: np.random.Generator
) -> float:
    """Largest change of the loss when the last bits of the parameters change.

    Where residuals are small, rounding in the outputs exceeds that of the loss itself by far.
    """
    values = many.batches(_rounded(risk, rng)).sum(axis=1) / risk.denominator
    return float(np.abs(values - value).max())


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
        radius, worst = _first_violation(plane, *_forms(lines, third, fourth), within)
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


def radius_of_grid(
    plane: Plane, points: FloatArray, values: FloatArray, within: float
) -> tuple[float, FloatArray, bool]:
    """About the radius, by the quartic that fits the errors at the points next to the centre.

    Infinite if these are rounding. Cost: none.

    Returns:
        The radius, the direction that limits it, and whether several points are within it, so that
        it is as good as `predicted_radius`.
    """
    sizes = np.linalg.norm(points, axis=1)
    near = np.argsort(sizes, kind="stable")
    near = near[(sizes[near] > 0) & np.isfinite(values[near])][:_NEAREST]
    x, found = points[near], values[near]
    error = found - plane.model(x)
    error[np.abs(error) <= plane.rounding(np.abs(found))] = 0.0
    if not error.any():
        return math.inf, plane.units(1)[0], False
    size = float(np.median(sizes[near]))
    cubic = _form(x / size, 3)
    terms = np.concatenate([cubic / 6, _form(x / size, 4) / 24], axis=1)
    fitted = np.linalg.lstsq(terms, error, rcond=None)[0]
    third, fourth = np.split(fitted, [cubic.shape[1]])
    radius, worst = _first_violation(plane, third / size**3, fourth / size**4, within)
    several = bool(radius >= 2 * sizes[near[0]]) and len(near) >= terms.shape[1]
    return radius, worst, several


def _forms(
    lines: FloatArray, third: FloatArray, fourth: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Coefficients of the cubic and the quartic form with these derivatives along lines."""
    cubic = np.linalg.lstsq(_form(lines, 3), third, rcond=None)[0]
    quartic = np.linalg.lstsq(_form(lines, 4), fourth, rcond=None)[0]
    return np.asarray(cubic, dtype=np.float64), np.asarray(quartic, dtype=np.float64)


def _first_violation(
    plane: Plane, third: FloatArray, fourth: FloatArray, within: float
) -> tuple[float, FloatArray]:
    """Smallest distance at which the quartic Taylor polynomial leaves the quadratic model."""
    half = plane.units(_ANGLES)
    units = np.concatenate([half, -half])
    cubic, quartic = _form(units, 3) @ third, _form(units, 4) @ fourth
    if not (np.abs(cubic).max() or np.abs(quartic).max()):
        return math.inf, units[0]
    # |c r^3 / 6 + d r^4 / 24| = within * size(r), by a scan in the logarithm of r and a finer one
    r, at = _scale_of(plane, cubic, quartic) * np.logspace(-8, 8, _SCAN), 0
    for _ in range(2):
        size = within * plane.size(r)
        bad = np.abs(cubic[:, None] * r**3 / 6 + quartic[:, None] * r**4 / 24) > size
        if not bad.any():
            return math.inf, units[at]
        first = np.where(bad.any(axis=1), bad.argmax(axis=1), len(r) - 1)
        at = int(first.argmin())
        r = np.geomspace(r[max(first[at] - 1, 0)], r[first[at]], _SCAN)
    return float(r[-1]), units[at]


def _form(units: FloatArray, degree: int) -> FloatArray:
    """Monomials of a form of a degree in one or two variables."""
    if units.shape[1] == 1:
        return units**degree
    x, y = units[:, 0], units[:, 1]
    return np.stack([x ** (degree - i) * y**i for i in range(degree + 1)], axis=1)


def _scale_of(plane: Plane, cubic: FloatArray, quartic: FloatArray) -> float:
    bend = float(np.abs(np.linalg.eigvalsh(plane.bend)).max()) + float(np.abs(plane.slope).max())
    sizes = [bend / abs(c) ** 1 for c in (np.abs(cubic).max(),) if c > 0]
    sizes += [math.sqrt(bend / q) for q in (np.abs(quartic).max(),) if q > 0]
    return min(sizes) if bend > 0 else 1.0


def plane_of(hessian: Hessian, many: ManyPoints, columns: Tensor) -> tuple[Plane, FloatArray]:
    """The quadratic model in an orthonormal basis, and the map from coordinates to that basis."""
    basis, mixing = torch.linalg.qr(columns.double())
    basis = basis.to(columns.dtype)
    risk = hessian.risk
    products = hessian @ basis
    bend = (basis.mT @ products).double()
    slope = (hessian.value_and_gradient()[1] @ basis).double()
    value = risk.value()
    plane = Plane(
        risk=risk,
        many=many,
        basis=basis,
        value=value,
        slope=slope.cpu().numpy(),
        bend=((bend + bend.mT) / 2).cpu().numpy(),
        noise=measured_noise(risk, many, value, np.random.default_rng(0)),
    )
    return plane, mixing.cpu().numpy()

r"""Continuation of a critical point as the ridge goes to zero."""

from __future__ import annotations

import math
import warnings

import numpy as np
from torch import Tensor

from hessium._arguments import count, fraction, function, nonnegative
from hessium._random import Rng, generator
from hessium.errors import ConvergenceWarning, InputError
from hessium.landscape.certify import certify
from hessium.landscape.find import normal, point_of, require_searchable, surface_of
from hessium.landscape.levenberg_marquardt import LevenbergMarquardt
from hessium.landscape.noise_floor import PROBES, stopping_at
from hessium.landscape.objective import Surface
from hessium.landscape.point import CriticalPoint
from hessium.linalg.damped import damped_solve
from hessium.problem import EmpiricalRisk
from hessium.progress import Progress, silent

_LEAST = 1e-12  # of the first ridge: the last one before zero itself
_HALVINGS = 8  # of a step in log r; then the path ends
_CORRECTED = 0.5  # predicted steps: a corrector that moves further has found another point
_SAME = 1e-8  # |H| |theta|: gradients of one risk by two routes differ by less


def continue_ridge(
    risk: EmpiricalRisk,
    point: CriticalPoint,
    to: float = 0.0,
    *,
    factor: float = 0.5,
    max_steps: int = 60,
    rng: Rng = 0,
    progress: Progress = silent,
) -> tuple[CriticalPoint, ...]:
    r"""Follow a critical point of $L + \tfrac r2 |\theta|^2$ while r falls.

    Along the path $\nabla L(\theta) + r \theta = 0$, so that

    $$\frac{d\theta}{dr} = -(\nabla^2 L + r I)^{-1} \theta ,$$

    which predicts the next point; Levenberg-Marquardt corrects it, and it is certified anew. If the
    corrector converges to another point the step in log r is halved. The path ends at `to`, or
    where no further certified point exists: at a fold, where an eigenvalue passes zero. Minimisers
    without a ridge may lie at infinity; then $|\theta|$ grows without bound as r falls, and the
    last point, at r = 0, is not critical.

    Args:
        risk: as for `find_critical_point`.
        point: start of the path, certified, with a ridge.
        to: last ridge; if it is zero, the path passes through $10^{-12}$ times the first ridge.
        factor: ratio of the ridges of consecutive points, between 0 and 1.
        max_steps: of each corrector.
        rng: of the certificates' tests.
        progress: called with points found and points expected.

    Returns:
        The points, `point` first, all critical except possibly the last: the point beyond a fold
        (often gradient-flat), or at r = 0. A warning reports a path that ended early. The index may
        change along the path at a bifurcation.

    Raises:
        InputError: for a point that is not critical, has no ridge or belongs to another risk, and
            for other arguments that break a rule, before any step.
        SelfCheckError: if products of the Hessian are wrong for this model.

    Cost: one self-check; a damped solve and a Hessian for each step, 15 to 30 Hessians for each
    certificate.

    Example:
        >>> line = hs.EmpiricalRisk(nn.Linear(1, 1).double(), loss, (x, y))
        >>> point = hs.find_critical_point(line, ridge=0.1)
        >>> path = hs.continue_ridge(line, point, to=0.05)
        >>> path[-1].ridge, path[-1].kind
        (0.05, 'critical')
    """
    factor, max_steps = fraction("factor", factor), count("max_steps", max_steps)
    to = nonnegative("to", to)
    function("progress", progress, "(done, total, what) ")
    source = generator(rng)
    _check(risk, point, to)
    plain = surface_of(risk.at(point.theta), 0.0)
    end = max(to, _LEAST * point.ridge)
    foreseen = math.ceil(math.log(end / point.ridge) / math.log(factor)) + (to < end)
    path, share, halvings = [point], factor, 0
    while path[-1].ridge > end:
        progress(len(path) - 1, foreseen, "points")
        last = path[-1]
        ridge = max(last.ridge * share, end)
        draws = normal(PROBES, risk.dim, source).to(risk.device)
        surface = plain.with_ridge(ridge)
        start = _predicted(surface, last)
        found = _corrected(surface, start, max_steps, draws)
        predicted = float((start - last.theta).norm())
        corrected = float((found.theta - start).norm())
        if found.kind == "critical" and corrected <= _CORRECTED * predicted:
            path.append(found)
            share, halvings = max(factor, share**2), max(halvings - 1, 0)
        elif halvings < _HALVINGS:
            share, halvings = math.sqrt(share), halvings + 1
        else:
            warnings.warn(_ended(path), ConvergenceWarning, stacklevel=2)
            return (*path, found) if found.kind != "critical" else tuple(path)
    if to < end:
        draws = normal(PROBES, risk.dim, source).to(risk.device)
        surface = plain.with_ridge(to)
        path.append(_corrected(surface, path[-1].theta, max_steps, draws))
    return tuple(path)


def _predicted(surface: Surface, last: CriticalPoint) -> Tensor:
    """Predictor along the tangent of the path."""
    # the Hessian where the point is, with its own ridge
    matrix = surface.hessian(last.theta)
    matrix.diagonal().add_(last.ridge - surface.ridge)
    return last.theta + (last.ridge - surface.ridge) * damped_solve(matrix, last.theta, 0.0)


def _corrected(surface: Surface, start: Tensor, max_steps: int, draws: Tensor) -> CriticalPoint:
    walk = LevenbergMarquardt().find(surface, start, stopping_at(surface, start, max_steps, draws))
    judged = certify(surface, walk, draws)
    return point_of(surface, judged, method="continuation", steps=walk.steps)


def _ended(path: list[CriticalPoint]) -> str:
    spectra = (point.spectrum for point in (path[0], path[-1]))
    first, last = (float(np.abs(s.nodes).min()) for s in spectra if s is not None)
    return (
        f"the path ends at ridge {path[-1].ridge:.3g}: no point of this branch was found below. "
        f"The smallest |eigenvalue| is {last:.2g}, and {first:.2g} at the start; where it "
        "reaches zero two critical points merge and vanish (a fold)"
    )


def _check(risk: EmpiricalRisk, point: CriticalPoint, to: float) -> None:
    require_searchable(risk)
    if not isinstance(point, CriticalPoint):
        msg = f"point: {type(point).__name__}; a result of find_critical_point is required"
        raise InputError(msg)
    if point.kind != "critical":
        msg = f"point: {point.kind}; a critical point is required"
        raise InputError(msg)
    if point.theta.shape != (risk.dim,):
        msg = f"point: {len(point.theta)} parameters; the risk has {risk.dim}"
        raise InputError(msg)
    if not point.ridge > to:
        msg = f"to: {to}; a ridge below that of the point, {point.ridge}, is required"
        raise InputError(msg)
    left = float((risk.at(point.theta).gradient() + point.ridge * point.theta).norm())
    steep = float(np.abs(point.spectrum.nodes).max()) if point.spectrum is not None else 0.0
    if left > point.gradient_norm + _SAME * steep * (float(point.theta.norm()) or 1.0):
        msg = (
            f"point: its gradient is {left:.2g} on this risk and was {point.gradient_norm:.2g}; a "
            "critical point of this risk is required"
        )
        raise InputError(msg)

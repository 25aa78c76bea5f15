"""Public entry point: search for a critical point and certify it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from hessium._arguments import count, function, nonnegative
from hessium._random import Rng, generator
from hessium.curvature import Hessian
from hessium.curvature.requirements import require_risk
from hessium.errors import ConvergenceWarning, InputError, NonFiniteError
from hessium.landscape.certify import Judged, certify
from hessium.landscape.gradient_norm import GradientNorm
from hessium.landscape.levenberg_marquardt import LevenbergMarquardt
from hessium.landscape.newton_mr import NewtonMR
from hessium.landscape.noise_floor import PROBES, stopping_at
from hessium.landscape.objective import RiskSurface, Surface
from hessium.landscape.point import CriticalPoint
from hessium.landscape.saddle import Saddle
from hessium.landscape.starts import down_to_index, random_like
from hessium.landscape.trajectory import Finder, spread
from hessium.landscape.two_layer import recognise
from hessium.problem import EmpiricalRisk
from hessium.progress import Progress, silent

METHODS: dict[str, Callable[[], Finder]] = {
    "levenberg-marquardt": LevenbergMarquardt,
    "newton-mr": NewtonMR,
    "gradient-norm": GradientNorm,
}
_SADDLE = "saddle"
MAX_DIM = 4000  # parameters: a dense Hessian of 128 MB and its eigenvectors

Start: TypeAlias = "Tensor | Callable[[np.random.Generator], Tensor] | None"


def find_critical_point(
    risk: EmpiricalRisk,
    start: Start = None,
    method: str = "levenberg-marquardt",
    *,
    index: int | None = None,
    index_tolerance: int | None = None,
    ridge: float = 0.0,
    restarts: int = 0,
    max_steps: int = 300,
    rng: Rng = 0,
    progress: Progress = silent,
) -> CriticalPoint:
    r"""Search for a zero of the gradient, polish it to rounding level and classify it.

    The point belongs to $F(\theta) = L(\theta) + \tfrac r2|\theta|^2$: its gradient, Hessian, index
    and certificate are those of F, its `loss` is L.

    | method | what it does | for |
    |---|---|---|
    | "saddle" | reflected Newton dynamics towards a target `index` | dense Hessians |
    | "levenberg-marquardt" | damped least-squares Newton steps on the gradient | dense Hessians |
    | "newton-mr" | the same from Hessian products | larger models |
    | "gradient-norm" | plain descent on the squared gradient | the published protocol |

    The last three minimise $|g|$ and may stop where g is in the kernel of H (kind "gradient-flat").
    With `index` given the search starts on the training path, where the Hessian has that index.

    A point is "critical" if the Newton-Kantorovich theorem (Ortega & Rheinboldt 1970, theorem
    12.6.2; Deuflhard 2011, section 2.1) gives a zero of the gradient beside it: with
    $H = V \Lambda V^T$ in the modes whose curvature exceeds rounding,

    $$h = \eta\,\omega \le \tfrac14, \qquad \eta = \big| |\Lambda|^{-1/2} V^T g \big|, $$

    where $\omega$ is a Lipschitz constant of $|\Lambda|^{-1/2} V^T H V |\Lambda|^{-1/2}$ in the
    norm of $\eta$. The zero then has the index of the point. The theorem allows $h \le 1/2$, but
    $\omega$ is estimated from differences of Hessians and gradients nearby: the certificate is not
    a proof. Modes without curvature must be tangent to a manifold of critical points.

    Args:
        risk: the risk with loss L, in float64.
        start: parameters; a function that draws them from a generator, called again for each
            restart; or None for the parameters of the risk. Restarts from fixed parameters add
            noise of a tenth, three tenths, ... of their size.
        method: see above.
        index: for "saddle", the target number of negative eigenvalues.
        index_tolerance: accepted difference from the target; by default a tenth of the index, hence
            0 below 10. For an index of some tens, three or more saves restarts.
        ridge: r.
        restarts: number of further attempts while the point is not critical or its index is not
            accepted.
        max_steps: limit for each attempt.
        rng: of the noise, of drawn starts, and of the directions in which the certificate probes.
        progress: called with numbers done and in all of tries begun, steps of descent to the index,
            steps of the search, and parts of the certificate.

    Returns:
        The first successful attempt; else the best one, with its kind, and a warning. An attempt
        that reaches a non-finite loss or derivative is "diverging" or "unconverged", and the next
        one begins.

    Raises:
        InputError: for arguments that break a rule, before any search.
        SelfCheckError: if products of the Hessian are wrong for this model.
        NonFiniteError: if loss, gradient or Hessian are not finite at any start.

    Cost: reported in the result; the certificate takes 15 to 30 Hessians with eigenvalues.

    Example:
        >>> line = hs.EmpiricalRisk(nn.Linear(1, 1).double(), loss, (x, y))
        >>> point = hs.find_critical_point(line)
        >>> point.kind, point.index.value
        ('critical', 0)
    """
    tolerance = _check(risk, method, index, index_tolerance, restarts, max_steps)
    ridge = nonnegative("ridge", ridge)
    function("progress", progress, "(done, total, what) ")
    source = generator(rng)
    start = _checked_start(risk, start)
    finder = Saddle(index, tolerance) if index is not None else METHODS[method]()
    surface, steps, best = None, 0, None
    for attempt in range(restarts + 1):
        progress(attempt, restarts + 1, "tries")
        first = _start(risk, start, attempt, source)
        if surface is None:
            surface = _surface_at(risk, first, ridge)
        if surface is None:
            continue
        if index is not None:
            first = down_to_index(surface, first, index, progress=progress)
        draws = normal(PROBES, risk.dim, source).to(risk.device)
        judged, taken = _search(surface, finder, first, max_steps, draws, progress)
        steps += taken
        best = judged if best is None else min(best, judged, key=lambda j: _rank(j, index))
        if _succeeds(judged, index, tolerance):
            break
    if surface is None or best is None:
        msg = (
            f"start: loss, gradient or Hessian are not finite in {attempt + 1} tries; start where "
            "they are"
        )
        raise NonFiniteError(msg)
    if not _succeeds(best, index, tolerance):
        warnings.warn(_advice(best, index, attempt, ridge), ConvergenceWarning, stacklevel=2)
    return point_of(surface, best, method=method, target=index, restarts=attempt, steps=steps)


def point_of(
    surface: Surface,
    judged: Judged,
    *,
    method: str,
    steps: int,
    target: int | None = None,
    restarts: int = 0,
) -> CriticalPoint:
    """A result from a classified point and the cost so far."""
    return CriticalPoint(
        theta=judged.theta,
        loss=surface.loss(judged.theta),
        ridge=surface.ridge,
        gradient_norm=judged.gradient,
        kind=judged.kind,
        index=judged.index,
        certificate=judged.certificate,
        spectrum=judged.spectrum,
        method=method,
        target=target,
        restarts=restarts,
        steps=steps,
        num_gradients=surface.cost.gradients,
        num_hessians=surface.cost.hessians,
        num_matvecs=surface.cost.products,
    )


def _search(
    surface: Surface,
    finder: Finder,
    first: Tensor,
    max_steps: int,
    draws: Tensor,
    progress: Progress,
) -> tuple[Judged, int]:
    walk = finder.find(surface, first, stopping_at(surface, first, max_steps, draws, progress))
    return certify(surface, walk, draws, progress), walk.steps


def surface_of(risk: EmpiricalRisk, ridge: float) -> Surface:
    """The closed form if there is one, compared with the risk at two points; else the risk.

    Raises:
        SelfCheckError: if products of the Hessian are wrong for this model.
        NonFiniteError: if loss or derivatives, or their squares, are not finite at its parameters.
    """
    try:
        Hessian(risk)  # checks itself
    except OverflowError as error:
        msg = "gradient or Hessian: their squares are not finite"
        raise NonFiniteError(msg) from error
    closed = recognise(risk, ridge)
    if closed is not None:
        vector, move = normal(2, risk.dim, np.random.default_rng(0)).to(risk.theta)
        # beside the parameters: at zero all networks without biases look alike
        there = risk.at(risk.theta + spread(risk.theta) * move)
        product = Hessian(there, check=False) @ vector
        pairs = (
            (closed.gradient(there.theta), there.gradient() + ridge * there.theta),
            (closed.operator(there.theta) @ vector, product + ridge * vector),
        )
        if all(float((a - b).norm()) <= 1e-10 * float(b.norm()) for a, b in pairs):
            closed.cost.gradients = 0
            return closed
    return RiskSurface(risk, ridge)


def _surface_at(risk: EmpiricalRisk, first: Tensor, ridge: float) -> Surface | None:
    """The surface, checked at the risk or at a start; None if it is finite at neither."""
    for there in (risk, risk.at(first)):
        try:
            return surface_of(there, ridge)
        except NonFiniteError:
            continue
    return None


def require_searchable(risk: EmpiricalRisk) -> None:
    """Raise InputError for a risk whose critical points cannot be certified."""
    require_risk(risk)
    if risk.dtype != torch.float64:
        msg = f"risk: {risk.dtype}; critical points need float64 (model.double() and double data)"
        raise InputError(msg)
    if risk.dim > MAX_DIM:
        msg = f"risk: {risk.dim} parameters; certificates need a dense Hessian, at most {MAX_DIM}"
        raise InputError(msg + " (restrict the risk to some parameters)")


def _check(
    risk: EmpiricalRisk,
    method: str,
    index: int | None,
    index_tolerance: int | None,
    restarts: int,
    max_steps: int,
) -> int:
    """Check the arguments; returns the tolerance of the index."""
    require_searchable(risk)
    names = (*METHODS, _SADDLE)
    if method not in names:
        msg = f"method: {method!r}; one of {', '.join(names)} is required"
        raise InputError(msg)
    if (index is not None) != (method == _SADDLE):
        msg = f"index: {index} with method {method!r}; an index is required with 'saddle' only"
        raise InputError(msg)
    if index is not None and count("index", index, at_least=0) > risk.dim:
        msg = f"index: {index}; 0 <= index <= {risk.dim} (the parameters) is required"
        raise InputError(msg)
    count("restarts", restarts, at_least=0)
    count("max_steps", max_steps, at_least=1)
    if index_tolerance is None:
        return (index or 0) // 10
    return count("index_tolerance", index_tolerance, at_least=0)


def _checked_start(risk: EmpiricalRisk, start: Start) -> Start:
    """`start` after checks; the parameters of the risk for None."""
    if callable(start):
        return start
    return risk.theta if start is None else _parameters(risk, start)


def _parameters(risk: EmpiricalRisk, start: Tensor) -> Tensor:
    try:
        return risk.at(start).theta
    except InputError as error:
        msg = str(error).replace("theta", "start", 1)
        raise InputError(msg) from error


def _start(risk: EmpiricalRisk, start: Start, attempt: int, source: np.random.Generator) -> Tensor:
    if callable(start):
        return _parameters(risk, start(source))
    assert isinstance(start, Tensor)
    theta = start
    if attempt == 0:
        return theta
    draws = normal(1, risk.dim, source)[0].to(theta)
    return random_like(theta, risk.layout.sizes, 0.1 * 3.0 ** (attempt - 1), draws)


def normal(count: int, dim: int, source: np.random.Generator) -> Tensor:
    """Standard normal draws, shape (count, dim)."""
    return torch.from_numpy(source.standard_normal((count, dim)))


def _succeeds(judged: Judged, index: int | None, tolerance: int) -> bool:
    return judged.kind == "critical" and (
        index is None or abs(judged.index.value - index) <= tolerance
    )


def _rank(judged: Judged, index: int | None) -> tuple[bool, float]:
    """Sort key: critical points first, by the error of their index; others by their gradient."""
    off = abs(judged.index.value - index) if index is not None else 0
    critical = judged.kind == "critical"
    return (not critical, float(off) if critical else judged.gradient)


def _advice(best: Judged, index: int | None, attempt: int, ridge: float) -> str:
    tries = f"{attempt + 1} tries" if attempt else "one try"
    if best.kind == "critical":
        return f"the nearest critical point in {tries} has index {best.index!r}, not {index}; " + (
            "raise restarts or index_tolerance"
        )
    advice = {
        "gradient-flat": "try restarts, another start, or method='saddle' with an index",
        "diverging": "its critical points may lie at infinity: "
        + ("raise the ridge or max_steps" if ridge else "add a ridge"),
        "unconverged": "raise max_steps or restarts",
    }[best.kind]
    return f"no critical point in {tries}: {best.certificate.reason}; {advice}"

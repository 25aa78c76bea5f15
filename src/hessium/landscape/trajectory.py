"""Base class of the finders: stopping rules, trajectory, line search."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from hessium.errors import NonFiniteError
from hessium.landscape.objective import Surface
from hessium.linalg.threads import dense_algebra
from hessium.progress import Progress, silent

_GROWS = 1.02  # |theta| at the end over |theta| half way: parameters that grow more may diverge
_SHRUNK = 1e-3  # largest |theta| of the search: below it |theta| fluctuates, growth says nothing
_RESTS = 1e-12  # |theta|: a shorter step is rounding
_GAINS = 0.7  # smallest |g| in the last steps over the smallest before: more is a stall


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopping:
    r"""Stopping rules common to all finders.

    Attributes:
        gradient: stop at this norm of the gradient; the certificate polishes further.
        steps: largest number of steps.
        growth: stop as diverging if $|\theta|$ exceeds this multiple of its value after two steps.
        progress: called with the steps taken and the largest number of steps.
    """

    gradient: float = 1e-10
    steps: int = 300
    growth: float = 1e6
    progress: Progress = silent


@dataclass(slots=True)
class Walk:
    """State and history of a finder.

    Attributes:
        theta: parameters.
        gradients: norm of the gradient at every step, the start first.
        radii: norm of the parameters, likewise.
        start: the first point.
        last: the last non-zero step.
        ended: "gradient", "steps", "runs away", "stuck" or "not finite" (loss or derivatives are
            not finite further on); empty while it runs.
        switches: number of changes of k in an index-targeted search.
    """

    theta: Tensor
    gradients: list[float] = field(default_factory=list)
    radii: list[float] = field(default_factory=list)
    start: Tensor = field(init=False)
    last: Tensor | None = None
    ended: str = ""
    switches: int = 0

    def __post_init__(self) -> None:
        self.start = self.theta

    @property
    def steps(self) -> int:
        """Steps taken."""
        return max(len(self.gradients) - 1, 0)

    @property
    def growth(self) -> float:
        r"""$|\theta|$ at the end over $|\theta|$ half way."""
        return self.radii[-1] / max(self.radii[len(self.radii) // 2], 1e-300)

    @property
    def grows(self) -> bool:
        """Whether |theta| grew by 2 % in the second half, and the last step was not short.

        Not if it has shrunk towards zero, where the radius fluctuates.
        """
        if self.last is None or self.growth <= _GROWS:
            return False
        if self.radii[-1] < _SHRUNK * max(self.radii):
            return False
        half = len(self.radii) // 2
        pace = (self.radii[-1] - self.radii[half]) / (len(self.radii) - half)
        return float(self.last.norm()) > 0.1 * pace

    @property
    def rests(self) -> bool:
        """Whether the last step was at rounding level, as at a kink."""
        return self.last is not None and float(self.last.norm()) <= _RESTS * self.radii[-1]

    def stalls(self, patience: int) -> bool:
        r"""Whether $|g|$ no longer decreases; a successful search ends in a few fast steps.

        From `patience` steps on the smallest $|g|$ must decrease by 30 % over the second half of
        the trajectory, or over `patience` steps if that is longer.
        """
        if self.steps < patience:
            return False
        before = len(self.gradients) - min(self.steps // 2, patience)
        return min(self.gradients[before:]) > _GAINS * min(self.gradients[:before])

    def go_on(self, other: Walk) -> None:
        """Append another trajectory that starts at the end of this one."""
        self.theta, self.ended = other.theta, other.ended
        self.last = self.last if other.last is None else other.last
        self.gradients += other.gradients
        self.radii += other.radii

    def arrive(self, theta: Tensor, gradient: Tensor, stopping: Stopping) -> bool:
        """Append a new point; False if the search ends.

        A point without a finite gradient is not appended.
        """
        finite = bool(torch.isfinite(gradient).all())
        if not finite:
            self.ended = "not finite"
            if self.gradients:
                return False
        if theta is not self.theta:
            self.last = theta - self.theta
        self.theta = theta
        self.gradients.append(float(gradient.norm()))
        self.radii.append(float(theta.norm()))
        if not finite:
            return False
        stopping.progress(self.steps, stopping.steps, "steps")
        if self.gradients[-1] <= stopping.gradient:
            self.ended = "gradient"
        elif self.radii[-1] > stopping.growth * max(self.radii[:3]):
            self.ended = "runs away"
        elif self.steps >= stopping.steps:
            self.ended = "steps"
        return not self.ended


class Finder(ABC):
    """A method that searches for a critical point."""

    name: str

    def find(self, surface: Surface, start: Tensor, stopping: Stopping) -> Walk:
        """Search from `start`; it ends before points with non-finite derivatives."""
        walk, gradient = Walk(start), surface.gradient(start)
        try:
            if walk.arrive(start, gradient, stopping):
                with dense_algebra(len(start)):
                    self._walk(surface, walk, gradient, stopping)
        except NonFiniteError:
            walk.ended = "not finite"
        return walk

    @abstractmethod
    def _walk(self, surface: Surface, walk: Walk, gradient: Tensor, stopping: Stopping) -> None:
        """Continue from the start of `walk`, with the gradient there, until it ends."""


def backtrack(
    merit: Callable[[Tensor], float],
    theta: Tensor,
    step: Tensor,
    now: float,
    slope: float,
    *,
    length: float = 1.0,
    share: float = 1e-4,
) -> tuple[Tensor, float, float] | None:
    r"""Halve a step until $m(\theta + a p) \le m(\theta) + c\, a\, m'(\theta) p$ (Armijo).

    Args:
        merit: m.
        theta: the point.
        step: p.
        now: m(theta).
        slope: $m' p < 0$.
        length: first a.
        share: c.

    Returns:
        The new point, its merit and a; None if no length is accepted after 60 halvings.
    """
    for _ in range(60):
        there = theta + length * step
        value = merit(there)
        if value <= now + share * length * slope:
            return there, value, length
        length /= 2
    return None


def half_square(gradient: Tensor) -> float:
    r"""The merit $\tfrac12 |g|^2$."""
    return float(gradient @ gradient) / 2


def spread(theta: Tensor) -> float:
    """The root mean square of the parameters, the length of first steps; 1 where all are zero."""
    return float(theta.square().mean().sqrt()) or 1.0


def negative(values: Tensor) -> int:
    """Number of negative entries."""
    return int((values < 0).sum())


def descend(
    surface: Surface,
    start: Tensor,
    ends: Callable[[Tensor, float], bool],
    *,
    every: int = 1,
    steps: int = 20000,
) -> list[Tensor]:
    r"""Gradient descent on F with backtracking: a training path.

    Args:
        surface: F.
        start: first point.
        ends: (theta, F there) -> whether to stop; called after every `every` steps.
        every: see there.
        steps: largest number of steps.

    Returns:
        The last `every` + 1 points at most, the last one last.
    """
    theta, value, length = start, surface.value(start), 1.0
    path = [theta]
    for step in range(steps):
        gradient = surface.gradient(theta)
        slope = -float(gradient @ gradient)
        if slope == 0:
            break
        found = backtrack(surface.value, theta, -gradient, value, slope, length=length, share=0.25)
        if found is None:
            break
        theta, value, length = found
        length *= 1.5
        path.append(theta)
        if (step + 1) % every == 0:
            if ends(theta, value):
                break
            path = [theta]
    return path


def interpolate(path: list[Tensor], at: float) -> Tensor:
    """A point on the polygon through the points of a path, `at` in [0, len - 1]."""
    i = min(int(at), len(path) - 2)
    return torch.lerp(path[i], path[i + 1], at - i)

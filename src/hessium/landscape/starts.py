"""Starting points of a search: on a training path, at an energy or an index."""

from __future__ import annotations

import torch
from torch import Tensor

from hessium.errors import NonFiniteError
from hessium.landscape.objective import Surface
from hessium.landscape.trajectory import Stopping, descend, interpolate, spread
from hessium.linalg.ldl import ShiftedLDL
from hessium.progress import Progress, silent

_PLATEAU = 200  # steps without a lower index that are always allowed


def index_at(surface: Surface, theta: Tensor) -> int:
    """Negative eigenvalues of the Hessian, by one factorisation."""
    return ShiftedLDL(surface.hessian(theta), 0.0).count_below()


def down_to_energy(surface: Surface, start: Tensor, level: float, *, steps: int = 20000) -> Tensor:
    """The first point of the training path from `start` at which F is no more than `level`.

    Cost: one gradient and about one value a step.
    """
    if surface.value(start) <= level:
        return start
    return descend(surface, start, lambda _, value: value <= level, steps=steps)[-1]


def down_to_index(
    surface: Surface,
    start: Tensor,
    index: int,
    *,
    steps: int = 3000,
    progress: Progress = silent,
) -> Tensor:
    r"""A point of the training path at which the Hessian has `index` negative eigenvalues.

    The index decreases along the path, not monotonically: a segment where it passes `index` is
    located and bisected. If the start has a smaller index, it is first scaled towards zero
    (networks without biases have their largest index there). If the path diverges, or reaches
    non-finite derivatives, the search begins at `start`.

    The descent stops if the index has not decreased for 200 steps and for as many as taken before:
    at a minimum or a kink it never decreases.

    Args:
        surface: F.
        start: first point.
        index: target.
        steps: largest number of descent steps; near index 0 descent is slow and the search itself
            faster.
        progress: called with the steps of descent and their largest number.

    Cost: one gradient and about one value a step; one Hessian and one factorisation every 8 to 200
    steps and for each bisection.
    """
    try:
        found = _along_the_path(surface, start, index, steps, progress)
    except NonFiniteError:
        return start
    away = Stopping().growth * max(float(start.norm()), spread(start))
    return found if float(found.norm()) <= away else start


def _along_the_path(
    surface: Surface, start: Tensor, index: int, steps: int, progress: Progress
) -> Tensor:
    for _ in range(12):
        if index_at(surface, start) >= index:
            break
        start = 0.7 * start
    here, every = start, 8
    taken, lowest, fell = 0, surface.dim, 0
    while taken < steps and taken - fell <= max(fell, _PLATEAU):
        path = descend(surface, here, lambda *_: True, every=every, steps=every)
        taken += every
        progress(min(taken, steps), steps, "steps of descent")
        here = path[-1]
        if len(path) < 2:
            return here
        now = index_at(surface, here)
        if now <= index:
            return _passing(surface, path, index)
        if now < lowest:
            lowest, fell = now, taken
        every = min(every * 5 // 4, 200) if now > index + 10 else 25
    return here


def _passing(surface: Surface, path: list[Tensor], index: int) -> Tensor:
    """Between the first point, of an index above, and the last, of one no greater."""
    low, high = 0.0, float(len(path) - 1)
    for _ in range(12):
        middle = (low + high) / 2
        here = interpolate(path, middle)
        now = index_at(surface, here)
        if now == index:
            return here
        low, high = (middle, high) if now > index else (low, middle)
    return interpolate(path, high)


def random_like(start: Tensor, sizes: tuple[int, ...], scale: float, draws: Tensor) -> Tensor:
    """A new start: `start` plus noise of `scale` times the root mean square of each parameter.

    Where all are zero, of `scale` itself.

    Args:
        start: shape (n,).
        sizes: of the parameters, one after the other.
        scale: of the noise.
        draws: standard normal, shape (n,).
    """
    parts = zip(start.split(list(sizes)), draws.split(list(sizes)), strict=True)
    noise = [
        part.square().mean().sqrt().clamp_min(1e-2 * float(start.abs().max()) or 1.0) * draw
        for part, draw in parts
    ]
    return start + scale * torch.cat(noise)

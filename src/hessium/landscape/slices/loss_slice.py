"""A loss along one or two directions, beside its quadratic model."""

from __future__ import annotations

import contextlib
import math
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from hessium._arguments import count, fraction, memory, positive
from hessium._arithmetic import full_precision
from hessium._display import Displayable
from hessium._random import Rng
from hessium._typing import FloatArray
from hessium._workers import require_workers
from hessium.curvature import Hessian
from hessium.errors import ConvergenceWarning, InputError
from hessium.landscape.slices.directions import (
    Directions,
    checked_directions,
    made_directions,
)
from hessium.landscape.slices.radius import (
    plane_of,
    predicted_radius,
    radius_of_grid,
)
from hessium.landscape.slices.rays import checked_radius
from hessium.landscape.slices.refinement import heights_of, is_logarithmic, refined
from hessium.landscape.slices.share import trace_share
from hessium.landscape.slices.slice_state import SliceState
from hessium.landscape.slices.slice_values import SliceValues, Source, sampling_stderr
from hessium.problem import EmpiricalRisk
from hessium.progress import Progress, silent

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from hessium.figures.views.marks import Points

_MOST = 1001  # points along one direction
_LEVELS = 20  # of refinement
_UNIT = 5e-3  # of a length: with three digits it is one
_RIGHT = 0.1  # degrees


@dataclass(frozen=True, slots=True, kw_only=True, repr=False, eq=False)
class LossSlice(Displayable):
    r"""Values of a loss on a line or a plane through its parameters.

    Attributes:
        coordinates: of the points along each direction, one array (num,) a direction; equidistant
            unless refined.
        values: $L(\theta + \sum_i c_i d_i)$, (num,) or (num, num); the first index belongs to the
            first direction.
        quadratic: the quadratic model $L + g^T d + \tfrac12 d^T H d$ at the same points.
        validity_radius: distance in the parameters up to which the quadratic model is right to the
            fraction `within` of its largest change at that distance, in every direction of the
            slice; infinite if no violation was found.
        within: the fraction.
        theta: the parameters at the centre (P,).
        directions: columns (P, k).
        labels: of the directions.
        trace_share: $\sum_i u_i^T H u_i / \mathrm{tr} H$ over an orthonormal basis of the slice.
        trace_share_stderr: its standard error; 0 where the trace is exact.
        trace_share_lower, trace_share_upper: its interval of 95 % over the random vectors of the
            trace, by Student's distribution; infinite if the trace may be zero.
        sampling_stderr: standard error of the values over the samples of the data, of the shape of
            `values`; None unless asked for.

    Example:
        >>> line = hs.loss_slice(risk, "gradient", extent=0.1, num=5)
        >>> len(line.coordinates), line.validity_radius > 0
        (1, True)
    """

    coordinates: tuple[FloatArray, ...]
    values: FloatArray
    quadratic: FloatArray
    validity_radius: float
    within: float
    theta: Tensor
    directions: Tensor
    labels: tuple[str, ...]
    trace_share: float
    trace_share_stderr: float
    sampling_stderr: FloatArray | None
    trace_share_lower: float = math.nan
    trace_share_upper: float = math.nan

    @property
    def distances(self) -> FloatArray:
        """Distance of every point from the centre, in the parameters."""
        gram = (self.directions.mT @ self.directions).double().cpu().numpy()
        points = np.stack(np.meshgrid(*self.coordinates, indexing="ij"), axis=-1)
        return np.asarray(np.sqrt(np.einsum("...i,ij,...j->...", points, gram, points)))

    @property
    def logarithmic(self) -> bool:
        """Whether heights are drawn, and the slice is refined, by the logarithm of the loss."""
        finite = self.values[np.isfinite(self.values)]
        return is_logarithmic(finite)

    @property
    def columns(self) -> dict[str, FloatArray]:
        """One row for each point: coordinates, distance, value and quadratic model."""
        points = np.meshgrid(*self.coordinates, indexing="ij")
        found = {f"coordinate_{i + 1}": c for i, c in enumerate(points)}
        found |= {"distance": self.distances, "value": self.values, "quadratic": self.quadratic}
        if self.sampling_stderr is not None:
            found["sampling_stderr"] = self.sampling_stderr
        return {name: array.reshape(-1) for name, array in found.items()}

    @property
    def lengths(self) -> FloatArray:
        """Length of a unit of each coordinate, in the parameters (k,)."""
        return np.asarray(self.directions.double().norm(dim=0).cpu().numpy())

    @property
    def angle(self) -> float:
        """Angle between both directions, in degrees; NaN for a line."""
        if len(self.coordinates) == 1:
            return math.nan
        first, second = (self.directions.double() / self.directions.double().norm(dim=0)).unbind(1)
        return math.degrees(math.acos(max(-1.0, min(1.0, float(first @ second)))))

    @property
    def orthogonal(self) -> bool:
        """Whether the directions are at a right angle, to a tenth of a degree; true for a line."""
        return not abs(self.angle - 90) > _RIGHT

    @property
    def units(self) -> str:
        """Lengths of the directions and their angle in words; empty if they are orthonormal."""
        unit = np.abs(self.lengths - 1).max() < _UNIT
        sizes = " and ".join(f"{size:.3g}" for size in self.lengths)
        said = [] if unit else [f"length{'s' * (len(self.lengths) > 1)} per unit {sizes}"]
        if not self.orthogonal:
            said.append(f"angle {self.angle:.3g} degrees")
        return ", ".join(said)

    def project(self, theta: Tensor) -> tuple[FloatArray, float]:
        """Coordinates of the closest point of the slice, and the distance from it.

        Args:
            theta: parameters (P,), such as a critical point or a step of a training.
        """
        move = (theta.detach().to(self.theta) - self.theta).double()
        columns = self.directions.double()
        found = torch.linalg.lstsq(columns, move[:, None]).solution[:, 0]
        return found.cpu().numpy(), float((move - columns @ found).norm())

    def plot(self, ax: Axes | None = None, *, points: Points = (), **options: Any) -> Axes:
        """Draw the loss and its quadratic model on a line, or contours in a plane.

        Args:
            ax: axes to draw on; new ones in a new figure if None.
            points: critical points, or parameters (P,), to be marked at their projections: a list,
                or a mapping from names, which are their labels.
            options: of a line of matplotlib, such as `color`, for the first series.

        Returns:
            The axes.

        Raises:
            InputError: for points of another kind, or an option that is none.

        Example:
            >>> ax = hs.loss_slice(risk, "random", num=5).plot(points={"here": risk.theta})
        """
        return Displayable.plot(self, ax, points=points, **options)

    def __repr__(self) -> str:
        shape = " x ".join(str(len(c)) for c in self.coordinates)
        low, high = float(np.nanmin(self.values)), float(np.nanmax(self.values))
        units = f" ({self.units})" if self.units else ""
        return (
            f"LossSlice({shape} values from {low:.4g} to {high:.4g} along "
            f"{' and '.join(self.labels)}{units}; up to distance "
            f"{self.validity_radius:.3g} the quadratic model errs by at most "
            f"{100 * self.within:.3g} % of its largest change there, the slice reaches "
            f"{self.distances.max():.3g})"
        )


@full_precision()
def loss_slice(
    risk: EmpiricalRisk,
    directions: Directions = "eigenvectors",
    extent: float = 1.0,
    num: int = 51,
    *,
    refine: int = 0,
    within: float = 0.1,
    sampling: bool = False,
    max_bytes: int = 2**31,
    workers: int = 1,
    source: Source | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: Progress = silent,
    rng: Rng = 0,
) -> LossSlice:
    r"""The loss on a line or a plane through the parameters of a risk.

    $$L(\theta + c_1 d_1 + c_2 d_2), \qquad -e \le c_i \le e.$$

    Args:
        risk: the loss, at $\theta$.
        directions: columns (P, 1) or (P, 2), used with the length that they have; "eigenvectors"
            (the two eigenvalues of H of largest absolute value), "random" (two filter-normalised
            directions, Li et al. 2018), or "gradient".
        extent: largest coordinate e.
        num: points along each direction; odd numbers include the centre.
        refine: times that intervals between neighbouring coordinates are halved, in each direction
            where the surface is least smooth: where the error of linear interpolation, by second
            differences, exceeds a quarter of the largest one. At 1001 points along a direction it
            ends with a warning; `num` is at most 501 then.
        within: error of the quadratic model that defines `validity_radius`.
        sampling: also estimate the standard error of each value over the samples of the data, from
            the values of the batches; needs two batches or more.
        max_bytes: memory limit for stacked parameters (2 GiB), in each process.
        workers: processes, each on one thread. A process takes seconds to start.
        source: a function without arguments that makes the same risk in a worker, for risks that
            pickle refuses; by default a copy is sent.
        checkpoint: a folder that keeps the directions and finished values. The same call resumes
            from it, also with another extent or number of points.
        progress: called with the number of finished points and of all.
        rng: seed of random directions and of the trace.

    Returns:
        Values, quadratic model and the radius within which it is right.

    Raises:
        InputError: for bad arguments, before the first forward pass; for a checkpoint of another
            slice; for a risk that cannot be sent to a worker, or another one that `source` makes.
        BrokenExecutor: if a worker process is killed; finished points are in `checkpoint`.

    Cost: one forward pass for each point, with several parameters at once where that is faster; 4
    Hessian products for the trace, 2 for the model, about 60 forward passes for its radius, the
    self-check of the Hessian, and more products for eigenvectors.

    Example:
        >>> plane = hs.loss_slice(risk, "eigenvectors", extent=0.5, num=5)
        >>> plane.values.shape
        (5, 5)
    """
    extent, within = positive("extent", extent), fraction("within", within)
    num, refine = count("num", num, 3), count("refine", refine, 0)
    for name, given, most in (("num", num, _MOST), ("refine", refine, _LEVELS)):
        if given > most:
            msg = f"{name}: {given}; at most {most} is possible"
            raise InputError(msg)
    if refine and num > _MOST // 2 + 1:
        msg = (
            f"refine: {refine} with num = {num}; a refined slice has at most {_MOST} points along "
            f"a direction, so num <= {_MOST // 2 + 1} or refine = 0 is required"
        )
        raise InputError(msg)
    max_bytes = memory("max_bytes", max_bytes)
    require_workers(workers)
    if not isinstance(risk, EmpiricalRisk):
        msg = f"risk: {type(risk).__name__}; an hs.EmpiricalRisk is required"
        raise InputError(msg)
    if sampling and risk.num_batches < 2:
        msg = "sampling: one batch holds all data; give the data in several batches"
        raise InputError(msg)
    asked = checked_directions(risk, directions)
    hessian = Hessian(risk)
    state = None
    if checkpoint is not None:
        seed = rng if isinstance(asked, str) and isinstance(rng, int) else None
        state = SliceState(checkpoint, hessian, asked, risk.num_batches, seed)
    if state is None or state.columns is None:
        columns, labels = made_directions(hessian, asked, rng)
        if state is not None:
            state.begin(columns, labels)
    else:
        columns, labels = state.columns, state.labels
    known = SliceValues(
        risk, columns, max_bytes=max_bytes, workers=workers, source=source, state=state,
        progress=progress,
    )  # fmt: skip
    line = np.linspace(-extent, extent, num)
    line = (line - line[::-1]) / 2  # the centre is zero to the last bit
    axes: tuple[FloatArray, ...] = (line,) * columns.shape[1]
    with contextlib.closing(known):
        totals = known.at(_grid(axes))
        for level in range(refine):
            values = totals.sum(axis=1) / risk.denominator
            heights = heights_of(values).reshape([len(axis) for axis in axes])
            axes = refined(axes, heights, _MOST)
            totals = known.at(_grid(axes))
            if max(len(axis) for axis in axes) == _MOST:
                _warn_full(level + 1, refine)
                break
    values = totals.sum(axis=1) / risk.denominator
    plane, mixing = plane_of(hessian, known.many, columns)
    points = _grid(axes) @ mixing.T
    quadratic = plane.model(points)
    reach = float(np.linalg.norm(points, axis=1).max())
    bad = plane.wrong(points, values, within)
    nearest = float(np.linalg.norm(points[bad], axis=1).min()) if bad.any() else math.inf
    # derivatives at the scale of the radius, which the grid bounds from above
    predicted, worst, known_well = radius_of_grid(plane, points, values, within)
    if not known_well:
        predicted, worst = predicted_radius(plane, within, min(reach, nearest, 2 * predicted))
    radius = checked_radius(plane, predicted, worst, within, reach, nearest)
    share = trace_share(hessian, plane, rng)
    shape = tuple(len(axis) for axis in axes)
    return LossSlice(
        coordinates=axes,
        values=values.reshape(shape),
        quadratic=quadratic.reshape(shape),
        validity_radius=radius,
        within=within,
        theta=risk.theta,
        directions=columns,
        labels=labels,
        trace_share=share.value,
        trace_share_stderr=share.stderr,
        trace_share_lower=share.lower,
        trace_share_upper=share.upper,
        sampling_stderr=sampling_stderr(risk, totals).reshape(shape) if sampling else None,
    )


def _grid(axes: Sequence[FloatArray]) -> FloatArray:
    """Coordinates of all points, (m, k)."""
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))


def _warn_full(level: int, refine: int) -> None:
    warnings.warn(
        f"refine: ended at refinement {level} of {refine}, since a direction has {_MOST} points, "
        "the most possible; a smaller extent shows finer detail",
        ConvergenceWarning,
        stacklevel=4,
    )

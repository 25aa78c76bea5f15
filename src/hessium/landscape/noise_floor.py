"""Rounding errors of the derivatives at a point, measured at nearby points."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from hessium.errors import NonFiniteError
from hessium.landscape.objective import Surface
from hessium.landscape.trajectory import Stopping
from hessium.linalg.damped import eigensystem
from hessium.progress import Progress, silent

PROBES = 8  # random directions of the tests at a point
_SHARE = 1e-13  # of the first gradient: a search that gets there has converged
_EPS = torch.finfo(torch.float64).eps
_ULPS = 16.0  # units in the last place from the point to the probes
_GRADIENT = 32.0  # root mean squares of the probes' errors: no error of the gradient is larger
_NOISE = 0.25  # of that bound: smaller components of the gradient may be rounding alone
_HESSIAN = 8.0  # norms of one probe's error: no error of an eigenvalue is larger


@dataclass(frozen=True, slots=True)
class LocalModel:
    r"""A point with its derivatives and their rounding.

    Attributes:
        theta: parameters, shape (n,).
        gradient: g, shape (n,).
        values: eigenvalues of the Hessian, ascending.
        vectors: its eigenvectors, in columns.
        floors: rounding error of $|\langle v_i, g\rangle|$, shape (n,), for each mode: in a soft
            direction the gradient may be significant although stiff directions are at rounding
            level.
        cut: rounding error of an eigenvalue.
    """

    theta: Float[Tensor, " n"]
    gradient: Float[Tensor, " n"]
    values: Float[Tensor, " n"]
    vectors: Float[Tensor, "n n"]
    floors: Float[Tensor, " n"]
    cut: float

    @property
    def scale(self) -> float:
        """|H|."""
        return float(self.values.abs().max())

    @property
    def norm(self) -> float:
        """|g|."""
        return float(self.gradient.norm())

    @property
    def hessian(self) -> Float[Tensor, "n n"]:
        """The Hessian, from its eigenvalues and eigenvectors."""
        return (self.vectors * self.values) @ self.vectors.mT

    @property
    def slopes(self) -> Float[Tensor, " n"]:
        """Components of the gradient along the eigenvectors."""
        return self.vectors.mT @ self.gradient

    @property
    def resolution(self) -> float:
        """Smallest absolute eigenvalue that an eigensolver resolves."""
        return len(self.theta) * _EPS * self.scale

    @property
    def curved(self) -> Tensor:
        """Mask of the eigenvalues that exceed rounding."""
        return self.values.abs() > self.cut

    @property
    def excess(self) -> Float[Tensor, " n"]:
        """Gradient components over their rounding errors."""
        return self.slopes.abs() / self.floors

    def blur(self) -> float:
        """Displacement of the zero of the gradient by rounding, along modes of resolved curvature.

        Resolved by the eigensolver: at a kink the differences in `cut` are not rounding.
        """
        modes = self.values.abs() > self.resolution
        return float((self.floors[modes] / self.values[modes]).norm())

    def newton_step(self) -> Float[Tensor, " n"]:
        """$-H^+ g$, along the modes whose gradient component exceeds rounding.

        Near a symmetry, rounding divided by a small eigenvalue would give a long step.
        """
        clear = self.curved & (self.excess > _NOISE)
        along = torch.where(clear, self.slopes / torch.where(clear, self.values, 1), 0)
        return -(self.vectors @ along)


def gradient_rounding(
    surface: Surface,
    theta: Float[Tensor, " n"],
    lengths: Float[Tensor, " n"],
    draws: Float[Tensor, "k n"],
) -> Float[Tensor, "k n"]:
    r"""Samples of the error of the gradient.

    $(g(\theta + \delta) + g(\theta - \delta) - 2 g(\theta)) / \sqrt 6$ with $\delta$ of some units
    in the last place, so that the smooth part cancels.

    Args:
        surface: the function.
        theta: the point.
        lengths: scales of the parameters, for those that are zero.
        draws: standard normal.

    Cost: two gradients for each draw, and one more.
    """
    here = surface.gradient(theta)
    moves = _ULPS * ulps(theta, lengths) * draws
    return torch.stack(
        [surface.gradient(theta + m) + surface.gradient(theta - m) - 2 * here for m in moves]
    ) / math.sqrt(6)


def hessian_rounding(surface: Surface, theta: Tensor, lengths: Tensor, draw: Tensor) -> float:
    """Rounding error of the Hessian over its norm. Cost: 3 Hessians with eigenvalues."""
    move = _ULPS * ulps(theta, lengths) * draw
    here = surface.hessian(theta)
    error = surface.hessian(theta + move) + surface.hessian(theta - move) - 2 * here
    scale = norm_of(here)
    return norm_of(error) / math.sqrt(6) / scale if scale else 0.0


def norm_of(matrix: Float[Tensor, "n n"]) -> float:
    """The spectral norm of a symmetric matrix.

    Raises:
        NonFiniteError: if an entry is not finite.
    """
    if not bool(torch.isfinite(matrix).all()):
        msg = "matrix: entries are NaN or infinite"
        raise NonFiniteError(msg)
    return float(torch.linalg.eigvalsh(matrix).abs().max())


def stopping_at(
    surface: Surface,
    start: Tensor,
    steps: int,
    draws: Float[Tensor, "k n"],
    progress: Progress = silent,
) -> Stopping:
    """Stopping rule of a search: a fraction of the initial gradient, or its rounding error.

    Args:
        surface: the function.
        start: the first point.
        steps: largest number of steps.
        draws: standard normal; two are used.
        progress: called with the steps taken and the largest number of steps.
    """
    lengths = surface.lengths(start, start)
    noise = float(gradient_rounding(surface, start, lengths, draws[:2]).norm(dim=1).max())
    share = _SHARE * float(surface.gradient(start).norm())
    # near the boundary of the domain the differences are not finite
    least = max(share, 4 * noise if math.isfinite(noise) else 0)
    return Stopping(gradient=least, steps=steps, progress=progress)


def local_model(
    surface: Surface, theta: Tensor, lengths: Tensor, relative: float, draws: Float[Tensor, "k n"]
) -> LocalModel:
    """Derivatives at a point with their rounding errors.

    Args:
        surface: the function.
        theta: the point.
        lengths: of the parameters.
        relative: from `hessian_rounding`, here or nearby.
        draws: standard normal.

    Raises:
        NonFiniteError: if they are not finite.

    Cost: a Hessian with eigenvectors, two gradients a draw and two more.
    """
    gradient = surface.gradient(theta)
    if not bool(torch.isfinite(gradient).all()):
        msg = "gradient: not finite"
        raise NonFiniteError(msg)
    matrix = surface.hessian(theta)
    values, vectors = eigensystem(matrix)
    scale = float(values.abs().max())
    if not math.isfinite(float(matrix.square().sum() + gradient.square().sum())):
        msg = "gradient or Hessian: their squares are not finite"
        raise NonFiniteError(msg)
    noise = vectors.mT @ gradient_rounding(surface, theta, lengths, draws).mT
    products = matrix.abs() @ ulps(theta, lengths)
    floors = _GRADIENT * noise.square().mean(1).sqrt() + 4 * (vectors.abs().mT @ products)
    dim = max(len(theta), 16)
    return LocalModel(
        theta=theta,
        gradient=gradient,
        values=values,
        vectors=vectors,
        floors=floors.clamp_min(torch.finfo(torch.float64).tiny),
        cut=(_HESSIAN * relative + dim * _EPS) * scale,
    )


def ulps(theta: Tensor, lengths: Tensor) -> Float[Tensor, " n"]:
    """A unit in the last place of every parameter, or of its scale if it is near zero."""
    return _EPS * torch.maximum(theta.abs(), lengths)

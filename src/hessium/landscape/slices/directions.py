r"""Directions of a slice.

Filter normalisation (Li et al. 2018, arXiv:1712.09913, section 4): a random direction d is scaled
filter by filter to the norm of the weights, $d_{ij} \leftarrow d_{ij} |\theta_{ij}| / |d_{ij}|$.
A filter is one row of the first dimension of a weight. Parameters with fewer than two dimensions
(biases, scales and shifts of normalisations) are left at their values.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from hessium._arguments import count
from hessium._random import Rng, generator
from hessium.curvature import Hessian
from hessium.errors import InputError
from hessium.estimate import eigenpairs
from hessium.problem import EmpiricalRisk

Directions: TypeAlias = Tensor | str
NAMED = ("eigenvectors", "random", "gradient")


def checked_directions(risk: EmpiricalRisk, directions: Directions) -> Directions:
    """A name, or columns (P, k), k at most 2, in the dtype of the risk.

    Raises:
        InputError: if they are none of these, dependent, or not finite.
    """
    if isinstance(directions, str):
        if directions not in NAMED:
            msg = f"directions: {directions!r}; one of {', '.join(NAMED)}, or columns, is required"
            raise InputError(msg)
        return directions
    if not isinstance(directions, Tensor) or directions.dim() not in (1, 2):
        msg = (
            f"directions: {type(directions).__name__}; a tensor ({risk.dim}, k) with k = 1 or 2, "
            f"or one of {', '.join(NAMED)}, is required"
        )
        raise InputError(msg)
    columns = directions.detach().reshape(directions.shape[0], -1)
    if columns.shape[0] != risk.dim or columns.shape[1] not in (1, 2):
        msg = f"directions: shape {tuple(columns.shape)}; ({risk.dim}, 1 or 2) is required"
        raise InputError(msg)
    columns = columns.to(risk.device, risk.dtype).clone()
    if not bool(torch.isfinite(columns).all()):
        msg = "directions: entries that are NaN or infinite; finite columns are required"
        raise InputError(msg)
    singular = torch.linalg.svdvals(columns.double())
    if float(singular[-1]) <= 1e-7 * float(singular[0]) or float(singular[0]) == 0:
        msg = "directions: columns are zero or parallel; independent ones are required"
        raise InputError(msg)
    return columns


def made_directions(
    hessian: Hessian, directions: Directions, rng: Rng
) -> tuple[Tensor, tuple[str, ...]]:
    """Columns (P, k), and a label for each.

    Args:
        hessian: at the centre.
        directions: a name or columns, checked.
        rng: of random directions and of the eigenvectors.

    Raises:
        InputError: if a direction is zero here.
    """
    risk = hessian.risk
    if isinstance(directions, Tensor):
        return directions, tuple(f"direction {i + 1}" for i in range(directions.shape[1]))
    if directions == "random":
        return filter_normalised(risk, 2, rng=rng), ("random direction 1", "random direction 2")
    if directions == "gradient":
        slope = risk.gradient()
        size = slope.norm()
        if not float(size) > 0:
            msg = "directions: the gradient is zero here; choose other directions"
            raise InputError(msg)
        return (slope / size)[:, None], ("the gradient",)
    pairs = eigenpairs(hessian, 2, which="LM", rng=rng)
    labels = tuple(f"the eigenvector with λ = {value:.3g}" for value in pairs.values.tolist())
    return pairs.vectors.to(risk.dtype), labels


def filter_normalised(risk: EmpiricalRisk, k: int = 2, *, rng: Rng = 0) -> Tensor:
    r"""Random directions with the norms of the weights, filter by filter (P, k).

    The columns are Gaussian, made orthogonal, and scaled as in Li et al. (2018). A column has the
    norm of the weights with two dimensions or more, so distance 1 replaces them.

    Scale-invariant layers (a weight before batch normalisation) have directions that do not change
    the loss; filter normalisation makes slices of networks that differ by such scales equal.

    Args:
        risk: the loss, at the parameters whose norms count.
        k: number of directions.
        rng: seed or generator.

    Raises:
        InputError: if every weight is zero or has fewer than two dimensions.

    Example:
        >>> hs.landscape.filter_normalised(risk, 2).shape
        torch.Size([13, 2])
    """
    drawn = generator(rng).standard_normal((risk.dim, count("k", k, 1)))
    columns = torch.from_numpy(drawn).to(risk.device, risk.dtype)
    weights = risk.layout.parts(risk.theta)
    rows = [w.reshape(w.shape[0], -1).norm(dim=1) if w.dim() > 1 else None for w in weights]
    if not any(row is not None and bool((row > 0).any()) for row in rows):
        msg = "risk: no weight with two dimensions is different from zero; give columns instead"
        raise InputError(msg)
    found = [_scaled(risk.layout.parts(column.contiguous()), rows) for column in columns.unbind(1)]
    for i in range(len(found)):
        for j in range(i):
            found[i] = found[i] - (found[i] @ found[j]) / (found[j] @ found[j]) * found[j]
    return torch.stack(found, dim=1)


def _scaled(parts: Sequence[Tensor], rows: Sequence[Tensor | None]) -> Tensor:
    flat = []
    for part, row in zip(parts, rows, strict=True):
        if row is None:
            flat.append(torch.zeros(part.numel(), dtype=part.dtype, device=part.device))
        else:
            filters = part.reshape(part.shape[0], -1)
            flat.append((filters * (row / filters.norm(dim=1))[:, None]).reshape(-1))
    return torch.cat(flat)


def trajectory_directions(thetas: Sequence[Tensor], k: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    r"""Principal directions of a trajectory, seen from its last point.

    The columns are the leading right singular vectors of the differences
    $\theta_t - \theta_T$ (Li et al. 2018, section 7).

    Args:
        thetas: parameters along a training, (P,) each, at least k + 1.
        k: number of directions.

    Returns:
        Columns (P, k), coordinates of the points (len, k), and the share of the squared distances
        that each direction holds (k,).

    Raises:
        InputError: if there are too few points, or they do not differ.

    Example:
        >>> thetas = [risk.theta * s for s in (1.0, 0.9, 0.7)] + [risk.theta.flip(0)]
        >>> [tuple(part.shape) for part in hs.landscape.trajectory_directions(thetas)]
        [(13, 2), (4, 2), (2,)]
    """
    k = count("k", k, 1)
    if len(thetas) <= k:
        msg = f"thetas: {len(thetas)} points; at least k + 1 = {k + 1} are required"
        raise InputError(msg)
    moves = torch.stack([theta.detach() - thetas[-1].detach() for theta in thetas])
    u, s, vh = torch.linalg.svd(moves, full_matrices=False)
    if not float(s[k - 1]) > 0:
        msg = f"thetas: they span fewer than k = {k} directions; other points are required"
        raise InputError(msg)
    return vh[:k].mT.contiguous(), u[:, :k] * s[:k], s[:k] ** 2 / (s**2).sum()

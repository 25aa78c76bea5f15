r"""How far the first-order and the quadratic model reach.

Along a direction d, at the distance t:

- first-order model: $|f(\theta + t d) - f(\theta) - t J d|$ relative to the larger of the true and
  the predicted change of the outputs (each measurement with its weight), or, along a direction of
  a posterior, to the square root of the change of its negative log-density, if that is larger;
- quadratic model: $|L(\theta + t d) - L(\theta) - t g^T d - \frac{t^2}{2} d^T H d|$ relative to
  $|t g^T d| + \frac{t^2}{2} |d^T H d|$.

The radius is the smallest t at which one of them is off by more than a given fraction on either
side.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor

from hessium._arguments import count, fraction
from hessium._arithmetic import full_precision
from hessium._display import Displayable
from hessium._random import Rng, generator
from hessium._typing import FloatArray
from hessium.curvature import GaussNewton, Hessian
from hessium.curvature.jacobian import check_jacobian
from hessium.curvature.jacobian_map import Jacobian
from hessium.curvature.requirements import require_outputs
from hessium.errors import InputError
from hessium.estimate import eigenpairs
from hessium.posterior import _tables
from hessium.posterior.entries import entries_of, labels_of
from hessium.posterior.lines import Line, radius
from hessium.posterior.state import State
from hessium.problem import EmpiricalRisk

if TYPE_CHECKING:
    import pandas as pd

Directions: TypeAlias = Tensor | Literal["eigenvectors", "random"]

_NAMED = 20  # entries that get a direction of their own by default


@dataclass(frozen=True, slots=True, kw_only=True, repr=False, eq=False)
class TrustRadius(Displayable):
    """Distances up to which the models hold, along some directions.

    Attributes:
        labels: of the directions, (k,).
        first_order: radius of the first-order model, (k,); infinite if it holds everywhere tried.
        quadratic: radius of the quadratic model of the loss, (k,).
        curvature_ratio: $d^T H_1 d / d^T H_0 d$ at the parameters, (k,).
        needed: distance that the answers of the posterior use: 2 standard deviations of a
            parameter, one draw; NaN for directions without a unit.
        within: the fraction.
        unit: of the radii.
    """

    labels: tuple[str, ...]
    first_order: FloatArray
    quadratic: FloatArray
    curvature_ratio: FloatArray
    needed: FloatArray
    within: float
    unit: str

    @property
    def worst(self) -> float:
        """Smallest radius of the first-order model."""
        return float(self.first_order.min())

    @property
    def believable(self) -> bool:
        """Whether the first-order model reaches the distance that the posterior uses everywhere.

        Raises:
            InputError: for directions without a posterior.
        """
        if np.isnan(self.needed).any():
            msg = "directions: without standard deviations; use the trust_radius of a posterior"
            raise InputError(msg)
        return bool((self.first_order >= self.needed).all())

    def _columns(self) -> _tables.Columns:
        return {
            "direction": list(self.labels),
            "first_order": self.first_order.tolist(),
            "quadratic": self.quadratic.tolist(),
            "curvature_ratio": self.curvature_ratio.tolist(),
            "needed": self.needed.tolist(),
        }

    def to_dataframe(self) -> pd.DataFrame:
        """One row for each direction."""
        return _tables.frame(self._columns())

    def _repr_html_(self) -> str:
        """The sentence and the table."""
        return _tables.html(repr(self), self._columns())

    def __repr__(self) -> str:
        posterior = not np.isnan(self.needed).any()
        margin = self.first_order / self.needed if posterior else self.first_order
        at = int(margin.argmin())
        words = (
            f"the first-order model is off by {self.within:.0%} at {self.first_order[at]:.3g} "
            f"{self.unit} along {self.labels[at]}, the worst of {len(self.labels)} directions"
        )
        if posterior:
            verdict = (
                "may be believed"
                if self.believable
                else ("may not be believed: compare post.profile_likelihood")
            )
            words += f", where {self.needed[at]:g} are needed; standard deviations {verdict}"
        else:
            words += f"; the quadratic model at {self.quadratic.min():.3g}"
        return f"TrustRadius({words})"


@full_precision()
def trust_radius(
    risk: EmpiricalRisk,
    directions: Directions | Sequence[Directions] = ("eigenvectors", "random"),
    within: float = 0.1,
    *,
    k: int = 5,
    rng: Rng = 0,
) -> TrustRadius:
    r"""Distances $|\theta - \theta_0|$ up to which the Taylor models of a network hold.

    Args:
        risk: a loss of outputs, at $\theta_0$.
        directions: "eigenvectors" (of the k largest eigenvalues of the Gauss-Newton matrix),
            "random" (k Gaussian directions of length one), columns (P, k), or several of these.
            Columns are used with the length that they have.
        within: the fraction by which a model may be off.
        k: number of eigenvectors, and of random directions.
        rng: seed of the random directions.

    Raises:
        InputError: for a closure, or a bad argument.

    Cost: about 30 forward passes and 5 gradients for each direction.
    """
    require_outputs(risk, "trust radius")
    check_jacobian(risk, "trust_radius")
    fraction("within", within)
    count("k", k)
    fine = risk if risk.dtype == torch.float64 else risk.in_dtype(torch.float64)
    given = [directions] if isinstance(directions, (str, Tensor)) else list(directions)
    columns: list[Tensor] = []
    labels: list[str] = []
    for one in given:
        if isinstance(one, Tensor):
            block = one if one.dim() == 2 else one[:, None]
            if block.shape[0] != risk.dim:
                msg = f"directions: shape {tuple(one.shape)}; ({risk.dim}, k) is required"
                raise InputError(msg)
            names = [f"direction {i}" for i in range(block.shape[1])]
        elif one == "eigenvectors":
            pairs = eigenpairs(GaussNewton(fine, check=False), min(k, risk.dim), "LA", rng=rng)
            block = pairs.vectors
            names = [f"eigenvector {i} ({v:.3g})" for i, v in enumerate(pairs.values)]
        elif one == "random":
            draws = generator(rng).standard_normal((risk.dim, k))
            block = torch.from_numpy(draws / np.linalg.norm(draws, axis=0))
            names = [f"random {i}" for i in range(k)]
        else:
            msg = f"directions: {one!r}; 'eigenvectors', 'random' or a tensor (P, k) is required"
            raise InputError(msg)
        columns.append(block.to(fine.theta))
        labels += names
    return _radii(fine, torch.cat(columns, dim=1), labels, within, None, "in |theta - theta_0|")


def posterior_trust_radius(
    state: State, names: list[str] | None, *, within: float, k: int, random: int, rng: Rng
) -> TrustRadius:
    """Radii in standard deviations, in the directions of a posterior."""
    fraction("within", within)
    count("k", k, at_least=0)
    count("random", random, at_least=0)
    factor, risk, alpha = state.factor, state.factor.risk, state.prior_precision
    kept = factor.singular_values.size if alpha > 0 else state.rank.lower
    spread = 1 / np.sqrt(state.precisions[:kept] + alpha)
    weights: list[FloatArray] = []
    labels: list[str] = []
    needed: list[float] = []
    lengths: list[float] = []
    chosen = _scalars(risk) if names is None else names
    if chosen:
        g = factor.parameters(chosen, joint=False)
        std = np.sqrt(state.variances(g))
        for at, label in enumerate(labels_of(risk, chosen)[:_NAMED]):
            if 0 < std[at] < math.inf:
                # the part of the conditional path that the data see
                weights.append(g.along[at, :kept] * spread**2 / std[at])
                labels.append(label)
                needed.append(2.0)
                lengths.append(1.0)
    informed = int((state.precisions[:kept] > alpha).sum()) or min(k, kept)
    for i in range(informed - 1, max(informed - 1 - k, -1), -1):
        unit = np.zeros(kept)
        unit[i] = spread[i]
        weights.append(unit)
        labels.append(f"direction {i}")
        needed.append(2.0)
        lengths.append(1.0)
    draws = generator(rng)
    for i in range(random):
        draw = draws.standard_normal(kept)
        weights.append(draw * spread)
        labels.append(f"draw {i}")
        needed.append(1.0)
        lengths.append(float(np.linalg.norm(draw)))
    if not weights:
        msg = "trust_radius: no direction; name a determined parameter, or k > 0, or random > 0"
        raise InputError(msg)
    table = np.zeros((factor.singular_values.size, len(weights)))
    table[:kept] = np.array(weights).T
    directions = factor.to_parameters(table)
    if alpha > 0 and chosen:
        directions = _with_prior_part(state, chosen, directions, labels)
    return _radii(
        risk,
        directions,
        labels,
        within,
        np.array(needed),
        "standard deviations",
        np.array(lengths) * state.noise,
    )


def _with_prior_part(
    state: State, names: list[str], directions: Tensor, labels: list[str]
) -> Tensor:
    """Conditional paths have a part that the data do not see, from the prior alone."""
    risk = state.factor.risk
    g = state.factor.parameters(names, joint=False)
    std = np.sqrt(state.variances(g))
    entries, own = entries_of(risk, names), labels_of(risk, names)
    for column, label in enumerate(labels):
        if label in own:
            at = own.index(label)
            outside = -state.factor.to_parameters(g.along[at])
            outside[int(entries[at])] += 1.0
            directions[:, column] += outside / (state.prior_precision * std[at])
    return directions


def _scalars(risk: EmpiricalRisk) -> list[str]:
    """Parameters with one entry, or all of a small model."""
    if risk.dim <= _NAMED:
        return list(risk.names)
    sizes = zip(risk.names, risk.layout.sizes, strict=True)
    return [name for name, size in sizes if size == 1][:_NAMED]


def _radii(
    risk: EmpiricalRisk,
    directions: Tensor,
    labels: list[str],
    within: float,
    needed: FloatArray | None,
    unit: str,
    lengths: FloatArray | None = None,
) -> TrustRadius:
    """Radii along columns.

    With a prior a direction may move the outputs little; then an error counts relative to the
    change of the negative log-posterior, `lengths` being its square root per distance.
    """
    line = Line(risk)
    J, H = Jacobian(risk, check=False), Hessian(risk, check=False)
    slope = line.slope
    first, quadratic, ratios = [], [], []
    floors = np.zeros(len(labels)) if lengths is None else lengths
    for d, floor in zip(directions.unbind(1), floors.tolist(), strict=True):
        d = d.contiguous()
        pushed = J @ d
        image = line.whiten(pushed)
        along, bend = float(slope @ d), float(d @ (H @ d))
        flat = line.unit * float(image.square().sum())  # d^T H_0 d
        ratios.append((bend - flat) / flat if flat else math.inf)
        begin = 1.0 if needed is not None else 0.01 * (float(risk.theta.norm()) or 1.0)
        errors = line.errors(d, image, along, bend, floor)
        first.append(radius(partial(errors, 0), within, begin))
        quadratic.append(radius(partial(errors, 1), within, begin))
    return TrustRadius(
        labels=tuple(labels),
        first_order=np.array(first),
        quadratic=np.array(quadratic),
        curvature_ratio=np.array(ratios),
        needed=np.full(len(labels), np.nan) if needed is None else needed,
        within=within,
        unit=unit,
    )

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
from hessium._typing import BoolArray, FloatArray
from hessium.curvature import GaussNewton, Hessian
from hessium.curvature.jacobian import check_jacobian
from hessium.curvature.jacobian_map import Jacobian
from hessium.curvature.requirements import require_outputs
from hessium.errors import InputError
from hessium.estimate import eigenpairs
from hessium.posterior import _tables
from hessium.posterior.lines import Line, radius
from hessium.posterior.pivots import SHIFTED, believed
from hessium.problem import EmpiricalRisk

if TYPE_CHECKING:
    import pandas as pd

Directions: TypeAlias = Tensor | Literal["eigenvectors", "random"]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False, eq=False)
class TrustRadius(Displayable):
    r"""Distances up to which the models hold, along some directions, and what intervals cover.

    Of a posterior, an interval is judged by what it would cover if the estimate were the truth, and
    if one of the values within its interval of 90 % were. Refits at some distances find the
    experiments whose intervals would miss it, and the deviance of their errors gives their
    probability, normal, or by Student's law where the noise is estimated. For a model that is
    linear in its parameters an interval misses with (1 - confidence) / 2 on either side. The radii
    say how far the model is linear, which is more than an interval needs: curvature that other
    parameters make up for, and opposite errors at the two ends, do not change what it covers.

    Attributes:
        labels: of the directions, (k,); those of largest variance with the number that they have
            in `by_parameter` and their largest parameter.
        first_order: radius of the first-order model, (k,); infinite if it holds everywhere tried.
        quadratic: radius of the quadratic model of the loss, (k,).
        curvature_ratio: $d^T H_1 d / d^T H_0 d$ at the parameters, (k,).
        needed: distance to the ends of an interval; NaN for directions without a unit.
        misses: probability that the truth lies below and above an interval if the estimate is the
            truth, (k, 2), or NaN.
        coverage_range: least and largest coverage if the truth is one of five values from one end
            of the interval of 90 % by the likelihood to the other, (k, 2); NaN where the likelihood
            does not bound that interval, so far as refits go.
        converged: whether the refits behind it converged, (k,).
        confidence: nominal, of the intervals.
        within: the fraction.
        unit: of the radii.
        bounded: undetermined parameters without effect at the estimate that the data bound
            farther away, as refits with each moved by its own size find: such as the logarithm of
            a rate that ran off. The linear model is then wrong for the others as well.
        distance: standard deviations from the parameters to the minimum of the quadratic model;
            above 0.25 the intervals have another centre, whatever they cover.
        steps: factorisations of the Jacobian in all refits.
        exhausted: whether a refit ended because the budget was used up; what has not converged then
            may converge with a larger budget, and `bounded` may be incomplete.

    Example:
        >>> found = hs.trust_radius(risk, k=1)
        >>> found.first_order.shape == found.quadratic.shape
        True
    """

    labels: tuple[str, ...]
    first_order: FloatArray
    quadratic: FloatArray
    curvature_ratio: FloatArray
    needed: FloatArray
    misses: FloatArray
    coverage_range: FloatArray
    converged: BoolArray
    confidence: float
    within: float
    unit: str
    bounded: tuple[str, ...] = ()
    distance: float = 0.0
    steps: int = 0
    exhausted: bool = False

    @property
    def worst(self) -> float:
        """Smallest radius of the first-order model."""
        return float(self.first_order.min())

    @property
    def coverage(self) -> FloatArray:
        """What the interval along each direction covers if the estimate is the truth, (k,)."""
        return 1.0 - np.asarray(self.misses.sum(axis=1))

    @property
    def has_nominal_coverage(self) -> BoolArray:
        """Which intervals may be believed, (k,).

        With e = 1 - confidence: the interval misses with a probability between 0.4 e and 1.4 e
        (95 % intervals cover 93 to 98 %) for all of the truths of `coverage_range`, and the refits
        converged. So if an interval is bad where the truth is, this says so in nine experiments of
        ten; an interval may be right, and the data too few to show that it is. Refits along one
        direction leave out errors of the others; for these there is one per cent of reserve.
        """
        near = believed(self.coverage_range, self.confidence).all(axis=1)
        return np.asarray(near & self.converged)

    @property
    def valid(self) -> bool:
        """Whether the intervals along all directions may be believed, and infinite ones too.

        Not if the parameters are more than 0.25 standard deviations from the minimum, or if the
        budget of refits was used up.

        Raises:
            InputError: for directions without a posterior.
        """
        if np.isnan(self.needed).any():
            msg = "directions: without standard deviations; use the trust_radius of a posterior"
            raise InputError(msg)
        if self.distance > SHIFTED or self.bounded or self.exhausted:
            return False
        return bool(self.has_nominal_coverage.all())

    @property
    def verdict(self) -> str:
        """Whether the intervals may be used; without a posterior, the radii in words."""
        if np.isnan(self.needed).any():
            at = int(self.first_order.argmin())
            return f"{self._departs(at)}; the quadratic model at {self.quadratic.min():.3g}"
        off = np.abs(self.coverage_range - self.confidence).max(axis=1)
        at = int((np.nan_to_num(off, nan=1.0) + ~self.converged).argmax())
        name = f"the {100 * self.confidence:.3g} % interval along {self.labels[at]}"
        if not self.converged[at]:
            words = f"refits at the ends of {name} do not converge"
        elif np.isnan(off[at]):
            words = f"{name} contains the truth in {100 * self.coverage[at]:.1f} % of experiments "
            words += "if the estimate is the truth, and the likelihood bounds no interval of 90 % "
            words += "there"
        else:
            low, high = (f"{100 * one:.1f}" for one in self.coverage_range[at])
            other = low if low == high else f"{low} to {high}"
            words = (
                f"{name} contains the truth in {100 * self.coverage[at]:.1f} % of experiments if "
                f"the estimate is the truth, and in {other} % if the truth is another value "
                "within the 90 % interval of the likelihood"
            )
        words += f", the worst of {len(self.labels)} directions; "
        if self.distance > SHIFTED:
            words = (
                f"the minimum is {self.distance:.2g} standard deviations away, so the intervals "
                f"have another centre: train further; {words}"
            )
        if self.exhausted:
            words += f"refits ended after {self.steps} factorisations, the budget; "
        if self.bounded:
            words = (
                f"{', '.join(self.bounded)}: without effect at the estimate, but not where refits "
                f"move it by its own size; {words}"
            )
        return words + self._departs(int((self.first_order / self.needed).argmin()))

    def _departs(self, at: int) -> str:
        return (
            f"the first-order model is off by {100 * self.within:.3g} % at "
            f"{self.first_order[at]:.3g} "
            f"{self.unit} along {self.labels[at]}"
        )

    def _columns(self) -> _tables.Columns:
        return {
            "direction": list(self.labels),
            "first_order": self.first_order.tolist(),
            "quadratic": self.quadratic.tolist(),
            "curvature_ratio": self.curvature_ratio.tolist(),
            "needed": self.needed.tolist(),
            "coverage": self.coverage.tolist(),
            "least_coverage": self.coverage_range[:, 0].tolist(),
            "largest_coverage": self.coverage_range[:, 1].tolist(),
            "converged": self.converged.tolist(),
            "has_nominal_coverage": self.has_nominal_coverage.tolist(),
        }

    def to_dataframe(self) -> pd.DataFrame:
        """One row for each direction."""
        return _tables.frame(self._columns())

    def _repr_html_(self) -> str:
        """The sentence and the table."""
        return _tables.html(repr(self), self._columns())

    def __repr__(self) -> str:
        if np.isnan(self.needed).any():
            return f"TrustRadius({self.verdict})"
        words = (
            "may be believed"
            if self.valid
            else "may not be believed: compare post.profile_likelihood"
        )
        return f"TrustRadius({self.verdict}; standard deviations {words})"


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

    Example:
        >>> found = hs.trust_radius(risk, k=1)
        >>> len(found.labels) > 0
        True
    """
    require_outputs(risk, "trust radius")
    check_jacobian(risk, "trust_radius")
    fraction("within", within)
    count("k", k)
    fine = risk if risk.dtype == torch.float64 else risk.in_dtype(torch.float64)
    given = [directions] if isinstance(directions, (str, Tensor)) else list(directions)
    if not given:
        msg = "directions: none; at least one is required"
        raise InputError(msg)
    columns: list[Tensor] = []
    labels: list[str] = []
    for one in given:
        if isinstance(one, Tensor):
            block = one if one.dim() == 2 else one[:, None]
            if block.shape[0] != risk.dim:
                msg = f"directions: shape {tuple(one.shape)}; ({risk.dim}, k) is required"
                raise InputError(msg)
            if not bool(block.isfinite().all()) or not bool(block.norm(dim=0).min() > 0):
                msg = "directions: a column is zero, NaN or infinite"
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
    begin = 0.01 * (float(fine.theta.norm()) or 1.0)
    first, quadratic, ratios = radii(fine, torch.cat(columns, dim=1), within, begin)
    unknown = np.full(len(labels), np.nan)
    return TrustRadius(
        labels=tuple(labels),
        first_order=first,
        quadratic=quadratic,
        curvature_ratio=ratios,
        needed=unknown,
        misses=np.stack([unknown, unknown], axis=1),
        coverage_range=np.stack([unknown, unknown], axis=1),
        converged=np.zeros(len(labels), dtype=np.bool_),
        confidence=math.nan,
        within=within,
        unit="in |θ - θ₀|",
    )


def radii(
    risk: EmpiricalRisk,
    directions: Tensor,
    within: float,
    begin: float,
    lengths: FloatArray | None = None,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Radii of both models along columns, and the ratios of curvature.

    With a prior a direction may move the outputs little; then an error counts relative to the
    change of the negative log-posterior, `lengths` being its square root per distance.

    Args:
        risk: in float64.
        directions: columns (P, k).
        within: the fraction.
        begin: first distance that is tried.
        lengths: see above, (k,).
    """
    line = Line(risk)
    J, H = Jacobian(risk, check=False), Hessian(risk, check=False)
    slope = line.slope
    first, quadratic, ratios = [], [], []
    floors = np.zeros(directions.shape[1]) if lengths is None else lengths
    for d, floor in zip(directions.unbind(1), floors.tolist(), strict=True):
        d = d.contiguous()
        pushed = J @ d
        image = line.whiten(pushed)
        along, bend = float(slope @ d), float(d @ (H @ d))
        flat = line.unit * float(image.square().sum())  # d^T H_0 d
        ratios.append((bend - flat) / flat if flat else math.inf)
        errors = line.errors(d, image, along, bend, floor)
        first.append(radius(partial(errors, 0), within, begin))
        quadratic.append(radius(partial(errors, 1), within, begin))
    return np.array(first), np.array(quadratic), np.array(ratios)

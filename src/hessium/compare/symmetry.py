r"""Null directions of H0 due to symmetries of the architecture or the data.

Along an orbit of a symmetry the outputs do not change, so the Gauss-Newton part has the tangent
in its null space at every point, and the Hessian at every critical point.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hessium import _arguments
from hessium._display import Displayable
from hessium.compare.curvature import Curvature, as_curvature
from hessium.compare.symmetry_candidates import Candidate, candidates
from hessium.errors import InputError
from hessium.problem import EmpiricalRisk
from hessium.spectra import Count
from hessium.spectra.inertia import check_tol


@dataclass(frozen=True, slots=True, kw_only=True)
class NullSpace:
    """Null directions of one symmetry.

    Attributes:
        name: the symmetry and its layers.
        dimension: of their span.
        error: largest $|H_0 t|$ over $|H_0||t|$ (spectral norm) of its tangents t.

    Example:
        >>> hs.compare.NullSpace(name="rescalings", dimension=4, error=1e-15).dimension
        4
    """

    name: str
    dimension: int
    error: float


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Symmetries(Displayable):
    r"""Forced and measured zero eigenvalues of the Gauss-Newton part.

    Attributes:
        parts: the symmetries by name.
        refuted: candidates suggested by the layers that are not null directions of $H_0$, since a
            layer differs from its class.
        forced: dimension of all parts together.
        scarce: zeros forced by the number of data alone: parameters minus samples x outputs, of
            which a softmax removes one for each sample.
        measured: zero eigenvalues of $H_0$.
        tol: relative size of zero.
        parameters: number of free parameters.
        unread: parts that were not analysed, or "".

    Example:
        >>> found = hs.compare.symmetries(risk)
        >>> found.parameters
        13
    """

    parts: tuple[NullSpace, ...]
    refuted: tuple[NullSpace, ...]
    forced: int
    scarce: int
    measured: Count
    tol: float
    parameters: int
    unread: str

    @property
    def expected(self) -> int:
        """Lower bound on the number of zeros: the larger of the two counts."""
        return max(self.forced, self.scarce)

    @property
    def unexplained(self) -> int:
        """Measured zeros beyond the expected ones."""
        return self.measured.value - self.expected

    @property
    def explained(self) -> bool:
        """Whether every zero is explained by a symmetry or by the number of data."""
        return self.measured.lower <= self.expected <= self.measured.upper

    def __repr__(self) -> str:
        names = "; ".join(f"{part.dimension} {part.name}" for part in self.parts) or "none"
        left = "all explained" if self.explained else f"{self.unexplained} unexplained"
        tried = "; ".join(part.name for part in self.refuted)
        return (
            f"Symmetries({self.measured.bracket} zeros of H0 at |eigenvalue| <= {self.tol:g} of "
            f"the largest, {self.forced} forced by symmetry ({names}), "
            f"{self.scarce} by the number of data; {left}"
            f"{'; tried and not there: ' + tried if tried else ''}"
            f"{'; ' + self.unread if self.unread else ''})"
        )


def symmetries(
    risk: EmpiricalRisk | Curvature, *, tol: float = 1e-10, max_bytes: int = 2**33
) -> Symmetries:
    r"""Count the null directions of $H_0$ that are forced, by name, and measure the nullity.

    The known symmetries are: the rescaling of the units between two layers with a positively
    homogeneous activation (one for each unit; channels of convolutions too), the linear group
    between two layers without activation (n^2, and n translations with biases), the shift of all
    scores before a softmax, and parameters that the data do not reach (constant zero inputs, dead
    units). Each tangent is checked on $H_0$; tangents that move frozen or shared parameters are not
    counted. The sign flips of tanh are discrete and give no direction.

    Args:
        risk: a risk or its `Curvature`; in float64, or `tol` must allow for its rounding.
        tol: an eigenvalue counts as zero below this fraction of the largest.
        max_bytes: memory limit for dense matrices.

    Raises:
        InputError: for a closure or a model that returns its loss, or if the dense matrices do not
            fit.

    Cost: dense $H_0$ and its eigenvalues.

    Example:
        >>> net = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 1, bias=False)).double()
        >>> data = torch.randn(9, 2).double(), torch.zeros(9, 1).double()
        >>> found = hs.compare.symmetries(hs.EmpiricalRisk(net, loss, data))
        >>> [part.dimension for part in found.parts]
        [4]
    """
    curvature = as_curvature(risk, "symmetries", max_bytes)
    risk = curvature.risk
    tol = check_tol(_arguments.nonnegative("tol", tol))
    outer, shape = curvature.gauss_newton, curvature.architecture
    counts = outer.spectrum.inertia(tol)
    spans: list[Tensor] = []
    parts: list[NullSpace] = []
    refuted: list[NullSpace] = []
    for candidate in candidates(shape, risk, curvature.data.silent):
        span = _columns(candidate, risk, max_bytes // 4)
        if span is None:
            continue
        scale = counts.scale or 1.0
        images = (outer.matrix @ span.double()).norm(dim=0) / (span.norm(dim=0) * scale)
        error = float(images.max().item())
        tried = NullSpace(name=candidate.name, dimension=_rank(span), error=error)
        if error <= 10 * max(tol, counts.resolution / scale):
            parts.append(tried)
            spans.append(span)
        else:
            refuted.append(tried)
    return Symmetries(
        parts=tuple(parts),
        refuted=tuple(refuted),
        forced=_rank(torch.cat(spans, dim=1)) if spans else 0,
        scarce=max(0, risk.dim - curvature.outputs_seen),
        measured=counts.zero,
        tol=tol,
        parameters=risk.dim,
        unread=shape.unread,
    )


def _columns(candidate: Candidate, risk: EmpiricalRisk, max_bytes: int) -> Tensor | None:
    """Tangents as columns (P, k); None if one moves a parameter that is not free."""
    layout = risk.layout
    if not {name for name in candidate.needs if name} <= set(layout.names):
        return None
    most = max(1, max_bytes // (risk.dim * risk.dtype.itemsize))
    columns: list[Tensor] = []
    for tangent in candidate.tangents:
        if len(columns) == most:
            msg = f"max_bytes: too small for the tangents of {candidate.name}; raise it"
            raise InputError(msg)
        column = torch.zeros(risk.dim, dtype=risk.dtype, device=risk.device)
        for name, part in tangent.items():
            column[layout.slice(name)] = part.reshape(-1)
        columns.append(column)
    span = torch.stack(columns, dim=1)
    return span[:, span.norm(dim=0) > 0]


def _rank(span: Tensor) -> int:
    scaled = span / span.norm(dim=0).clamp_min(1e-300)
    return int(torch.linalg.matrix_rank(scaled.double(), rtol=1e-9))

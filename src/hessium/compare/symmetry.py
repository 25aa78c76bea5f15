r"""Null directions that the architecture or the data force, by name.

Along an orbit of a symmetry the outputs do not change, so the Gauss-Newton part has the tangent
in its null space at every point, and the Hessian at every critical point.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor
from torch.overrides import TorchFunctionMode

from hessium.compare.architecture import Architecture, Layer, Link, architecture
from hessium.curvature import GaussNewton
from hessium.errors import InputError
from hessium.estimate import Count, inertia
from hessium.linalg.operator import require_memory
from hessium.problem import EmpiricalRisk
from hessium.problem.torch_losses import CrossEntropy, NegativeLogLikelihood

Tangents: TypeAlias = Iterator[Mapping[str, Tensor]]


@dataclass(frozen=True, slots=True, kw_only=True)
class NullSpace:
    """Directions that one symmetry leaves free.

    Attributes:
        name: which symmetry, and where.
        dimension: of their span.
        error: largest $|H_0 t|$ over $|H_0||t|$ (spectral norm) of its tangents t.
    """

    name: str
    dimension: int
    error: float


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Symmetries:
    r"""Forced zeros of the Gauss-Newton part beside those measured.

    Attributes:
        parts: the symmetries by name.
        refuted: candidates that the layers suggest and $H_0$ does not have: a layer does something
            else than its class says.
        forced: dimension of all parts together.
        scarce: zeros that the number of data alone forces: parameters less samples x outputs.
        measured: zero eigenvalues of $H_0$.
        tol: relative size of zero.
        parameters: number of free parameters.
        unread: what the search did not look at, or "".
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
        """The larger of the two counts: no fewer zeros are possible."""
        return max(self.forced, self.scarce)

    @property
    def unexplained(self) -> int:
        """Measured zeros beyond the expected ones."""
        return self.measured.value - self.expected

    @property
    def explained(self) -> bool:
        """Whether all zeros have a name."""
        return self.measured.lower <= self.expected <= self.measured.upper

    def __repr__(self) -> str:
        names = "; ".join(f"{part.dimension} {part.name}" for part in self.parts) or "none"
        left = "all explained" if self.explained else f"{self.unexplained} unexplained"
        tried = "; ".join(part.name for part in self.refuted)
        return (
            f"Symmetries({self.measured!r} zeros of H0, {self.forced} forced by symmetry ({names}),"
            f" {self.scarce} by the number of data; {left}"
            f"{'; tried and not there: ' + tried if tried else ''}"
            f"{'; ' + self.unread if self.unread else ''})"
        )


def symmetries(risk: EmpiricalRisk, *, tol: float = 1e-10, max_bytes: int = 2**33) -> Symmetries:
    r"""Count the null directions of $H_0$ that are forced, by name, and measure the nullity.

    Known are: the rescaling of the units between two layers with a positively homogeneous
    activation (one for each unit; channels of convolutions too), the linear group between two
    layers with nothing in between (n^2, and n translations with biases), the shift of all scores
    before a softmax, and what the data never reach (blank inputs, units that are always off). A
    direction is a tangent written down parameter by parameter and tried on $H_0$; one that is
    tied to frozen or shared parameters is no free direction and not counted. tanh has none: its
    sign flips are discrete.

    Args:
        risk: in float64, or `tol` must allow for its rounding.
        tol: an eigenvalue counts as zero below this fraction of the largest.
        max_bytes: what dense matrices may take.

    Raises:
        InputError: for a closure, or if the dense matrices do not fit.

    Cost: one product with $H_0$ for each direction, and its dense inertia.
    """
    operator = GaussNewton(risk)
    require_memory(risk.dim, torch.float64, max_bytes // 4)
    counts = inertia(operator, tol, max_bytes=max_bytes)
    shape = architecture(risk.model)
    spans: list[Tensor] = []
    parts: list[NullSpace] = []
    refuted: list[NullSpace] = []
    for candidate in _candidates(shape, risk):
        span = _columns(candidate, risk, max_bytes // 4)
        if span is None:
            continue
        scale = counts.scale or 1.0
        images = (operator @ span).norm(dim=0) / (span.norm(dim=0) * scale)
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
        scarce=max(0, risk.dim - risk.num_outputs),
        measured=counts.zero,
        tol=tol,
        parameters=risk.dim,
        unread=shape.unread,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Candidate:
    """A symmetry before it is tried: the parameters it moves, and its tangents, made when asked."""

    name: str
    needs: tuple[str | None, ...]
    tangents: Tangents


def _candidates(shape: Architecture, risk: EmpiricalRisk) -> Iterator[_Candidate]:
    free = dict(zip(risk.names, risk.layout.unflatten(risk.theta), strict=True))
    for link in shape.links:
        yield from _of_link(link, free)
    if shape.last is not None and (shape.softmax or _shift_free(risk.loss)):
        yield _Candidate(
            name=f"shifts of all scores of layer {shape.last.name} before the softmax",
            needs=(shape.last.weight, shape.last.bias),
            tangents=_shifts(shape.last, free),
        )
    silent = _silent_inputs(risk)
    for layer in shape.layers:
        places = silent.get(layer.weight)
        if places is None or not bool(places.any()):
            continue
        yield _Candidate(
            name=f"weights of layer {layer.name} on {int(places.sum())} inputs that are always 0",
            needs=(layer.weight,),
            tangents=_entries(layer.weight, free, columns=places),
        )
        for link in shape.links:
            if link.second == layer and link.activation == "ReLU" and _fits(link, places):
                yield _Candidate(
                    name=f"weights into {int(places.sum())} units of layer {link.first.name} that "
                    "are always off",
                    needs=(link.first.weight, link.first.bias),
                    tangents=_into(link.first, free, places),
                )


def _of_link(link: Link, free: Mapping[str, Tensor]) -> Iterator[_Candidate]:
    n, where = link.first.width, f"between layers {link.first.name} and {link.second.name}"
    needs = (link.first.weight, link.first.bias, link.second.weight)
    if link.between == "homogeneous":
        yield _Candidate(
            name=f"rescalings of the {n} units {where} ({link.activation})",
            needs=needs,
            tangents=_mixings(link, torch.diag_embed(torch.eye(n)), free),
        )
    if link.between == "linear":
        yield _Candidate(
            name=f"linear mixings GL({n}) {where}",
            needs=needs,
            tangents=_mixings(link, torch.eye(n * n).view(-1, n, n), free),
        )
        if link.first.bias and link.second.bias:
            yield _Candidate(
                name=f"translations of the {n} units {where}",
                needs=(link.first.bias, link.second.bias, link.second.weight),
                tangents=_translations(link, free),
            )


def _shift_free(loss: Any) -> bool:
    return isinstance(loss, CrossEntropy) and not isinstance(loss, NegativeLogLikelihood)


def _fits(link: Link, places: Tensor) -> bool:
    """Whether each unit feeds one input (no flattened channels)."""
    return link.first.width == places.numel()


def _mixings(link: Link, matrices: Tensor, free: Mapping[str, Tensor]) -> Tangents:
    """Tangents (X W1, X b1, -W2 X) of W1 -> g W1, b1 -> g b1, W2 -> W2 g^-1."""
    out, into = free[link.first.weight], free[link.second.weight]
    n = out.shape[0]
    # inputs of the second layer in groups: one unit may feed many of them (flattened channels)
    grouped = into.reshape(into.shape[0], n, -1)
    for matrix in matrices.to(out):
        tangent = {
            link.first.weight: (matrix @ out.reshape(n, -1)).reshape(out.shape),
            link.second.weight: -torch.einsum("oui,uv->ovi", grouped, matrix).reshape(into.shape),
        }
        if link.first.bias:
            tangent[link.first.bias] = matrix @ free[link.first.bias]
        yield tangent


def _translations(link: Link, free: Mapping[str, Tensor]) -> Tangents:
    """Tangents (s, -W2 s) of b1 -> b1 + s, b2 -> b2 - W2 s."""
    into = free[link.second.weight]
    grouped = into.reshape(into.shape[0], link.first.width, -1).sum(dim=2)
    for unit in torch.eye(link.first.width).to(into):
        yield {str(link.first.bias): unit, str(link.second.bias): -grouped @ unit}


def _shifts(layer: Layer, free: Mapping[str, Tensor]) -> Tangents:
    weight = free[layer.weight]
    for column in range(weight[0].numel()):
        tangent = torch.zeros_like(weight).reshape(weight.shape[0], -1)
        tangent[:, column] = 1.0
        yield {layer.weight: tangent.reshape(weight.shape)}
    if layer.bias:
        yield {layer.bias: torch.ones_like(free[layer.bias])}


def _into(layer: Layer, free: Mapping[str, Tensor], rows: Tensor) -> Tangents:
    yield from _entries(layer.weight, free, rows=rows)
    if layer.bias:
        for row in torch.nonzero(rows).flatten().tolist():
            tangent = torch.zeros_like(free[layer.bias])
            tangent[row] = 1.0
            yield {layer.bias: tangent}


def _entries(
    name: str,
    free: Mapping[str, Tensor],
    *,
    rows: Tensor | None = None,
    columns: Tensor | None = None,
) -> Tangents:
    """One tangent for each entry of a weight in some of its rows or columns."""
    weight = free[name]
    chosen = torch.ones_like(weight, dtype=torch.bool)
    chosen = chosen & columns if columns is not None else chosen
    chosen = chosen & rows[:, None] if rows is not None else chosen
    for place in torch.nonzero(chosen.flatten()).flatten().tolist():
        tangent = torch.zeros(weight.numel(), dtype=weight.dtype, device=weight.device)
        tangent[place] = 1.0
        yield {name: tangent.view(weight.shape)}


def _columns(candidate: _Candidate, risk: EmpiricalRisk, max_bytes: int) -> Tensor | None:
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


class _Watch(TorchFunctionMode):
    """Notes which inputs of which linear layer were ever different from zero."""

    def __init__(self, names: Mapping[int, str]) -> None:
        super().__init__()
        self._names = names
        self.used: dict[str, Tensor] = {}

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Let every call through; look at the inputs of linear ones."""
        keywords = kwargs or {}
        if func is F.linear:
            inputs = args[0] if args else keywords["input"]
            weight = args[1] if len(args) > 1 else keywords["weight"]
            name = self._names.get(id(weight))
            if name is not None:
                seen = inputs.detach().reshape(-1, inputs.shape[-1]).ne(0).any(dim=0)
                self.used[name] = self.used.get(name, torch.zeros_like(seen)) | seen
        return func(*args, **keywords)


def _silent_inputs(risk: EmpiricalRisk) -> dict[str, Tensor]:
    """For each linear layer, which of its inputs are zero for all data."""
    found: dict[str, Tensor] = {}
    for inputs, _ in risk.batches():
        leaves = risk.leaves()
        names = {id(leaf): name for leaf, name in zip(leaves, risk.names, strict=True)}
        with _Watch(names) as watch:
            risk.outputs(leaves, inputs)
        for name, used in watch.used.items():
            found[name] = found.get(name, torch.ones_like(used)) & ~used
    return found

"""Candidate null directions from layers, loss and data, as tangents by parameter."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor

from hessium.compare.architecture import Architecture, Layer, Link
from hessium.problem import EmpiricalRisk
from hessium.problem.cross_entropy import CrossEntropy, NegativeLogLikelihood

Tangents: TypeAlias = Iterator[Mapping[str, Tensor]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """An unchecked symmetry: the parameters it moves, and its tangents, built on demand."""

    name: str
    needs: tuple[str | None, ...]
    tangents: Tangents


def candidates(
    shape: Architecture, risk: EmpiricalRisk, silent: Mapping[str, Tensor]
) -> Iterator[Candidate]:
    """Symmetries suggested by the layers, the loss and the data.

    Args:
        shape: the layers.
        risk: where.
        silent: by the weight of a linear layer, which of its inputs are zero for all data.
    """
    free = dict(zip(risk.names, risk.layout.unflatten(risk.theta), strict=True))
    for link in shape.links:
        yield from _of_link(link, free)
    if shape.last is not None and (shape.softmax or _shift_free(risk.loss)):
        yield Candidate(
            name=f"shifts of all scores of layer {shape.last.name} before the softmax",
            needs=(shape.last.weight, shape.last.bias),
            tangents=_shifts(shape.last, free),
        )
    for layer in shape.layers:
        places = silent.get(layer.weight)
        if places is None or not bool(places.any()):
            continue
        yield Candidate(
            name=f"weights of layer {layer.name} on {int(places.sum())} inputs that are always 0",
            needs=(layer.weight,),
            tangents=_entries(layer.weight, free, columns=places),
        )
        for link in shape.links:
            if link.second == layer and link.activation.lower() == "relu" and _fits(link, places):
                yield Candidate(
                    name=f"weights into {int(places.sum())} units of layer {link.first.name} that "
                    "are always off",
                    needs=(link.first.weight, link.first.bias),
                    tangents=_into(link.first, free, places),
                )


def _of_link(link: Link, free: Mapping[str, Tensor]) -> Iterator[Candidate]:
    n, where = link.first.width, f"between layers {link.first.name} and {link.second.name}"
    needs = (link.first.weight, link.first.bias, link.second.weight)
    if link.between == "homogeneous":
        yield Candidate(
            name=f"rescalings of the {n} units {where} ({link.activation})",
            needs=needs,
            tangents=_mixings(link, torch.diag_embed(torch.eye(n)), free),
        )
    if link.between == "linear":
        yield Candidate(
            name=f"linear mixings GL({n}) {where}",
            needs=needs,
            tangents=_mixings(link, torch.eye(n * n).view(-1, n, n), free),
        )
        if link.first.bias and link.second.bias:
            yield Candidate(
                name=f"translations of the {n} units {where}",
                needs=(link.first.bias, link.second.bias, link.second.weight),
                tangents=_translations(link, free),
            )


def outputs_seen(shape: Architecture, risk: EmpiricalRisk, outputs: torch.Size) -> int:
    """Samples x outputs, minus one per softmax, whose scores may shift together.

    Args:
        shape: the layers.
        risk: where.
        outputs: shape of those of one batch.
    """
    itself = _shift_free(risk.loss)
    if not (itself or shape.softmax):
        return risk.num_outputs
    if len(outputs) != 2 and not itself:  # which axis the model's own softmax runs along is unread
        return risk.num_outputs
    classes = outputs[1] if len(outputs) > 1 else outputs[0]
    return risk.num_outputs - risk.num_outputs // classes


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

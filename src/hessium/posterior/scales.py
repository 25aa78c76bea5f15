r"""Scales of parameters, so that answers do not depend on the units of the parameters.

What the data determine, $J v = 0$ or not, does not change if a parameter is given in other units,
but singular values do. So where there is no prior, the columns of the whitened Jacobian A are
divided by their lengths. (A prior $\alpha I$ is stated in the user's units and stays.)

Where A does not fit into memory, all columns of one tensor share a scale, and so do tensors whose
scales differ by less than a hundred: $A D^{-2} A^T$ is one Gram matrix for each such group.
"""

from __future__ import annotations

import math
from typing import TypeVar, cast

import torch
from torch import Tensor

from hessium.curvature.jacobian_columns import cross_gram, outer_gram
from hessium.curvature.jacobian_map import Jacobian
from hessium.posterior.measurements import Measurements
from hessium.problem import EmpiricalRisk
from hessium.problem.other_inputs import OnInputs

Risk = TypeVar("Risk", bound=EmpiricalRisk)

_NOISE = 1e-12  # largest rounding of a scaled column
_NOTHING = 1e-14  # of the largest: a column is zero if its length and its effect are below
_PROBES = 4  # gradients that measure the scales of tensors
_APART = 100.0  # scales in one group


def column_scales(lengths: Tensor, rounding: Tensor, theta: Tensor) -> Tensor:
    """The scale of every column: its length, or more where it is rounding to a large part.

    A column is zero if both its length and length times parameter (in no units) are below rounding
    of the largest ones; its scale is then one with which the parameter counts as the others do.

    Args:
        lengths: of the columns of A, (P,).
        rounding: an estimate of the error of each, (P,).
        theta: the parameters, (P,).
    """
    longest, effects = lengths.max(), lengths * theta.abs()
    if longest == 0:
        return torch.ones_like(lengths)
    strongest = effects.max()
    nothing = (lengths <= _NOTHING * longest) & (effects <= _NOTHING * strongest)
    alike = torch.where(theta == 0, longest, strongest / theta.abs())
    alike = torch.where((alike > 0) & alike.isfinite(), alike, longest)
    return torch.where(nothing, alike, torch.maximum(lengths, rounding / _NOISE))


def tensor_scales(risk: EmpiricalRisk, data: Measurements) -> Tensor:
    """A scale for every tensor, repeated for its entries, (P,), with few different values.

    Cost: four gradients.
    """
    generator = torch.Generator().manual_seed(risk.num_outputs)
    J = Jacobian(risk, check=False)
    squares = torch.zeros(len(risk.layout.sizes), dtype=torch.float64)
    for _ in range(_PROBES):
        u = torch.randn(len(data.slopes), generator=generator, dtype=torch.float64, device="cpu")
        pulled = J.transposed_product(data.unwhiten(u.to(risk.device)))
        parts = pulled.split(list(risk.layout.sizes))
        squares += torch.stack([part.square().mean() for part in parts]).cpu() / _PROBES
    found = squares.sqrt()
    if found.max() == 0:
        return torch.ones_like(risk.theta)
    found[found <= _NOTHING * found.max()] = 0.0
    order = [int(i) for i in found.argsort(descending=True) if found[i] > 0]
    scales = torch.full_like(found, float(found.max()))
    group: list[int] = []
    for i in [*order, -1]:
        if group and (i < 0 or found[group[0]] > _APART * found[i]):
            scales[group] = math.sqrt(float(found[group[0]]) * float(found[group[-1]]))
            group = []
        group.append(i)
    sizes = torch.tensor(risk.layout.sizes)
    return scales.repeat_interleave(sizes).to(risk.device)


def scaled_gram(risk: EmpiricalRisk, scale: Tensor, max_bytes: int) -> Tensor:
    """J D^-2 J^T for scales that are equal within each tensor. Cost: a Gram matrix a value."""
    total: Tensor | None = None
    for value, names in _groups(risk, scale).items():
        found = outer_gram(_part(risk, names), max_bytes).div_(value**2)
        total = found if total is None else total.add_(found)
    assert total is not None
    return total


def scaled_cross_gram(
    risk: EmpiricalRisk, others: OnInputs, scale: Tensor, *, joint: bool, max_bytes: int
) -> tuple[Tensor, Tensor]:
    """J_* D^-2 J^T and J_* D^-2 J_*^T, or its diagonal. Cost: a cross-Gram matrix a value."""
    total: tuple[Tensor, Tensor] | None = None
    for value, names in _groups(risk, scale).items():
        found = cross_gram(
            _part(risk, names), _part(others, names), joint=joint, max_bytes=max_bytes
        )
        for matrix in found:
            matrix.div_(value**2)
        total = found if total is None else (total[0].add_(found[0]), total[1].add_(found[1]))
    assert total is not None
    return total


def _groups(risk: EmpiricalRisk, scale: Tensor) -> dict[float, list[str]]:
    """Names of the parameters of each scale."""
    found: dict[float, list[str]] = {}
    firsts = scale[torch.tensor(risk.layout.offsets, device=scale.device)].tolist()
    for name, value in zip(risk.names, firsts, strict=True):
        found.setdefault(value, []).append(name)
    return found


def _part(risk: Risk, names: list[str]) -> Risk:
    """The risk restricted to some parameters; itself, for all."""
    return risk if len(names) == len(risk.names) else cast(Risk, risk.restrict(names))

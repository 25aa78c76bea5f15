"""Properties of data and outputs that comparisons need, from one pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor
from torch.overrides import TorchFunctionMode

from hessium._typing import FloatArray
from hessium.problem import EmpiricalRisk
from hessium.problem.cross_entropy import CrossEntropy
from hessium.problem.losses import Loss, SquaredError, rows
from hessium.problem.torch_losses import Elementwise


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DataPass:
    """Findings of one pass over the data.

    Attributes:
        errors: output gradients of all samples in the normalisation (2N)^-1 sum e^2, flat.
        outputs: shape of the outputs of the first batch.
        silent: by the weight of a linear layer, which of its inputs are zero for all data.
        no_formula: why the rank formulas do not hold for this loss, or "".
    """

    errors: FloatArray
    outputs: torch.Size
    silent: Mapping[str, Tensor]
    no_formula: str


def pass_over(risk: EmpiricalRisk) -> DataPass:
    """Evaluate the network once. Cost: one forward pass."""
    errors: list[Tensor] = []
    shapes: list[torch.Size] = []
    silent: dict[str, Tensor] = {}
    reason = _no_formula(risk.loss)
    for inputs, targets in risk.batches():
        leaves = risk.leaves()
        names = {id(leaf): name for leaf, name in zip(leaves, risk.names, strict=True)}
        with _Watch(names) as watch:
            outputs = risk.outputs(leaves, inputs).detach()
        for name, used in watch.used.items():
            silent[name] = silent.get(name, torch.ones_like(used)) & ~used
        shapes.append(outputs.shape)
        errors.append(risk.output_gradient(outputs, targets).reshape(-1))
        reason = reason or _no_formula_here(risk.loss, outputs, targets)
    scale = risk.num_samples / risk.denominator
    return DataPass(
        errors=np.asarray(torch.cat(errors).double().cpu().numpy() * scale),
        outputs=shapes[0],
        silent=silent,
        no_formula=reason,
    )


def _no_formula(loss: Loss) -> str:
    if not isinstance(loss, (CrossEntropy, SquaredError, Elementwise)):
        return f"no formula for {loss!r}"
    if isinstance(loss, Elementwise) and loss.flat:
        return f"no formula for {loss!r}, whose second derivative vanishes"
    return ""


def _no_formula_here(loss: Loss, outputs: Tensor, targets: Any) -> str:
    if outputs.dim() != 2:
        return f"outputs have shape {tuple(outputs.shape)}, not (samples, units)"
    bend = loss.hessian(outputs, targets)
    block = torch.ones_like(rows(outputs))
    block[:, ::2] = -0.5
    if not bool(bend.product(block).ne(0).any(dim=1).all()):
        return f"no formula for {loss!r}, whose second derivative vanishes for a sample"
    return ""


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

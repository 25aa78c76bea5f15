"""Checks whether the layers of a model, in their order, determine the outputs of a risk.

Layers are recognised by the classes of the modules. A risk may evaluate another function, through
`forward=`, hooks or a patched method. The calls are therefore repeated by class, and conclusions
from layers are drawn only if the outputs agree, at the present and at other parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, fx, nn

from hessium.compare.architecture import Architecture, architecture
from hessium.curvature.base import require_outputs, require_risk
from hessium.errors import InputError
from hessium.problem import EmpiricalRisk

_ALIKE = 1e3  # roundings by which outputs of the same operations may differ
_OTHER = 0.5  # change of each parameter tensor, in its own root mean square, for the second look
OTHERWISE = "the outputs differ from those of the model's layers by their classes"


def require_rows(risk: Any, what: str) -> None:
    """Check that the outputs of a risk have a row for each sample.

    Raises:
        InputError: if it is not a risk, is a closure, or its model returns the loss.
    """
    require_risk(risk)
    require_outputs(risk, what)
    inputs, _ = next(iter(risk.batches()))
    with torch.no_grad():
        outputs = risk.outputs(risk.leaves(), inputs)
    if outputs.dim() == 0:
        msg = (
            f"risk: its outputs are one number a batch, as of a model that returns its loss; "
            f"{what} needs outputs with a row for each sample (return them from forward=, and pass "
            "the loss separately)"
        )
        raise InputError(msg)


def structure_of(risk: EmpiricalRisk) -> Architecture:
    """Layers between inputs and outputs of this risk.

    If its outputs are computed otherwise, the layers only serve candidates that are checked on a
    matrix: chain, first and last layer are None, and `unread` gives the reason.
    """
    shape = architecture(risk.model)
    if not shape.layers and not shape.softmax:
        return shape
    if established(risk, shape):
        return shape
    unread = f"{OTHERWISE}{'; ' + shape.unread if shape.unread else ''}"
    return replace(shape, first=None, softmax=False, unread=unread)


def established(risk: EmpiricalRisk, shape: Architecture) -> bool:
    """Whether the calls by class reproduce the outputs of the risk at two points."""
    source = torch.Generator().manual_seed(0)
    parts = []
    for part in risk.layout.unflatten(risk.theta):
        size = float(part.square().mean().sqrt()) or 1.0
        noise = torch.randn(part.shape, generator=source, dtype=torch.float64).to(part)
        parts.append((part + _OTHER * size * noise).reshape(-1))
    return all(_same_outputs(one, shape) for one in (risk, risk.at(torch.cat(parts))))


def first_inputs(risk: EmpiricalRisk, shape: Architecture) -> Tensor:
    """Inputs of the first layer for all samples, shape (rows, inputs of the layer)."""
    rows: list[Tensor] = []
    run = risk.through(_plain(shape, rows.append))
    with torch.no_grad():
        for inputs, _ in risk.batches():
            run.outputs(run.leaves(), inputs)
    return torch.cat([part.detach().reshape(-1, part.shape[-1]) for part in rows])


def _same_outputs(risk: EmpiricalRisk, shape: Architecture) -> bool:
    plain = risk.through(_plain(shape))
    tol = _ALIKE * torch.finfo(risk.dtype).eps
    for inputs, _ in risk.batches():
        with torch.no_grad():
            outputs = risk.outputs(risk.leaves(), inputs).detach()
            try:
                other = plain.outputs(plain.leaves(), inputs).detach()
            except Exception:  # whatever a module's forward may object to
                return False
        if outputs.shape != other.shape:
            return False
        unit = float(outputs.abs().max()) if outputs.numel() else 0.0
        if not float((outputs - other).abs().max() if outputs.numel() else 0.0) <= tol * unit:
            return False
    return True


def _plain(
    shape: Architecture, watch: Callable[[Tensor], None] | None = None
) -> Callable[[nn.Module, Any], Any]:
    """The model as a function given by the classes of its modules alone."""

    def forward(model: nn.Module, inputs: Any) -> Any:
        if shape.graph is None:
            return _Calls.layer(model, inputs, watch)
        calls = _Calls(model, shape, watch)
        if isinstance(inputs, Mapping):
            names = [n.target for n in shape.graph.nodes if n.op == "placeholder"]
            if set(inputs) - set(names):
                msg = f"inputs: {sorted(set(inputs) - set(names))} are not arguments of the model"
                raise InputError(msg)
            inputs = [inputs[name] for name in names if name in inputs]
        return calls.run(*(inputs if isinstance(inputs, (tuple, list)) else (inputs,)))

    return forward


class _Calls(fx.Interpreter):
    """Runs a graph without hooks and patched methods."""

    def __init__(
        self, model: nn.Module, shape: Architecture, watch: Callable[[Tensor], None] | None
    ) -> None:
        super().__init__(model, graph=shape.graph, garbage_collect_values=False)
        self._layers = {layer.name for layer in shape.layers}
        self._first = shape.first.name if shape.first is not None else None
        self._watch = watch

    def call_module(self, target: Any, args: Any, kwargs: Any) -> Any:
        """The method of the class; of a layer, the linear map itself."""
        module = self.fetch_attr(target)
        if target in self._layers:
            (inputs,) = args
            return self.layer(module, inputs, self._watch if target == self._first else None)
        return type(module).forward(module, *args, **kwargs)

    @staticmethod
    def layer(module: Any, inputs: Tensor, watch: Callable[[Tensor], None] | None) -> Tensor:
        """A linear layer or convolution."""
        if watch is not None:
            watch(inputs)
        if type(module) is nn.Linear:
            return F.linear(inputs, module.weight, module.bias)
        return type(module)._conv_forward(module, inputs, module.weight, module.bias)

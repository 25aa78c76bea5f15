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
from hessium.curvature.requirements import require_outputs, require_risk
from hessium.errors import InputError
from hessium.problem import EmpiricalRisk
from hessium.problem.one_pass import in_one_pass

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
    if risk.survey.scalar:
        msg = (
            f"risk: its outputs are one number a batch, as of a model that returns its loss; "
            f"{what} needs outputs with a row for each sample (return them from forward=, and pass "
            "the loss separately)"
        )
        raise InputError(msg)


def structure_of(risk: EmpiricalRisk) -> tuple[Architecture, Tensor | None]:
    """The layers between inputs and outputs of a risk, as far as recognised.

    Where its outputs are made otherwise the layers are kept for what can be tried on a matrix, but
    there is no chain, no first and no last layer, and `unread` says so.

    Returns:
        The layers, and the inputs of the first one if it is linear: shape (rows, inputs).
    """
    shape = architecture(risk.model)
    if not shape.layers and not shape.softmax:
        return shape, None
    rows: list[Tensor] = []
    if established(risk, shape, rows):
        return shape, torch.cat(rows) if rows else None
    unread = f"{OTHERWISE}{'; ' + shape.unread if shape.unread else ''}"
    return replace(shape, first=None, softmax=False, unread=unread), None


def established(risk: EmpiricalRisk, shape: Architecture, rows: list[Tensor]) -> bool:
    """Whether the calls, done as the classes say, make the outputs of the risk at two points.

    Args:
        risk: where.
        shape: architecture read from the classes of the layers.
        rows: takes the inputs of the first layer at the risk's own parameters.

    Cost: one pass over the data.
    """
    source = torch.Generator().manual_seed(0)
    parts = []
    for part in risk.layout.unflatten(risk.theta):
        size = float(part.square().mean().sqrt()) or 1.0
        noise = torch.randn(part.shape, generator=source, dtype=torch.float64).to(part)
        parts.append((part + _OTHER * size * noise).reshape(-1))
    places = risk, risk.at(torch.cat(parts))
    linear = shape.first is not None and isinstance(shape.first.module, nn.Linear)

    def watch(inputs: Tensor) -> None:
        rows.append(inputs.detach().reshape(-1, inputs.shape[-1]))

    plain = [
        place.through(_plain(shape, watch if linear and place is risk else None))
        for place in places
    ]
    tol = _ALIKE * torch.finfo(risk.dtype).eps
    for position, place, (inputs, _) in in_one_pass(places):
        with torch.no_grad():
            outputs = place.outputs(place.leaves(), inputs).detach()
            try:
                other = plain[position].outputs(plain[position].leaves(), inputs).detach()
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

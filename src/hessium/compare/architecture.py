"""Sequence of the layers of a model and the activations between them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import fx, nn

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_SAME = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)
_LINEAR = (nn.Flatten, nn.AvgPool1d, nn.AvgPool2d, nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d)
_HOMOGENEOUS = (nn.ReLU, nn.LeakyReLU, nn.MaxPool1d, nn.MaxPool2d, nn.AdaptiveMaxPool2d)
_HOMOGENEOUS_CALLS = {torch.relu, F.relu, F.leaky_relu, F.max_pool2d}
_LINEAR_CALLS = {torch.flatten, F.avg_pool2d, F.adaptive_avg_pool2d}
_SHIFT_FREE = (nn.Softmax, nn.LogSoftmax)
_SHIFT_FREE_CALLS = {torch.softmax, F.softmax, torch.log_softmax, F.log_softmax}


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A linear map with parameters, called once.

    Attributes:
        name: of the module.
        module: `nn.Linear` or a convolution without groups.
    """

    name: str
    module: Any

    @property
    def weight(self) -> str:
        """Name of its weight."""
        return f"{self.name}.weight" if self.name else "weight"

    @property
    def bias(self) -> str | None:
        """Name of its bias, or None."""
        if self.module.bias is None:
            return None
        return f"{self.name}.bias" if self.name else "bias"

    @property
    def width(self) -> int:
        """Number of output units or channels."""
        return int(self.module.weight.shape[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """Two layers; the second takes its input from the first only.

    Attributes:
        first, second: the layers.
        between: "linear", "homogeneous" (f(cx) = c f(x) for c > 0, unit by unit) or "other".
        activation: name of the activation; "none" if there is none.
    """

    first: Layer
    second: Layer
    between: str
    activation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """Layers of a model, as far as recognised.

    Attributes:
        layers: linear layers and convolutions that are called once, in the order of the calls.
        links: pairs that follow each other.
        first: the layer that takes the inputs, or None.
        last: the layer whose outputs are the model's (up to a softmax), or None.
        softmax: whether the model ends in a (log-)softmax itself.
        unread: reason why parts of the model were not analysed, or "".
        graph: the traced calls, None if the model is one layer.
    """

    layers: tuple[Layer, ...] = ()
    links: tuple[Link, ...] = ()
    first: Layer | None = None
    last: Layer | None = None
    softmax: bool = False
    unread: str = ""
    graph: fx.Graph | None = field(default=None, repr=False, compare=False)

    @property
    def chain(self) -> tuple[Layer, ...] | None:
        """All layers, if each feeds the next one and no other module has parameters; else None."""
        follows = all(
            (link.first, link.second) == pair
            for link, pair in zip(
                self.links, zip(self.layers[:-1], self.layers[1:], strict=True), strict=False
            )
        )
        whole = len(self.links) == len(self.layers) - 1 and follows and not self.unread
        ends = self.first is not None and self.last is not None
        return self.layers if whole and ends and self.layers else None


def architecture(model: nn.Module) -> Architecture:
    """Trace the calls of a model from layer to layer (`torch.fx`), without changing the model.

    Only the classes of the modules are used; `structure.established` checks whether they determine
    the outputs.
    """
    if _is_layer(model):
        layer = Layer(name="", module=model)
        return Architecture(layers=(layer,), first=layer, last=layer)
    try:
        graph = fx.Tracer().trace(model)
    except Exception as error:  # a user's forward may raise any exception
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        return Architecture(unread=f"{type(model).__name__} cannot be traced ({reason})")
    modules = dict(model.named_modules())
    calls = [node for node in graph.nodes if node.op == "call_module"]
    # a weight that is read by name, or known under two names, acts in two places
    seen = Counter(id(p) for _, p in model.named_parameters(remove_duplicate=False))
    read = {str(node.target) for node in graph.nodes if node.op == "get_attr"}
    times = Counter(str(node.target) for node in calls)
    layers: dict[fx.Node, Layer] = {}
    for node in calls:
        layer = Layer(name=str(node.target), module=modules[str(node.target)])
        names = {layer.weight, layer.bias} if _is_layer(layer.module) else set()
        alone = all(seen[id(p)] == 1 for p in layer.module.parameters(recurse=False))
        if names and alone and times[layer.name] == 1 and not names & read:
            layers[node] = layer
    links = tuple(link for node in layers if (link := _link(node, layers, modules)) is not None)
    last, softmax = _last(graph, layers, modules)
    known = {name for layer in layers.values() for name in (layer.weight, layer.bias)}
    others = sorted({n for n, p in model.named_parameters() if p.requires_grad} - known)
    return Architecture(
        layers=tuple(layers.values()),
        links=links,
        first=next((layers[n] for n in layers if _from_input(n, modules)), None),
        last=last,
        softmax=softmax,
        unread=f"no rule for {', '.join(others[:4])}" if others else "",
        graph=graph,
    )


def _is_layer(module: Any) -> bool:
    """Whether a module is a linear map by its class, and its weight a parameter."""
    if type(module) not in (nn.Linear, *_CONVOLUTIONS) or "weight" not in module._parameters:
        return False
    return type(module) is nn.Linear or module.groups == 1


def _kind(node: fx.Node, modules: dict[str, Any]) -> tuple[str, str]:
    """How a node acts, and its name."""
    if node.op == "call_module":
        module = modules[str(node.target)]
        name = type(module).__name__
        for kinds, kind in ((_SAME, "same"), (_LINEAR, "linear"), (_HOMOGENEOUS, "homogeneous")):
            if isinstance(module, kinds):
                return kind, name
        return "shift-free" if isinstance(module, _SHIFT_FREE) else "other", name
    name = str(getattr(node.target, "__name__", node.target))
    if node.target in _HOMOGENEOUS_CALLS or (node.op, node.target) == ("call_method", "relu"):
        return "homogeneous", name
    if node.target in _LINEAR_CALLS or (node.op, node.target) == ("call_method", "flatten"):
        return "linear", name
    return ("shift-free" if node.target in _SHIFT_FREE_CALLS else "other"), name


def _link(node: fx.Node, layers: dict[fx.Node, Layer], modules: dict[str, Any]) -> Link | None:
    first = layers[node]
    kinds: list[str] = []
    names: list[str] = []
    for step in _only_users(node):
        if step in layers:
            between = "other"
            if all(kind in ("same", "linear") for kind in kinds):
                between = "linear"
            elif all(kind in ("same", "linear", "homogeneous") for kind in kinds):
                between = "homogeneous"
            activation = " + ".join(names) or "none"
            return Link(first=first, second=layers[step], between=between, activation=activation)
        if step.op == "output":
            return None
        kind, name = _kind(step, modules)
        kinds.append(kind)
        names += [name] if kind not in ("same",) else []
    return None


def _only_users(node: fx.Node) -> Iterator[fx.Node]:
    """The following nodes, as long as each value is used once, by a node with one input."""
    while len(node.users) == 1:
        node = next(iter(node.users))
        if len(node.all_input_nodes) != 1:
            return
        yield node


def _last(
    graph: fx.Graph, layers: dict[fx.Node, Layer], modules: dict[str, Any]
) -> tuple[Layer | None, bool]:
    (output,) = (node for node in graph.nodes if node.op == "output")
    softmax, node = False, output
    while len(node.all_input_nodes) == 1:
        node = node.all_input_nodes[0]
        if node in layers:
            return layers[node], softmax
        if node.op not in ("call_module", "call_function", "call_method"):
            break
        kind, _ = _kind(node, modules)
        softmax |= kind == "shift-free"
        if kind not in ("same", "shift-free"):
            break
    return None, softmax


def _from_input(node: fx.Node, modules: dict[str, Any]) -> bool:
    while len(node.all_input_nodes) == 1:
        node = node.all_input_nodes[0]
        if node.op == "placeholder":
            return True
        if node.op not in ("call_module", "call_function", "call_method"):
            return False
        if _kind(node, modules)[0] not in ("same", "linear"):
            return False
    return False

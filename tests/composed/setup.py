"""A composition: a model, a loss and data, built anew from its seed as often as needed."""

from __future__ import annotations

import dataclasses
from collections import namedtuple
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from composed import losses

Pair = namedtuple("Pair", ("x", "z"))


@dataclasses.dataclass
class Record:
    """Inputs as an object with a method of conversion."""

    x: Tensor
    z: Tensor

    def to(self, *args: Any) -> Record:
        return dataclasses.replace(self, x=self.x.to(*args), z=self.z.to(*args))


class Bag:
    """Inputs as a plain object."""

    def __init__(self, x: Tensor, z: Tensor) -> None:
        self.x, self.z = x, z


@dataclasses.dataclass
class Graph:
    """Several graphs in one: features of nodes, ends of edges, the graph of each node."""

    x: Tensor
    edges: Tensor
    batch: Tensor
    num_graphs: int


@dataclasses.dataclass
class Setup:
    """What the user has, and the same loss by plain torch.

    Attributes:
        forward: model, inputs of a batch -> outputs, as the user trains it.
        sample_dim: the dimension of the outputs that counts samples.
        target_dim: the same of the targets.
        samples: in all batches.
        flat: whether a sample has several rows of outputs.
    """

    features: list[str]
    model: nn.Module
    kit: losses.Kit
    batches: list[tuple[Any, Any]]
    container: str
    keywords: dict[str, Any]
    precision: str
    ns: SimpleNamespace
    forward: Callable[[nn.Module, Any], Tensor]
    sample_dim: int
    samples: int
    flat: bool
    closure: Callable[[nn.Module], Tensor] | None = None
    sizes: tuple[int, ...] = ()
    constant_rows: tuple[tuple[str, int], ...] = ()
    ambient: str = "none"

    def parameters(self) -> list[nn.Parameter]:
        return [p for p in self.model.parameters() if p.requires_grad]

    def names(self) -> list[str]:
        return [n for n, p in self.model.named_parameters() if p.requires_grad]

    def cast(self, store: torch.dtype, dtype: torch.dtype) -> Setup:
        """Round all numbers to `store` and keep them in `dtype`."""

        def rounded(value: Any) -> Any:
            if isinstance(value, Tensor) and value.is_floating_point():
                return value.detach().to(store).to(dtype).requires_grad_(value.requires_grad)
            return value

        seen = set()
        memory: dict[tuple[Any, ...], Tensor] = {}  # what shares its memory goes on to
        for module in self.modules():
            for container in (module._parameters, module._buffers, vars(module)):
                for tensor in container.values():
                    if isinstance(tensor, Tensor) and tensor.is_leaf and id(tensor) not in seen:
                        seen.add(id(tensor))
                        key = (tensor.data_ptr(), *tensor.shape, *tensor.stride())
                        if tensor.numel():
                            tensor.data = memory.setdefault(key, rounded(tensor.data))
        for name, value in vars(self.ns).items():
            setattr(self.ns, name, rounded(value))
        self.batches = [(mapped(x, rounded), mapped(y, rounded)) for x, y in self.batches]
        return self

    def modules(self) -> Iterator[nn.Module]:
        """All modules, those that are not registered too."""
        roots = [self.model, *self.kit.modules]
        for module in list(self.model.modules()):
            roots += [m for m in getattr(module, "hidden", []) if isinstance(m, nn.Module)]
        seen = set()
        for root in roots:
            for module in root.modules():
                if id(module) not in seen:
                    seen.add(id(module))
                    yield module

    def data(self) -> Any:
        """As the user hands it in."""
        if self.container == "pair":
            return self.batches[0]
        if self.container == "list":
            return list(self.batches)
        if self.container == "iterable":
            return Reiterable(self.batches)
        return DataLoader(self.batches, batch_size=None, shuffle=self.container == "shuffled")  # type: ignore[arg-type]

    def outputs(self) -> Tensor:
        """Of all samples."""
        found = [self.forward(self.model, x) for x, _ in self.batches]
        return torch.cat(found, self.sample_dim) if found[0].dim() else torch.stack(found)

    def targets(self) -> Tensor:
        """Of all samples."""
        first = self.batches[0][1]
        dim = self.sample_dim
        if first.dim() <= dim:
            dim = 0
        return torch.cat([y for _, y in self.batches], dim)

    def of_outputs(self, outputs: Tensor) -> Tensor:
        """The loss of the whole data set."""
        return self.kit.plain(outputs, self.targets())

    def whole(self) -> Tensor:
        """The loss of the whole data set."""
        if self.closure is not None:
            return self.closure(self.model)
        return self.of_outputs(self.outputs())


class Reiterable:
    """An object of the user's own."""

    def __init__(self, batches: list[tuple[Any, Any]]) -> None:
        self.batches = batches

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        return iter(self.batches)


def mapped(value: Any, function: Callable[[Any], Any]) -> Any:
    """A container with a function of its tensors."""
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(mapped(v, function) for v in value))
    if isinstance(value, (tuple, list)):
        return type(value)(mapped(v, function) for v in value)
    if isinstance(value, dict):
        return {k: mapped(v, function) for k, v in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.replace(
            value, **{f.name: function(getattr(value, f.name)) for f in dataclasses.fields(value)}
        )
    if isinstance(value, Bag):
        return Bag(function(value.x), function(value.z))
    return function(value)


def tensors_of(value: Any) -> list[Tensor]:
    found: list[Tensor] = []

    def keep(leaf: Any) -> Any:
        if isinstance(leaf, Tensor):
            found.append(leaf)
        return leaf

    mapped(value, keep)
    return found


class Interrupted(KeyboardInterrupt):
    """What a user's Ctrl-C raises."""


class Trunk(nn.Module):
    """Blocks in a chain, some of them addressed by a dict.

    Attributes:
        fuse: forward passes until the user interrupts, if ever.
    """

    fuse: int | None = None

    def __init__(self, parts: list[nn.Module], keyed: bool) -> None:
        super().__init__()
        if keyed:
            self.parts: nn.Module = nn.ModuleDict({f"part{i}": p for i, p in enumerate(parts)})
        else:
            self.parts = nn.ModuleList(parts)

    def forward(self, x: Tensor) -> Tensor:
        each = self.parts.values() if isinstance(self.parts, nn.ModuleDict) else self.parts
        for part in each:  # type: ignore[union-attr]
            x = part(x)
        if Trunk.fuse is not None:
            Trunk.fuse -= 1
            if Trunk.fuse <= 0:
                raise Interrupted
        return x


class Net(nn.Module):
    """Embedding, trunk and head, with a second input that is mixed in after the embedding.

    Args:
        shape: how outputs are arranged: "pooled" (samples, K), "steps" (the layout's own),
            "classes" (samples, K, time), "flat" (samples x time, K).
        time: the dimension of time, or None.
    """

    def __init__(
        self, embed: nn.Module, trunk: nn.Module, head: nn.Module, shape: str, time: int | None,
        *, two: bool, log: bool,
    ) -> None:  # fmt: skip
        super().__init__()
        self.embed, self.trunk, self.head = embed, trunk, head
        self.shape, self.time, self.two, self.log = shape, time, two, log

    def forward(self, x: Tensor, z: Tensor | None = None) -> Tensor:
        h = self.embed(x)
        if z is not None:
            shift = torch.tanh(z)
            h = h + (shift if self.time != 1 else shift.unsqueeze(1))
        h = self.trunk(h)
        if self.time is not None and self.shape == "pooled":
            h = h.mean(self.time)
        f: Tensor = self.head(h)
        if self.log:
            f = torch.log_softmax(f, -1)
        if self.shape == "classes":
            return f.mT
        return f.reshape(-1, f.shape[-1]) if self.shape == "flat" else f


class Answer(nn.Module):
    """A model that returns a dict, whose logits the user takes out with `forward=`."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, *inputs: Any, **named: Any) -> dict[str, Any]:
        logits = self.net(*inputs, **named)
        return {"logits": logits, "norm": logits.norm()}


class OnObject(nn.Module):
    """The same for inputs that are one object."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, inputs: Any) -> Tensor:
        out: Tensor = self.net(inputs.x, inputs.z)
        return out


class GraphNet(nn.Module):
    """Two rounds of messages, then a sum over the nodes of every graph."""

    def __init__(self, features: int, w: int, trunk: nn.Module, out: int, log: bool) -> None:
        super().__init__()
        self.embed, self.message = nn.Linear(features, w), nn.Linear(w, w)
        self.trunk, self.head, self.log = trunk, nn.Linear(w, out), log

    def forward(self, g: Graph) -> Tensor:
        h = torch.tanh(self.embed(g.x))
        sent = self.message(h)[g.edges[0]]
        h = h + torch.zeros_like(h).index_add(0, g.edges[1], sent)
        pooled = h.new_zeros(g.num_graphs, h.shape[1]).index_add(0, g.batch, self.trunk(h))
        f: Tensor = self.head(pooled)
        return torch.log_softmax(f, -1) if self.log else f


class TiedHead(nn.Module):
    def __init__(self, embedding: nn.Embedding) -> None:
        super().__init__()
        self.weight = embedding.weight

    def forward(self, h: Tensor) -> Tensor:
        return h @ self.weight.mT


class OwnLoss(nn.Module):
    """A model that takes its targets and returns its loss."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return (self.net(x) - y).square().mean()

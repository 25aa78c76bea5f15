"""What the graph of the outputs and the loss of a batch give away about a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from hessium.errors import InputError
from hessium.problem.losses import Loss

RECOMPUTES = (
    "model: it checkpoints activations, that is, computes them again in every backward pass, from "
    "the parameters that the module has by then; switch checkpointing off"
)


class Looks:
    """Looks at each batch of the first pass over the data.

    Args:
        loss: of the risk.
        parameters: the free parameters, as leaves of the graphs.
        names: theirs.
        model: the user's module, whose own parameters must not be in any graph.
    """

    def __init__(
        self, loss: Loss, parameters: Sequence[Tensor], names: Sequence[str], model: nn.Module
    ) -> None:
        self._loss = loss
        self._free = {id(p): name for p, name in zip(parameters, names, strict=True)}
        self._own = {id(p): name for name, p in model.named_parameters()}
        self._dtype = parameters[0].dtype
        self._frozen = [(name, p, p._version) for name, p in model.named_parameters()]
        self._reached: set[str] = set()

    def at_batch(self, outputs: Tensor, targets: Any, number: int) -> None:
        """Look at one batch.

        Raises:
            InputError: if the outputs depend on a parameter that was not handed in, the forward
                pass wrote to one, or part of it is recomputed or of lower precision.
        """
        nodes = _nodes_behind(outputs)
        self._require_precision(nodes, "model", "its forward pass")
        if number == 0:
            point = outputs.detach().requires_grad_()
            slope = _nodes_behind(self._loss.total(point, targets))
            self._require_precision(slope, "loss", repr(self._loss))
        for leaf in (node.variable for node in nodes if hasattr(node, "variable")):
            if id(leaf) in self._free:
                self._reached.add(self._free[id(leaf)])
            elif id(leaf) in self._own:
                msg = (
                    f"model: its forward pass reads '{self._own[id(leaf)]}' from somewhere else "
                    "than its place in the module (a list, a closure); it must read it from there"
                )
                raise InputError(msg)
        for name, parameter, version in self._frozen:
            if parameter._version != version:
                msg = f"model: its forward pass writes to parameter '{name}'; it must only read"
                raise InputError(msg)

    def unused(self) -> tuple[str, ...]:
        """Names of the free parameters that no output depends on.

        Raises:
            InputError: if that is all of them.
        """
        unused = tuple(name for name in self._free.values() if name not in self._reached)
        if len(unused) == len(self._free):
            msg = "model: its outputs depend on no trainable parameter (is there a no_grad inside?)"
            raise InputError(msg)
        return unused

    def require_no_effect(
        self,
        unused: Sequence[str],
        outputs: Callable[[Sequence[Tensor], Any], Tensor],
        parameters: Sequence[Tensor],
        inputs: Any,
    ) -> None:
        """Parameters that no gradient reaches do not move the outputs either.

        Raises:
            InputError: if they do: their gradient is cut off, and zero would be a lie.
        """
        step = torch.finfo(self._dtype).eps ** (1 / 3)
        here = outputs(parameters, inputs).detach()

        def matter(names: Sequence[str]) -> bool:
            moved = [
                p + step * (1 + p.abs()) if self._free[id(p)] in names else p for p in parameters
            ]
            change = outputs(moved, inputs).detach() - here
            return float(change.norm()) > 1e-2 * step * float(here.norm())

        if not matter(unused):
            return
        culprit = next((name for name in unused if matter([name])), unused[0])
        msg = (
            f"model: its outputs change with '{culprit}', but no gradient reaches it (detach, "
            "no_grad or reentrant checkpointing inside); let gradients through, or freeze what is "
            "meant to be fixed (requires_grad_(False))"
        )
        raise InputError(msg)

    def _require_precision(self, nodes: Sequence[Any], argument: str, place: str) -> None:
        for node in nodes:
            if node.name() == "CheckpointFunctionBackward":
                raise InputError(RECOMPUTES)
            for made in node._input_metadata:
                real = made.dtype.to_real()
                if real.is_floating_point and real.itemsize < self._dtype.itemsize:
                    msg = (
                        f"{argument}: {place} computes in {made.dtype} inside (autocast, a cast "
                        f"or a constant), less than the {self._dtype} of the parameters; say "
                        f"dtype={self._dtype} to leave casts out, or lower that of the parameters"
                    )
                    raise InputError(msg)


def _nodes_behind(tensor: Tensor) -> list[Any]:
    """The nodes of the graph of a tensor, leaves included."""
    seen: dict[Any, None] = {}
    stack: list[Any] = [tensor.grad_fn]
    while stack:
        node = stack.pop()
        if node is not None and node not in seen:
            seen[node] = None
            stack += [parent for parent, _ in node.next_functions]
    return list(seen)

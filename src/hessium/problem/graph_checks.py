"""Checks of the autograd graph of one batch: precision, parameters, additivity of the loss."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import BackwardCFunction

from hessium.errors import InputError
from hessium.problem.losses import Loss

REENTRANT = (
    "model: it checkpoints activations with use_reentrant=True, whose backward pass torch cannot "
    "differentiate; use use_reentrant=False, or disable checkpointing"
)


class GraphChecks:
    """Checks of the graph of each batch in the first pass over the data.

    Args:
        loss: the loss of the risk.
        parameters: the free parameters, as leaves of the graphs.
        names: of the free parameters.
        model: the user's module, whose own parameters must not appear in any graph.

    Attributes:
        read_by_loss: names of the free parameters that the loss depends on other than through the
            outputs.
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
        self._first: set[str] | None = None
        self._outside: dict[int, Tensor] = {}
        self.read_by_loss: set[str] = set()

    def at_batch(
        self, outputs: Tensor, behind_loss: Sequence[Any], known: Iterable[Tensor]
    ) -> None:
        """Check one batch while the model holds the parameters.

        Args:
            outputs: with their graph.
            behind_loss: the nodes of the graph of the loss, down to the outputs.
            known: tensors that may require gradients without being parameters: the data, and
                tensors in which the forward pass differentiates.

        Raises:
            InputError: if the outputs depend on a parameter that was not handed in, the forward
                pass wrote to one, or part of it is recomputed or of lower precision.
        """
        nodes = nodes_behind(outputs)
        self._require_precision(nodes, "model", "its forward pass")
        self._require_precision(behind_loss, "loss", repr(self._loss))
        ignored = {id(tensor) for tensor in known}
        for argument, behind in (("model", nodes), ("loss", behind_loss)):
            for leaf in leaves_of(behind):
                if id(leaf) in self._free:
                    self._reached.add(self._free[id(leaf)])
                    if argument == "loss":
                        self.read_by_loss.add(self._free[id(leaf)])
                elif id(leaf) in self._own:
                    what = "its forward pass" if argument == "model" else repr(self._loss)
                    msg = (
                        f"{argument}: {what} reads '{self._own[id(leaf)]}' from somewhere else "
                        "than its place in the module (a list, a closure over the tensor); it must "
                        "read it from the module"
                    )
                    raise InputError(msg)
                elif id(leaf) not in ignored:
                    self._outside[id(leaf)] = leaf
        self._first = set(self._reached) if self._first is None else self._first
        for name, parameter, version in self._frozen:
            if parameter._version != version:
                msg = f"model: its forward pass writes to parameter '{name}'; it must only read"
                raise InputError(msg)

    def add_reach(self, reached: Iterable[str], read_by_loss: Iterable[str]) -> None:
        """Add parameters that the loss depends on in the data of other processes."""
        self._reached.update(reached)
        self.read_by_loss.update(read_by_loss)

    @property
    def reached(self) -> set[str]:
        """Names of the free parameters that the loss depends on."""
        return self._reached

    def require_same_reach(self, nodes: Sequence[Any], parameters: Sequence[Tensor]) -> None:
        """Check that a second pass with new leaves depends on the same parameters.

        Raises:
            InputError: if not: a tensor computed from parameters is cached between passes.
        """
        names = {id(p): name for p, name in zip(parameters, self._free.values(), strict=True)}
        reached = {names[id(leaf)] for leaf in leaves_of(nodes) if id(leaf) in names}
        lost = sorted((self._first or set()) ^ reached)
        if lost:
            msg = (
                f"model: a second forward pass does not depend on '{lost[0]}' as the first one "
                "did; a tensor computed from parameters is cached between passes (by "
                "parametrize.cached, or a cache outside of the module): call hessium without it"
            )
            raise InputError(msg)

    def outside(self, nodes: Sequence[Any]) -> list[Tensor]:
        """Trainable tensors outside the module, of those behind the graph of a second pass.

        Tensors created in the forward pass differ between passes and are excluded.
        """
        return [leaf for leaf in leaves_of(nodes) if id(leaf) in self._outside]

    def unused(self) -> tuple[str, ...]:
        """Names of the free parameters that the loss does not depend on.

        Raises:
            InputError: if the loss depends on none of them.
        """
        unused = tuple(name for name in self._free.values() if name not in self._reached)
        if len(unused) == len(self._free):
            msg = (
                "model, loss: no trainable parameter is reached by gradients of the loss (is there "
                "a detach, no_grad, item or conversion to NumPy inside?)"
            )
            raise InputError(msg)
        return unused

    def require_no_effect(
        self,
        unused: Sequence[str],
        total: Callable[[Sequence[Tensor]], Tensor],
        parameters: Sequence[Tensor],
    ) -> None:
        """Check that parameters without a gradient do not change the loss of a batch.

        Raises:
            InputError: if they do: their gradient is blocked, and zero would be wrong.
        """
        step = torch.finfo(self._dtype).eps ** (1 / 3)
        here = total(parameters).detach()

        def matter(names: Sequence[str]) -> bool:
            moved = [
                p + step * (1 + p.abs()) if self._free[id(p)] in names else p for p in parameters
            ]
            change = float((total(moved).detach() - here).abs())
            return change > 1e-2 * step * float(here.abs())

        if not matter(unused):
            return
        culprit = next((name for name in unused if matter([name])), unused[0])
        msg = (
            f"model: the loss changes with '{culprit}', but no gradient reaches it (a detach, "
            "no_grad or checkpoint with use_reentrant=True inside); let gradients through, or "
            "freeze what is meant to be fixed (requires_grad_(False))"
        )
        raise InputError(msg)

    def _require_precision(self, nodes: Sequence[Any], argument: str, place: str) -> None:
        for node in nodes:
            if node.name() == "CheckpointFunctionBackward":
                raise InputError(REENTRANT)
            results = node._input_metadata
            for made in results:
                if len(results) > 1 and not made.shape:  # a result that was not asked for
                    continue
                real = made.dtype.to_real()
                if real.is_floating_point and real.itemsize < self._dtype.itemsize:
                    msg = (
                        f"{argument}: {place} computes in {made.dtype} inside (autocast, a cast "
                        f"or a constant), less than the {self._dtype} of the parameters; pass "
                        f"dtype={self._dtype} to omit casts, or lower that of the parameters"
                    )
                    raise InputError(msg)


def nodes_behind(tensor: Tensor) -> list[Any]:
    """The nodes of the graph of a tensor, leaves included."""
    seen: dict[Any, None] = {}
    stack: list[Any] = [tensor.grad_fn]
    while stack:
        node = stack.pop()
        if node is not None and node not in seen:
            seen[node] = None
            stack += [parent for parent, _ in node.next_functions]
    return list(seen)


def leaves_of(nodes: Iterable[Any]) -> list[Tensor]:
    """The leaf tensors among the nodes of a graph."""
    return [node.variable for node in nodes if hasattr(node, "variable")]


def runs_python(nodes: Iterable[Any]) -> bool:
    """Whether a backward pass calls Python code, which may access parameters."""
    return any(isinstance(node, BackwardCFunction) for node in nodes)

"""Forward passes of the first pass over the data, with error messages and observations."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeGuard

import torch
from torch import Tensor
from torch.autograd.graph import disable_saved_tensors_hooks

from hessium.errors import InputError, NonFiniteInputError
from hessium.problem.containers import closed, replaced, tensors
from hessium.problem.forward import describe
from hessium.problem.graph_checks import nodes_behind, runs_python
from hessium.problem.kernel_sizes import KernelSizes
from hessium.problem.kernels import ForwardWatch
from hessium.problem.losses import CallableLoss, Loss, Value

if TYPE_CHECKING:
    from hessium.problem.risk import EmpiricalRisk

_HOOKS = "hooks on saved tensors"


class WatchedPasses:
    """Evaluates the model and the loss batch by batch and records their side effects.

    Args:
        risk: the risk with model and loss.
        parameters: at which to evaluate.
        dtype: dtype of the converted data, if any.
        checked: whether exceptions of torch are reported as InputError.
        again: whether the kernels were measured in an earlier pass.

    Attributes:
        attention: whether fused attention was asked for.
        recomputes: whether hooks on saved tensors were used (checkpoints, offloading).
        runs_python: whether a backward pass calls Python code.
        draws: whether a global random generator was drawn from.
        differentiated_in: tensors in which a forward pass takes derivatives.
        sizes: of its kernels.
    """

    def __init__(
        self,
        risk: EmpiricalRisk,
        parameters: Sequence[Tensor],
        dtype: torch.dtype | None,
        *,
        checked: bool,
        again: bool = False,
    ) -> None:
        self.risk, self.parameters, self._dtype = risk, parameters, dtype
        self._checked, self._again = checked, again
        self.attention = self.recomputes = self.runs_python = self.draws = False
        self.differentiated_in: list[Tensor] = []
        self.sizes = KernelSizes()

    def outputs(self, inputs: Any, number: int) -> Tensor:
        """Outputs of one batch; the inputs of the first batch are compared with a copy.

        Raises:
            InputError: if the forward pass fails, writes to its inputs or gives no usable outputs.
        """
        if not self._checked:
            return self._watched(lambda: self.risk.outputs(self.parameters, inputs))
        seen = cloned(inputs) if number == 0 else inputs
        versions = _versions(seen)
        try:
            f = self._watched(lambda: self.risk.outputs(self.parameters, seen))
        except (InputError, torch.OutOfMemoryError):
            raise
        except Exception as error:
            raise InputError(self._failure(error, inputs)) from error
        if _versions(seen) != versions:
            msg = (
                "model: its forward pass writes to its inputs (a layer with inplace=True?); it "
                "must not modify them (forward=lambda model, inputs: model(inputs.clone()))"
            )
            raise InputError(msg)
        return f

    def loss(self, f: Tensor, targets: Any, number: int) -> tuple[float, float]:
        """The loss of one batch, a mean if its weight is unknown yet, and the denominator.

        Raises:
            InputError: if the loss fails, writes to its arguments, or is not finite.
        """
        loss = self.risk.loss
        targets = cloned(targets) if number == 0 else targets
        versions = _versions((f, targets))
        try:
            value = loss.value if weighs_by_samples(loss) else loss.total
            total = float(self._watched(lambda: value(f.detach(), targets)).detach())
            denominator = float(loss.count(f, targets))
        except (InputError, torch.OutOfMemoryError):
            raise
        except Exception as error:
            msg = (
                f"loss: {loss!r} failed on batch {number} ({reason(error)}); outputs are "
                f"{describe(f)}, targets {describe(targets)}"
            )
            raise InputError(msg) from error
        if _versions((f, targets)) != versions:
            msg = (
                f"loss: {loss!r} writes to its outputs or targets in place (sub_, an index on the "
                "left); it must only read"
            )
            raise InputError(msg)
        if not math.isfinite(total):
            msg = f"loss: is {total} on batch {number}; a finite number is required"
            raise NonFiniteInputError(msg)
        return total, denominator

    def nodes_of_loss(self, f: Tensor, targets: Any) -> list[Any]:
        """The graph of the loss of one batch alone, down to the outputs."""
        if isinstance(self.risk.loss, Value):
            return []
        point = f.detach().requires_grad_()
        with torch.enable_grad():
            total = self._watched(lambda: self.risk.loss.total(point, targets))
        return [
            node for node in nodes_behind(total) if getattr(node, "variable", None) is not point
        ]

    def _watched(self, function: Callable[[], Tensor]) -> Tensor:
        before = torch.get_rng_state()
        with ForwardWatch(None if self._again else self.sizes) as watch:
            if self.recomputes:
                result = function()
            else:
                try:
                    with disable_saved_tensors_hooks(_HOOKS):
                        result = function()
                except RuntimeError as error:
                    if str(error) != _HOOKS:
                        raise
                    self.recomputes = True
                    result = function()
        self.attention |= watch.attention
        self.draws |= not torch.equal(before, torch.get_rng_state())
        self.differentiated_in += watch.differentiated_in
        if not self.runs_python:
            self.runs_python = isinstance(result, Tensor) and runs_python(nodes_behind(result))
        return result

    def _failure(self, error: Exception, inputs: Any) -> str:
        where = f"{self.parameters[0].dtype} on {self.parameters[0].device}"
        if isinstance(self.risk.loss, Value):
            return f"closure: failed ({reason(error)}); the module's parameters are {where}"
        msg = (
            f"model: its forward pass failed on the data ({reason(error)}); parameters are "
            f"{where}, inputs {describe(inputs)}"
        )
        kinds = closed(inputs)
        if self._dtype is not None and kinds:
            msg += f"; no tensor was found in the {kinds[0]}, so it was not converted to "
            msg += str(self._dtype)
        if isinstance(error, (TypeError, KeyError, AttributeError)):
            keys = list(inputs) if isinstance(inputs, Mapping) else []
            how = f"inputs[{keys[0]!r}]" if keys else "inputs"
            msg += f"; define the call, for example forward=lambda model, inputs: model({how})"
        return msg


def weighs_by_samples(loss: Loss) -> TypeGuard[CallableLoss]:
    """Whether batch means must be weighted after the first pass."""
    return isinstance(loss, CallableLoss) and loss.by_samples


def cloned(value: Any) -> Any:
    """A container with copies of its tensors; an object that cannot be copied is itself."""
    try:
        return replaced(value, lambda t: t.detach().clone().requires_grad_(t.requires_grad))
    except InputError:
        return value


def reason(error: Exception) -> str:
    """The first line of an exception."""
    lines = str(error).strip().splitlines()
    kind = type(error).__name__
    return (f"{kind}: {lines[0]}" if isinstance(error, KeyError) else lines[0]) if lines else kind


def _versions(value: Any) -> list[int]:
    return [0 if t.is_inference() else t._version for t in tensors(value)]

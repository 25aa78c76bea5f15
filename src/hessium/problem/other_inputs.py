"""The network of a risk at the same parameters, on inputs without targets."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import torch

from hessium.errors import InputError
from hessium.problem.containers import replaced
from hessium.problem.data import Batch, check_batch, converted
from hessium.problem.losses import num_rows
from hessium.problem.risk import EmpiricalRisk


class OnInputs(EmpiricalRisk):
    """A risk whose batches are other inputs; it has outputs and their Jacobian, but no loss.

    Args:
        risk: gives the model, its parameters, `forward=` and the dtype.
        batches: inputs of each batch, as the model takes them. Floating-point tensors are converted
            to the dtype of the risk in a copy.

    Raises:
        InputError: if a tensor lies on another device or has entries that are not finite.
    """

    def __init__(self, risk: EmpiricalRisk, batches: Sequence[Any]) -> None:
        self.__dict__.update(risk.__dict__)
        self._source: EmpiricalRisk | None = None
        self._others = [
            replaced(inputs, lambda tensor: converted(tensor, risk.dtype)) for inputs in batches
        ]
        for number, inputs in enumerate(self._others):
            try:
                check_batch(inputs, None, number, risk.device)
            except InputError as error:  # these are not the data
                text = str(error).removeprefix(f"data: inputs of batch {number} ")
                msg = f"inputs: those given {text}"
                raise InputError(msg) from error

    def batches(self) -> Iterator[Batch]:
        """Pairs (inputs, None); those of the data, if asked for, with their targets first."""
        self._places.require_places()
        self._state.require_frozen()
        if self._source is not None:
            yield from self._source.batches()
        for inputs in self._others:
            yield inputs, None

    def after(self, data: EmpiricalRisk) -> OnInputs:
        """The batches of some data, then these; shapes stay those of these alone."""
        other = copy.copy(self)
        other._source = data
        return other

    @cached_property
    def shapes(self) -> list[torch.Size]:
        """Shape of the outputs of each batch of other inputs. Cost: one forward pass.

        Raises:
            InputError: if the model fails at them, or gives no output.
        """
        leaves, found = self.leaves(), []
        for inputs in self._others:
            try:
                shape = self.outputs(leaves, inputs).shape
            except InputError:
                raise
            except (RuntimeError, TypeError, ValueError, LookupError, AttributeError) as error:
                msg = f"inputs: the model does not take them ({type(error).__name__}: {error})"
                raise InputError(msg) from error
            if not shape.numel():
                msg = f"inputs: outputs of shape {tuple(shape)}; at least one sample is required"
                raise InputError(msg)
            found.append(shape)
        return found

    @property
    def num_samples(self) -> int:
        """First dimension of all outputs together."""
        data = 0 if self._source is None else self._source.num_samples
        return data + sum(num_rows(torch.empty(s, device="meta")) for s in self.shapes)

    @property
    def num_outputs(self) -> int:
        """Entries of all outputs together."""
        data = 0 if self._source is None else self._source.num_outputs
        return data + sum(shape.numel() for shape in self.shapes)

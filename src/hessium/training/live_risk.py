"""The risk of a live model, made anew when the model has changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from hessium._arithmetic import full_precision
from hessium.errors import InputError
from hessium.problem import EmpiricalRisk, SumRisk


class LiveRisk:
    """What a monitor measures: a loss and data, or a risk that exists.

    Args:
        model: the module that is trained.
        loss: as in `hs.EmpiricalRisk`, or a risk of the model.
        data: as in `hs.EmpiricalRisk`; None with a risk.
        given: further arguments of `hs.EmpiricalRisk`.
        track: quantities of every record.
        evaluation: whether the model is measured in evaluation mode.

    Raises:
        InputError: if a risk is of another model, or comes with data or other arguments, or if
            batch sharpness of a sum of risks is asked for.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Any,
        data: Any,
        given: Mapping[str, Any],
        *,
        track: Sequence[str],
        evaluation: bool,
    ) -> None:
        self._model, self._loss, self._data = model, loss, data
        self._given, self._evaluation = dict(given), evaluation
        self._needs_batches = "batch_sharpness" in track
        if self._needs_batches and not self.has_batches:
            msg = "track: batch_sharpness; terms of an hs.SumRisk have no common batches"
            raise InputError(msg)
        if not isinstance(loss, EmpiricalRisk):
            return
        if loss.model is not model:
            msg = f"loss: a risk of another {type(loss.model).__name__}; give model=risk.model"
            raise InputError(msg)
        unfit = ["data"] if data is not None else []
        unfit += [*given, *([] if evaluation else ["mode='train'"])]
        if unfit:
            msg = f"loss: a risk has its own data and settings; leave out {', '.join(unfit)}"
            raise InputError(msg)

    @property
    def has_batches(self) -> bool:
        """Whether batches of the data have losses of their own, as those of a sum have not."""
        return not isinstance(self._loss, SumRisk)

    @full_precision()
    def risk(self) -> EmpiricalRisk:
        """The risk at the present parameters.

        Raises:
            InputError: for all that `hs.EmpiricalRisk` refuses.
        """
        found = self._loss.refreshed() if isinstance(self._loss, EmpiricalRisk) else self._new()
        if not self._evaluation and found.num_batches != 1:
            msg = f"data: {found.num_batches} batches; mode='train' requires one fixed batch"
            raise InputError(msg)
        if self._needs_batches and found.num_batches < 2:
            msg = "data: one batch; batch_sharpness requires several, of the size of the training's"
            raise InputError(msg)
        return found

    def _new(self) -> EmpiricalRisk:
        given = dict(self._given)
        kinds = {p.dtype for p in self._model.parameters() if p.requires_grad}
        if "dtype" not in given and not kinds <= {torch.float32, torch.float64}:
            given["dtype"] = torch.float32
        return EmpiricalRisk(self._model, self._loss, self._data, check=self._evaluation, **given)

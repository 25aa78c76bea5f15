"""A Lightning callback that records curvature and logs it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hessium.errors import InputError
from hessium.training.monitor import Monitor

if TYPE_CHECKING:
    from lightning.pytorch import Callback
    from torch import nn
else:
    try:
        from lightning.pytorch import Callback
    except ImportError:
        try:
            from pytorch_lightning import Callback
        except ImportError as error:
            msg = "lightning: not installed; pip install 'hessium[lightning]' does that"
            raise InputError(msg) from error


class CurvatureMonitor(Callback):
    """Curvature during `Trainer.fit`.

    The numbers go to all loggers of the trainer under "curvature/sharpness",
    "curvature/sharpness_lower" and so on at the step of the record, and to the callback metrics,
    where early stopping and checkpoints find them. The state is part of Lightning's checkpoints.

    Args:
        loss: as in `hs.Monitor`.
        data: fixed data, moved to the device of the module.
        every: optimiser steps between records.
        model: the module to measure; by default the LightningModule, by its own `forward`.
        optimizer: index of the optimiser for preconditioned sharpness; None for none of them.
        **options: of `hs.Monitor`.

    Attributes:
        monitor: the `hs.Monitor`, once training has begun.

    Example:
        >>> curvature = CurvatureMonitor(loss=nn.CrossEntropyLoss(), data=(x, y), every=50)
        >>> lightning.Trainer(callbacks=[curvature]).fit(module, loader)
        >>> curvature.monitor.to_dataframe()
    """

    def __init__(
        self,
        *,
        loss: Any,
        data: Any,
        every: int = 100,
        model: nn.Module | None = None,
        optimizer: int | None = 0,
        **options: Any,
    ) -> None:
        self.monitor: Monitor | None = None
        self._loss, self._data, self._model = loss, data, model
        self._optimizer, self._options = optimizer, {"every": every, **options}
        self._state: Mapping[str, Any] | None = None
        self._seen = 0

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Make the monitor, on the device of the module."""
        optimizer = None if self._optimizer is None else trainer.optimizers[self._optimizer]
        # without a state of the monitor in the checkpoint, records go on from its step
        options = {"steps_before": trainer.global_step, **self._options}
        self.monitor = Monitor(
            self._model if self._model is not None else pl_module,
            self._loss,
            trainer.strategy.batch_to_device(self._data, pl_module.device),
            optimizer,
            **options,
        )
        if self._state is not None:
            self.monitor.load_state_dict(self._state)
            self._state = None
        self._seen = trainer.global_step

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count a step of the optimiser; none is counted while gradients accumulate."""
        if self.monitor is None or trainer.global_step == self._seen:
            return
        self._seen = trainer.global_step
        record = self.monitor.step()
        if record is None:
            return
        numbers = self.monitor.numbers(record, prefix="curvature/")
        # log_dict reaches the loggers at their own interval only
        pl_module.log_dict(numbers, on_step=True, on_epoch=False, logger=False, batch_size=1)
        for logger in trainer.loggers:
            logger.log_metrics(numbers, step=record.step)

    def state_dict(self) -> dict[str, Any]:
        """The state of the monitor, for the checkpoint."""
        return {} if self.monitor is None else self.monitor.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a checkpoint when training begins."""
        self._state = state_dict or None

"""A callback of the transformers Trainer that records curvature and logs it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hessium.errors import InputError
from hessium.problem.containers import replaced
from hessium.training.monitor import Monitor

try:
    from transformers import TrainerCallback
except ImportError as error:
    msg = "transformers: not installed; pip install 'hessium[transformers]' does that"
    raise InputError(msg) from error

logger = logging.getLogger(__name__)

_FILE = "curvature.pt"
_IGNORED = -100  # label of a token without loss


class CurvatureCallback(TrainerCallback):
    """Curvature during `Trainer.train`.

    The loss is the model's own, from dict batches with labels inside, computed in float32 also
    where training uses bfloat16 autocast. Label smoothing and a `compute_loss` of the Trainer are
    not part of it. A step is a step of the optimiser: accumulation of gradients counts once.

    The numbers go to the log history, under "curvature/sharpness" and so on. The Trainer gives its
    callbacks no access to its other loggers, so say `callback.attach(trainer)` for these
    (TensorBoard, Weights & Biases, trackio).

    Args:
        data: a dict batch, or several of them in a list or a loader; moved to the model's device.
        every: optimiser steps between records.
        num_samples: weight of a batch in the mean over several, a function (batch, None) -> number;
            by default the number of labels other than -100, without the first one of each sequence
            for causal language models.
        **options: of `hs.Monitor`; optimizer=None leaves that of the Trainer out, such as one
            without a known threshold.

    Attributes:
        monitor: the `hs.Monitor`, once training has begun.

    Example:
        >>> curvature = CurvatureCallback(data=batch, every=50)
        >>> curvature.attach(trainer)
        >>> trainer.train()
        >>> curvature.monitor.to_dataframe()
    """

    def __init__(
        self, *, data: Any, every: int = 100, num_samples: Any = None, **options: Any
    ) -> None:
        self.monitor: Monitor | None = None
        self._data, self._num_samples = data, num_samples
        self._options = {"dtype": torch.float32, "every": every, **options}
        self._trainer: Any = None

    def attach(self, trainer: Any) -> None:
        """Add the callback to a Trainer, and send the records to all of its loggers."""
        if self not in trainer.callback_handler.callbacks:
            trainer.add_callback(self)
        self._trainer = trainer

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Make the monitor, or resume that of the checkpoint in the output directory."""
        model = kwargs["model"]
        device = next(model.parameters()).device
        options = {
            "steps_before": state.global_step, "optimizer": kwargs["optimizer"], **self._options
        }  # fmt: skip
        batches = [self._data] if isinstance(self._data, Mapping) else list(self._data)
        self.monitor = Monitor(
            model,
            _returned,
            [replaced(dict(batch), lambda tensor: tensor.to(device)) for batch in batches],
            forward=_loss_of,
            reduction="mean",
            num_samples=self._num_samples or _Labels(model),
            **options,
        )
        saved = _folder(args, state) / _FILE
        if state.global_step and saved.exists():
            self.monitor.load_state_dict(torch.load(saved, weights_only=True))
        elif state.global_step:
            logger.warning(
                "%s holds no state of the monitor: records begin at step %d", saved.parent,
                state.global_step,
            )  # fmt: skip

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Count a step of the optimiser."""
        if self.monitor is None:
            return
        record = self.monitor.step()
        if record is None:
            return
        numbers = self.monitor.numbers(record, prefix="curvature/")
        if self._trainer is None:
            state.log_history.append({**numbers, "step": state.global_step})
            return
        due = control.should_log  # the Trainer takes any log for its own
        self._trainer.log(numbers)
        control.should_log = due

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Write the state of the monitor into the checkpoint."""
        folder = _folder(args, state)
        if self.monitor is not None and folder.exists():
            torch.save(self.monitor.state_dict(), folder / _FILE)


def _folder(args: Any, state: Any) -> Path:
    return Path(args.output_dir) / f"checkpoint-{state.global_step}"


def _loss_of(model: nn.Module, batch: Any) -> Tensor:
    loss: Tensor = model(**batch).loss
    return loss


def _returned(value: Tensor, _: Any) -> Tensor:
    return value


class _Labels:
    """Number of labels behind the mean of a batch."""

    def __init__(self, model: nn.Module) -> None:
        self._shifted = "CausalLM" in (getattr(model, "loss_type", None) or type(model).__name__)

    def __call__(self, batch: Mapping[str, Tensor], _: Any) -> int:
        labels = batch.get("labels")
        if labels is None:
            msg = f"data: keys {', '.join(batch)}; labels are required"
            raise InputError(msg)
        if self._shifted and labels.dim() > 1:
            labels = labels[..., 1:]
        return int((labels != _IGNORED).sum()) if not labels.is_floating_point() else len(labels)

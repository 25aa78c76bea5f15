"""Curvature while a network trains."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from torch import Tensor, nn

from hessium._arguments import count, fraction, function, positive
from hessium._display import Plottable, shown_live
from hessium._random import Rng, generator
from hessium.errors import InputError
from hessium.training.live_risk import LiveRisk
from hessium.training.log import logs_of, table_of
from hessium.training.measurement import Measurement
from hessium.training.quantities import modules_of
from hessium.training.record import Record, recorded
from hessium.training.schedule import Budget, Every, Schedule
from hessium.training.settings import QUANTITIES, Settings
from hessium.training.stability import require_rules
from hessium.training.tracking import AT_TIMES, drift, tracked
from hessium.training.undisturbed import undisturbed

if TYPE_CHECKING:
    import pandas as pd

Mode = Literal["eval", "train"]

_FULL_EVERY = 10  # records

logger = logging.getLogger(__name__)


class Monitor(Plottable):
    r"""Records of the curvature of a loss while its network trains.

    A record measures the live model on fixed data. Nothing of the training changes: parameters,
    gradients, buffers, modes, the optimiser and all global random states are the same to the last
    bit as without the monitor.

    Extreme eigenvalues start from two vectors of the record before. An ordinary record takes one
    product for each end: two with an adaptive optimiser, one without. Its value is the largest Ritz
    value with the gain that one more step along the residual would bring, by the curvature along
    residuals in earlier records. Every third record may take three further products an end; every
    tenth one, those that `measure` makes, and all within a fifth of the stability threshold take as
    many as `tol` requires. The inner end of each bracket is a Rayleigh quotient and always holds,
    to rounding in the precision of the model. The outer end comes from a random vector in the
    complement of the Ritz vectors; it holds with probability `confidence` and is wide (a factor of
    3 to 250 by the number of products, `bound_steps`, and of parameters). Ordinary records leave it
    infinite; `bound_steps=1` closes it in every record, for one product more.

    Args:
        model: the module that is trained.
        loss: as in `hs.EmpiricalRisk`; or a risk of this model, such as an `hs.SumRisk`, without
            `data`.
        data: fixed data of the monitor, as in `hs.EmpiricalRisk`; not the shuffled training loader.
        optimizer: SGD, Adam, AdamW, RMSprop, Adagrad or Muon of torch.optim, for
            `preconditioned_sharpness` and `threshold`.
        every: steps between records.
        budget: instead of `every`, records as often as this fraction of the training's own wall
            time pays for, more often where curvature moves. Early in a training a record takes one
            block step only, so that values lag behind fast changes. The self-check is not charged.
        track: fields of `Record` to measure in every record; one that is not asked for costs
            nothing. By default every record holds loss, gradient_norm, distance and sharpness,
            with an optimizer also preconditioned_sharpness and threshold. The dearer
            most_negative, trace, layer_traces, directional_sharpness and batch_sharpness are in
            the first record, in every tenth one, and in those that `measure` makes, and None in
            the others; with `budget` they are in those of `measure` alone. From one batch,
            batch_sharpness is without error.
        on_record: called with each record.
        csv: file to which each record is appended at once.
        parquet: file that is written whole with each record, so that it is complete at any time.
        rng: seed or generator of the random vectors.
        mode: "eval" measures in evaluation mode, whatever the mode of the training. "train" leaves
            the modes as they are, for batch statistics of one fixed batch, without self-checks.
        tol: estimated relative error at which an extreme eigenvalue needs no further product.
        matvecs: products of an ordinary record for the extreme eigenvalues: where they are not
            within `tol`, it takes up to so many. By default the fewest; a large number refines
            every record to `tol`.
        confidence: of the random ends of brackets.
        bound_steps: products of every record with a random vector for the outer ends; 0 leaves them
            infinite. By default none in ordinary records, one in the others, and 8 in every tenth,
            to find eigenvectors that overtook.
        probes: random vectors of the traces.
        spectrum_every: records between two spectra, if `spectrum` is tracked.
        prior_precision: $\alpha$ of `effective_dimension`, in units of the loss: that of a penalty
            $\alpha |\theta|^2 / 2$ beside it, as weight decay is. For a mean over N samples of
            negative log-likelihoods, a normal prior of precision a has $\alpha = a / N$.
        top: eigenvectors of the top space of `gradient_share`. With one, that of `sharpness` is
            used, without further products; several are found by `hs.eigenpairs`, from those of the
            record before, where `gradient_share` is tracked.
        **risk: forward, reduction, targets, num_samples and dtype of `hs.EmpiricalRisk`. Models in
            half precision are measured in float32.

    Attributes:
        records: all records so far.

    Raises:
        InputError: for a bad argument, and for all that `hs.EmpiricalRisk` refuses.
        SelfCheckError: if the products of the model are wrong.

    Cost: two forward passes and a self-check (15 to 50 training steps, once for an architecture)
    when the monitor is made; a cold start (10 to 30 products) at the first record.

    Example:
        >>> net = nn.Sequential(nn.Linear(1, 4), nn.Tanh(), nn.Linear(4, 1)).double()
        >>> optimizer = torch.optim.SGD(net.parameters(), lr=1e-3)
        >>> monitor = hs.Monitor(net, loss, (x, y), optimizer, every=5)
        >>> for _ in range(10):
        ...     optimizer.zero_grad()
        ...     loss(net(x), y).backward()
        ...     optimizer.step()
        ...     _ = monitor.step()
        >>> [record.step for record in monitor.records]
        [5, 10]
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Any,
        data: Any = None,
        optimizer: Any = None,
        *,
        every: int = 100,
        budget: float | None = None,
        track: Sequence[str] | None = None,
        on_record: Callable[[Record], object] | None = None,
        csv: str | Path | None = None,
        parquet: str | Path | None = None,
        rng: Rng = 0,
        mode: Mode = "eval",
        tol: float = 0.01,
        matvecs: int | None = None,
        confidence: float = 0.95,
        bound_steps: int | None = None,
        probes: int = 10,
        spectrum_every: int = 10,
        prior_precision: float | None = None,
        top: int = 1,
        **risk: Any,
    ) -> None:
        if not isinstance(model, nn.Module):
            msg = f"model: {type(model).__name__}; a torch.nn.Module is required"
            raise InputError(msg)
        if mode not in get_args(Mode):
            msg = f"mode: {mode!r}; one of {', '.join(get_args(Mode))} is required"
            raise InputError(msg)
        if on_record is not None:
            function("on_record", on_record, "(record) ")
        if optimizer is not None:
            require_rules(optimizer)
        if prior_precision is not None:
            prior_precision = positive("prior_precision", prior_precision)
        always = tracked(track, optimizer, prior_precision)
        self._live = LiveRisk(model, loss, data, risk, track=always, evaluation=mode == "eval")
        at_times: tuple[str, ...] = AT_TIMES if track is None else ()
        if not self._live.has_batches:
            at_times = tuple(name for name in at_times if name != "batch_sharpness")
        self.track = tuple(name for name in QUANTITIES if name in always + at_times)
        self.records: list[Record] = []
        self.on_record = on_record
        self._refresh: Callable[[], None] | None = None
        self.mode: Mode = mode
        self._modules = [part for part in (model, loss) if isinstance(part, nn.Module)]
        self._settings = Settings(
            track=always,
            at_times=at_times,
            optimizer=optimizer,
            tol=positive("tol", tol),
            matvecs=None if matvecs is None else count("matvecs", matvecs),
            confidence=fraction("confidence", confidence),
            bound_steps=None if bound_steps is None else count("bound_steps", bound_steps, 0),
            probes=count("probes", probes),
            spectrum_every=count("spectrum_every", spectrum_every),
            seed=int(generator(rng).integers(2**62)),
            mode=mode,
            prior_precision=prior_precision,
            top=count("top", top),
        )
        steps = count("every", every)
        self._schedule: Schedule = (
            Every(steps) if budget is None else Budget(fraction("budget", budget))
        )
        self._logs = logs_of(csv, parquet)
        self._step = 0
        self._before: Tensor | None = None  # parameters before the last update
        with self._undisturbed():
            risk_now = self._live.risk()
            if budget is not None and not risk_now.ranks.alone:
                msg = (
                    f"budget: {budget}; processes that share the data measure after the same "
                    "steps, and their clocks differ: every= is required"
                )
                raise InputError(msg)
            self._measurement = Measurement(risk_now, self._settings)
            if isinstance(self._schedule, Budget):
                self._schedule.price(*self._measurement.prices())

    def step(self) -> Record | None:
        """Count one step of the optimiser; measure if a record is due.

        Returns:
            The record, or None.
        """
        self._step += 1
        record = None
        if self._schedule.due(self._step):
            full = isinstance(self._schedule, Every) and len(self.records) % _FULL_EVERY == 0
            record = self._measure(full=full)
        if "update_sharpness" in self.track and self._schedule.may_be_due(self._step + 1):
            self._before = self._measurement.parameters()
        return record

    def measure(self) -> Record:
        """Measure now, whether a record is due or not; all tracked quantities.

        Returns:
            The record.
        """
        return self._measure(full=True)

    def _measure(self, *, full: bool) -> Record:
        self._schedule.begin()
        start = time.perf_counter()
        with self._undisturbed():
            record = recorded(self._step, self.mode, start, lambda: self._found(full=full))
        moved = drift(self.records[-1], record) if self.records else 0.0
        self.records.append(record)
        self._schedule.end(moved, record.num_matvecs)
        for log in self._logs:
            log.append(self._row(record))
        if self._refresh is not None:
            self._refresh()
        if self.on_record is not None:
            self.on_record(record)
        return record

    def _found(self, *, full: bool) -> Mapping[str, Any]:
        before, self._before = self._before, None
        if not self._measurement.follow():
            logger.info("the model has changed: a new risk is made and checked")
            self._measurement = Measurement(self._live.risk(), self._settings)
        number, most = len(self.records), self._schedule.most
        return self._measurement.record(self._step, number, before, most, full=full)

    def _undisturbed(self) -> Any:
        return undisturbed(self._modules, evaluation=self.mode == "eval")

    def live(self, **options: Any) -> None:
        """Show one figure in the notebook that is drawn again with each record.

        Args:
            options: as of `plot`, such as quantity="sharpness".

        Raises:
            InputError: if IPython is not installed.
        """
        self._refresh = shown_live(self, **options)

    def to_dataframe(self) -> pd.DataFrame:
        """One row for each record; NaN where a quantity was not measured.

        Raises:
            InputError: if pandas is not installed.
        """
        return table_of([self._row(record) for record in self.records], "to_dataframe")

    def numbers(self, record: Record, *, prefix: str = "") -> dict[str, float]:
        """Finite numbers of a record by column name, for loggers."""
        row = {name: value for name, value in self._row(record).items() if name != "step"}
        return {
            f"{prefix}{name}": float(value)
            for name, value in row.items()
            if not isinstance(value, str) and math.isfinite(value)
        }

    def _row(self, record: Record) -> dict[str, float | int | str]:
        return record.row(self.track, modules_of(self._measurement.risk.names))

    def state_dict(self) -> dict[str, Any]:
        """The state for a checkpoint of the training; tensors and plain numbers only."""
        return {
            "step": self._step,
            "records": [record.state() for record in self.records],
            "seed": self._settings.seed,
            "schedule": self._schedule.state(),
            "before": self._before,
            **self._measurement.state(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a state: later records are those of the undisturbed training.

        The files, if any, are written again with the records of the state.

        Raises:
            InputError: if the state is not one of a monitor with the same kind of schedule.
        """
        try:
            self._step = int(state["step"])
            self.records = [Record.of_state(one) for one in state["records"]]
            self._schedule.load(dict(state["schedule"]))
            self._before = state["before"]
            self._measurement.load(state)
        except (KeyError, TypeError) as error:
            msg = f"state: {type(error).__name__}: {error}; a state_dict of a Monitor is required"
            raise InputError(msg) from error
        for log in self._logs:
            log.begin([self._row(record) for record in self.records], continues=True)

    def __repr__(self) -> str:
        last = f", last {self.records[-1]!r}" if self.records else ""
        risk = self._measurement.risk
        return f"Monitor({risk!r}, {len(self.records)} records to step {self._step}{last})"

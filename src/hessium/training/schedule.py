"""When a record is due: every so many steps, or as often as a budget of time allows."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

_SLOW, _FAST = 0.5, 2.0  # range of the rate relative to the mean one


class Schedule(ABC):
    """Decides before each step of the training whether a record is taken."""

    @abstractmethod
    def due(self, step: int) -> bool:
        """Whether a record is due after this step."""

    @abstractmethod
    def may_be_due(self, step: int) -> bool:
        """Whether one may be due after this step, said before it."""

    def begin(self) -> None:
        """A record begins."""
        return

    def end(self, drift: float) -> None:
        """A record ends; `drift` is the relative change of curvature since the last one."""
        del drift

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {}

    def load(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        del state


class Every(Schedule):
    """A record every `steps` steps."""

    def __init__(self, steps: int) -> None:
        self._steps = steps

    def due(self, step: int) -> bool:
        """Whether the step is a multiple."""
        return step % self._steps == 0

    def may_be_due(self, step: int) -> bool:
        """As `due`."""
        return self.due(step)


class Budget(Schedule):
    """Records that cost at most a fraction of the wall time of the training itself.

    The first record is taken after the first step; the ones after it wait until it is paid. Where
    curvature changes fast records come up to twice as often as on average, where it rests half as
    often; the total is never above the budget by more than the cost of one record.

    Args:
        fraction: of the time of the training without records.
        clock: seconds.
    """

    def __init__(self, fraction: float, clock: Callable[[], float] = time.perf_counter) -> None:
        self._fraction, self._clock = fraction, clock
        self._training = self._spent = self._cost = self._credit = 0.0
        self._drift = self._mean_drift = 0.0
        self._last: float | None = None
        self._began = 0.0
        self._records = 0

    def due(self, step: int) -> bool:
        """Whether the budget has paid for the last record and for one more of its cost."""
        now = self._clock()
        if self._last is not None:
            passed = now - self._last
            self._training += passed
            self._credit += passed * self._fraction * self._rate
        self._last = now
        if self._records == 0:
            return True
        within = self._spent + self._cost <= self._fraction * self._training
        return within and self._credit >= self._cost

    def may_be_due(self, step: int) -> bool:
        """Whether it may."""
        del step
        ahead = self._spent + self._cost <= 1.2 * self._fraction * self._training
        return self._records == 0 or ahead

    @property
    def _rate(self) -> float:
        if not self._mean_drift:
            return 1.0
        return min(max(self._drift / self._mean_drift, _SLOW), _FAST)

    def begin(self) -> None:
        """A record begins."""
        self._began = self._clock()

    def end(self, drift: float) -> None:
        """A record ends: its cost is charged."""
        now = self._clock()
        cost = now - self._began
        self._spent += cost
        # the first record checks the model and starts cold: later ones cost less
        known = self._records > 1
        self._cost = 0.5 * (self._cost + cost) if known else cost if self._records else 0.0
        self._credit = max(self._credit - cost, -cost) if self._records else 0.0
        self._records += 1
        self._last = now
        self._drift = drift
        self._mean_drift = drift if not self._mean_drift else 0.8 * self._mean_drift + 0.2 * drift

    def state(self) -> dict[str, Any]:
        """Times and rates."""
        return {name: value for name, value in vars(self).items() if name in _KEPT}

    def load(self, state: dict[str, Any]) -> None:
        """Continue from `state`; the clock starts anew."""
        vars(self).update({name: state[name] for name in _KEPT})
        self._last = None


_KEPT = ("_training", "_spent", "_cost", "_credit", "_drift", "_mean_drift", "_records")

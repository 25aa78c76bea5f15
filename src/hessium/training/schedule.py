"""When a record is due: every so many steps, or as often as a budget of time allows."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

_SLOW, _FAST = 0.5, 2.0  # range of the rate relative to the mean one
_BEHIND = 3.0  # costs of a record: more is not saved for faster times,
_SAVED = 0.2  # nor more than this part of the budget so far
_SHARE = 0.1  # of the whole budget so far that one record may take


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

    def end(self, drift: float, products: int = 0) -> None:
        """A record ends; `drift` is the relative change of curvature since the last one."""
        del drift, products

    @property
    def most(self) -> int | None:
        """Largest number of products of the extreme eigenvalues of the next record, if limited."""
        return None

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
    """Records that cost a fraction of the wall time of the training itself.

    A record is due when the time so far pays for one block step, and for the records before. Where
    curvature changes fast records come up to twice as often as on average, where it rests half as
    often, until a fifth of the budget so far is saved. One record may take a tenth of the whole
    budget so far, so that it can converge late in a long training, but not early.

    Args:
        fraction: of the time of the training without records.
        clock: seconds.
    """

    def __init__(self, fraction: float, clock: Callable[[], float] = time.perf_counter) -> None:
        self._fraction, self._clock = fraction, clock
        self._training = self._spent = self._credit = 0.0
        self._drift = self._mean_drift = 0.0
        self._fixed = self._product = 0.0
        self._least = 1
        self._last: float | None = None
        self._began = 0.0

    def price(self, fixed: float, product: float, least: int) -> None:
        """Seconds of a record without products and of a product, and the fewest products."""
        self._fixed, self._product, self._least = fixed, product, least

    @property
    def _cost(self) -> float:
        return self._fixed + self._least * self._product

    @property
    def _paid(self) -> float:
        return self._fraction * self._training

    @property
    def most(self) -> int | None:
        """Products that the next record may take."""
        seconds = max(self._cost, _SHARE * self._paid)
        free = (seconds - self._fixed) / self._product if self._product else self._least
        return max(int(free), self._least)

    def due(self, step: int) -> bool:
        """Whether the budget has paid for the records so far and for one more."""
        del step
        now = self._clock()
        if self._last is not None:
            passed = now - self._last
            self._training += passed
            self._credit += passed * self._fraction * self._rate
        self._last = now
        unspent = self._paid - self._spent
        saved = min(_BEHIND * self._cost, _SAVED * self._paid)
        waiting = self._credit < self._cost and unspent < saved
        return unspent >= self._cost and not waiting

    def may_be_due(self, step: int) -> bool:
        """Whether it may."""
        del step
        return self._spent + 0.8 * self._cost <= self._paid

    @property
    def _rate(self) -> float:
        if not self._mean_drift:
            return 1.0
        return min(max(self._drift / self._mean_drift, _SLOW), _FAST)

    def begin(self) -> None:
        """A record begins."""
        self._began = self._clock()

    def end(self, drift: float, products: int = 0) -> None:
        """A record ends: its cost is charged."""
        now = self._clock()
        cost = now - self._began
        self._spent += cost
        if products and self._product:
            # both prices move towards what was paid
            change = cost / (self._fixed + products * self._product)
            self._fixed *= change**0.5
            self._product *= change**0.5
        # what was saved in quiet times serves later ones, but not a burst at once
        self._credit = min(max(self._credit - cost, -cost), self._cost)
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


_KEPT = ("_training", "_spent", "_credit", "_drift", "_mean_drift")

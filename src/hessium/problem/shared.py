"""Findings that the risks of one model share, at any parameters."""

from __future__ import annotations

import dataclasses
from typing import Any

from torch import Tensor


@dataclasses.dataclass(slots=True)
class Shared:
    """State shared by the risks of one model at different parameters.

    Attributes:
        refuted: shortcuts that failed on this model.
        proven: operators that passed their full self-check on it.
        before: operators that passed it on the same architecture, in any risk.
        warned: whether the user was warned of changed buffers.
        directions: of the self-check.
        trials: timings of the routes of products, by the kind of operator.
        sizes: norms of the largest matrices with which a shortcut agreed.
    """

    refuted: set[str] = dataclasses.field(default_factory=set)
    proven: set[str] = dataclasses.field(default_factory=set)
    before: set[str] = dataclasses.field(default_factory=set)
    warned: bool = False
    directions: dict[int, Tensor] = dataclasses.field(default_factory=dict)
    trials: dict[str, Any] = dataclasses.field(default_factory=dict)
    sizes: dict[str, float] = dataclasses.field(default_factory=dict)


class Remembering:
    """A risk that remembers the findings of its self-checks.

    Attributes:
        _shared: the findings, for all parameters of one model.
    """

    _shared: Shared

    @property
    def refuted(self) -> set[str]:
        """Fast routes that failed on this model; shared by the risk at all parameters."""
        return self._shared.refuted

    @property
    def sizes(self) -> dict[str, float]:
        """Norms of the largest matrices with which a fast route agreed, at any parameters."""
        return self._shared.sizes

    @property
    def proven(self) -> set[str]:
        """Checks that passed on this model; shared by the risk at all parameters."""
        return self._shared.proven

    def prove(self, check: str) -> None:
        """Remember that a full check passed, for this model and for its architecture."""
        self._shared.proven.add(check)
        self._shared.before.add(check)

    def knows(self, check: str) -> bool:
        """Whether a full check passed on this model, or on one of the same architecture."""
        return check in self._shared.proven or check in self._shared.before

    @property
    def directions(self) -> dict[int, Tensor]:
        """Random directions of self-checks, by number; shared by the risk at all parameters."""
        return self._shared.directions

    @property
    def trials(self) -> dict[str, Any]:
        """Timings of the routes of products; shared by the risk at all parameters."""
        return self._shared.trials

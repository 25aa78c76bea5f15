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
    directions: tuple[Tensor, Tensor] | None = None
    trials: dict[str, Any] = dataclasses.field(default_factory=dict)
    sizes: dict[str, float] = dataclasses.field(default_factory=dict)

"""Which quantities a monitor tracks, and how much they moved."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hessium.errors import InputError
from hessium.training.record import Record
from hessium.training.settings import QUANTITIES

_DEFAULT = ("loss", "gradient_norm", "distance", "sharpness")
AT_TIMES = (
    "most_negative",
    "trace",
    "layer_traces",
    "directional_sharpness",
    "batch_sharpness",
)
OF_OPTIMIZER = ("preconditioned_sharpness", "threshold")


def tracked(
    track: Sequence[str] | None, optimizer: Any, prior_precision: float | None = None
) -> tuple[str, ...]:
    """Names of quantities, the default ones for None.

    Raises:
        InputError: for another name, or one that needs the optimiser or the prior precision where
            there is none.
    """
    if track is None:
        return _DEFAULT + (OF_OPTIMIZER if optimizer is not None else ())
    chosen = (track,) if isinstance(track, str) else tuple(dict.fromkeys(track))
    unknown = [name for name in chosen if name not in QUANTITIES]
    if unknown:
        msg = f"track: {', '.join(map(repr, unknown))}; fields of {', '.join(QUANTITIES)}"
        raise InputError(msg + " are possible")
    needed = [name for name in chosen if name in OF_OPTIMIZER]
    if needed and optimizer is None:
        msg = f"track: {', '.join(needed)}; an optimizer is required"
        raise InputError(msg)
    if "effective_dimension" in chosen and prior_precision is None:
        msg = "track: effective_dimension; prior_precision is required, such as the weight decay"
        raise InputError(msg)
    return chosen


def drift(before: Record, now: Record) -> float:
    """Relative change of curvature between two records."""
    changes = [0.0]
    for name in ("sharpness", "preconditioned_sharpness"):
        one, other = getattr(before, name), getattr(now, name)
        if one is not None and other is not None:
            size = max(abs(one.value), abs(other.value))
            changes.append(abs(one.value - other.value) / size if size else 0.0)
    return float(np.max(changes))

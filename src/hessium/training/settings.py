"""Which quantities a record holds, and how they are measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

QUANTITIES = (
    "loss",
    "gradient_norm",
    "distance",
    "sharpness",
    "most_negative",
    "preconditioned_sharpness",
    "threshold",
    "trace",
    "gauss_newton_trace",
    "layer_traces",
    "directional_sharpness",
    "update_sharpness",
    "batch_sharpness",
    "gradient_share",
    "effective_dimension",
    "rank",
    "index",
    "inertia",
    "spectrum",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Arguments of a monitor.

    Attributes:
        track: quantities of each record.
        at_times: more quantities of full records.
        matvecs: products of an ordinary record for the extreme eigenvalues; None for the fewest.
        prior_precision: of the effective dimension.
        top: eigenvectors of the top space in which the share of the gradient is measured.
    """

    track: tuple[str, ...]
    optimizer: Any
    at_times: tuple[str, ...] = ()
    tol: float
    confidence: float
    bound_steps: int | None
    probes: int
    spectrum_every: int
    seed: int
    mode: str
    matvecs: int | None = None
    prior_precision: float | None = None
    top: int = 1

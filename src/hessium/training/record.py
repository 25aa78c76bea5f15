"""One record of curvature during training, and its numbers as a row of a table."""

from __future__ import annotations

import dataclasses
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hessium._display import Displayable
from hessium.errors import NonFiniteError
from hessium.spectra import Bracket, Count, Inertia, Spectrum
from hessium.training.record_state import restored, stored

BRACKETS = (
    "sharpness",
    "most_negative",
    "preconditioned_sharpness",
    "trace",
    "gauss_newton_trace",
    "batch_sharpness",
    "effective_dimension",
    "rank",
    "index",
)
_TABLES = ("layer_traces",)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False, eq=False)
class Record(Displayable):
    r"""Curvature at one step of a training; None for what was not measured.

    Attributes:
        step: calls of `Monitor.step` before the record.
        loss: $L(\theta)$ on the data of the monitor; NaN once the training has diverged.
        gradient_norm: $|g|$.
        distance: $|\theta - \theta_0|$ from the parameters when the monitor was made.
        sharpness: largest eigenvalue of H, estimated (see `Monitor`). The lower end is a Rayleigh
            quotient and always holds; the upper end holds with probability `confidence`. It is
            infinite, that is unknown, where `bound_steps` is 0.
        most_negative: smallest eigenvalue of H; here the upper end always holds, and the lower one
            is the uncertain one. Close to zero it is resolved to some 0.0005 (5 % of the tolerance)
            of the largest eigenvalue, so that its sign may be wrong.
        preconditioned_sharpness: largest eigenvalue of $P^{-1/2} H P^{-1/2}$.
        threshold: stability threshold of the optimiser for `preconditioned_sharpness`.
        trace: of H, with Student's interval over the probes.
        gauss_newton_trace: of the Gauss-Newton part, likewise.
        layer_traces: diagonal blocks of H by module, from the probes of `trace`.
        directional_sharpness: $g^T H g / |g|^2$.
        update_sharpness: $u^T H u / |u|^2$ along the last update u.
        batch_sharpness: mean over batches of $g_B^T H_B g_B / |g_B|^2$, with Student's interval.
        gradient_share: share of $|g|^2$ in the space of the `top` eigenvectors of H with the
            largest eigenvalues; by default that of `sharpness` alone.
        effective_dimension: $\sum_i \lambda_i / (\lambda_i + \alpha)$ over the eigenvalues of the
            Gauss-Newton matrix, $\alpha$ the `prior_precision` of the monitor.
        rank: number of eigenvalues of H with $|\lambda| > 10^{-6} \max|\lambda|$.
        index: number of those below $-10^{-6} \max|\lambda|$.
        inertia: numbers of negative, zero and positive eigenvalues.
        spectrum: an estimated spectrum.
        mode: "eval" or "train": the mode in which the model was measured.
        restarted: whether the vectors of the record before had a large residual, as after a spike
            of the loss, so that random ones joined them.
        bound_steps: products with a random vector behind the outer ends of `sharpness`,
            `most_negative` and `preconditioned_sharpness`. With 0 these ends are infinite: nothing
            excludes a larger eigenvalue that the kept vectors miss. With 1 they are wide: 10 to
            450 times the value, more for more parameters. With 8 they are 0 to 20 % beyond it.
        reason: why it holds no curvature, as after a divergence; "" if it does.
        num_matvecs: Hessian-vector products spent.
        seconds: wall time spent.

    Example:
        >>> record = hs.Monitor(model, loss, (x, y)).measure()
        >>> record.step, record.sharpness.lower <= record.sharpness.value <= record.sharpness.upper
        (0, True)
    """

    step: int
    loss: float | None = None
    gradient_norm: float | None = None
    distance: float | None = None
    sharpness: Bracket | None = None
    most_negative: Bracket | None = None
    preconditioned_sharpness: Bracket | None = None
    threshold: float | None = None
    trace: Bracket | None = None
    gauss_newton_trace: Bracket | None = None
    layer_traces: Mapping[str, Bracket] | None = None
    directional_sharpness: float | None = None
    update_sharpness: float | None = None
    batch_sharpness: Bracket | None = None
    gradient_share: float | None = None
    effective_dimension: Bracket | None = None
    rank: Bracket | None = None
    index: Bracket | None = None
    inertia: Inertia | None = None
    spectrum: Spectrum | None = None
    mode: str = "eval"
    restarted: bool = False
    bound_steps: int = 0
    reason: str = ""
    num_matvecs: int = 0
    seconds: float = 0.0

    def row(self, track: Sequence[str], layers: Sequence[str]) -> dict[str, float | int | str]:
        """Numbers by column; the same columns for each record of a monitor, empty where unknown.

        Args:
            track: quantities of the monitor.
            layers: names of the modules in `layer_traces`.
        """
        found: dict[str, Any] = {"step": self.step}
        for name in track:
            value = getattr(self, name)
            if name in BRACKETS:
                found |= _columns(name, value)
            elif name in _TABLES:
                for layer in layers:
                    found |= _columns(f"{name}.{layer}", (value or {}).get(layer))
            elif name == "inertia":
                for part in ("negative", "zero", "positive"):
                    found |= _columns(part, None if value is None else getattr(value, part))
            elif name != "spectrum":
                found[name] = "" if value is None else value
        end = ("mode", "restarted", "reason", "bound_steps", "num_matvecs", "seconds")
        return found | {name: getattr(self, name) for name in end}

    def state(self) -> dict[str, Any]:
        """Plain numbers and tensors, for a checkpoint."""
        entries = dataclasses.fields(self)
        return {entry.name: stored(getattr(self, entry.name)) for entry in entries}

    @classmethod
    def of_state(cls, state: Mapping[str, Any]) -> Record:
        """The record of `state`."""
        return cls(**{name: restored(value) for name, value in state.items()})

    def __repr__(self) -> str:
        words = [f"step {self.step}"]
        for entry in dataclasses.fields(self)[1:]:
            value = getattr(self, entry.name)
            if isinstance(value, Bracket):
                words.append(f"{entry.name} {value!r}")
            elif isinstance(value, float) and entry.name != "seconds":
                words.append(f"{entry.name} {value:.6g}")
        return f"Record({'; '.join(words)}; {self.num_matvecs} products)"


def recorded(
    step: int, mode: str, start: float, measure: Callable[[], Mapping[str, Any]]
) -> Record:
    """The record of what is measured; where numbers are not finite, one with the loss NaN.

    Args:
        step: of the training.
        mode: of the model.
        start: `time.perf_counter()` when the record began.
        measure: returns the fields.
    """
    try:
        found = measure()
    except NonFiniteError as error:
        logger.warning("step %d: %s; the record holds no curvature", step, error)
        found = {"loss": math.nan, "reason": str(error)}
    return Record(step=step, mode=mode, seconds=time.perf_counter() - start, **found)


def _columns(name: str, value: Bracket | Count | None) -> dict[str, float | str]:
    if value is None:
        return {name: "", f"{name}_lower": "", f"{name}_upper": ""}
    return {name: value.value, f"{name}_lower": value.lower, f"{name}_upper": value.upper}

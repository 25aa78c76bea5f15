"""One record of curvature during training, and its numbers as a row of a table."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hessium._display import Displayable
from hessium.spectra import Bracket, Inertia, Spectrum

BRACKETS = (
    "sharpness",
    "most_negative",
    "preconditioned_sharpness",
    "trace",
    "gauss_newton_trace",
    "batch_sharpness",
)
_TABLES = ("layer_traces",)
_OBJECTS = ("inertia", "spectrum")


@dataclass(frozen=True, slots=True, kw_only=True, repr=False, eq=False)
class Record(Displayable):
    r"""Curvature at one step of a training; None for what was not measured.

    Attributes:
        step: calls of `Monitor.step` before the record.
        loss: $L(\theta)$ on the data of the monitor; NaN once the training has diverged.
        gradient_norm: $|g|$.
        distance: $|\theta - \theta_0|$ from the parameters when the monitor was made.
        sharpness: largest eigenvalue of H, estimated (see `Monitor`). The lower end is a Rayleigh
            quotient and always holds; the upper end holds with probability `confidence`.
        most_negative: smallest eigenvalue of H; here the upper end always holds.
        preconditioned_sharpness: largest eigenvalue of $P^{-1/2} H P^{-1/2}$.
        threshold: stability threshold of the optimiser for `preconditioned_sharpness`.
        trace: of H, with Student's interval over the probes.
        gauss_newton_trace: of the Gauss-Newton part, likewise.
        layer_traces: diagonal blocks of H by module, from the probes of `trace`.
        directional_sharpness: $g^T H g / |g|^2$.
        update_sharpness: $u^T H u / |u|^2$ along the last update u.
        batch_sharpness: mean over batches of $g_B^T H_B g_B / |g_B|^2$, with Student's interval.
        gradient_share: share of $|g|^2$ along the eigenvector of `sharpness`.
        inertia: numbers of negative, zero and positive eigenvalues.
        spectrum: an estimated spectrum.
        mode: "eval" or "train": the mode in which the model was measured.
        restarted: whether the vectors of the record before had a large residual, as after a spike
            of the loss, so that random ones joined them.
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
    inertia: Inertia | None = None
    spectrum: Spectrum | None = None
    mode: str = "eval"
    restarted: bool = False
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
                    found[part] = "" if value is None else int(getattr(value, part).value)
            elif name != "spectrum":
                found[name] = "" if value is None else value
        end = ("mode", "restarted", "reason", "num_matvecs", "seconds")
        return found | {name: getattr(self, name) for name in end}

    def state(self) -> dict[str, Any]:
        """Plain numbers, for a checkpoint; inertia and spectrum are left out."""
        found: dict[str, Any] = {}
        for entry in dataclasses.fields(self):
            value = getattr(self, entry.name)
            if isinstance(value, Bracket):
                value = dataclasses.asdict(value)
            elif isinstance(value, Mapping):
                value = {name: dataclasses.asdict(one) for name, one in value.items()}
            found[entry.name] = None if entry.name in _OBJECTS else value
        return found

    @classmethod
    def of_state(cls, state: Mapping[str, Any]) -> Record:
        """The record of `state`."""
        found = dict(state)
        for name in BRACKETS:
            if found[name] is not None:
                found[name] = Bracket(**found[name])
        for name in _TABLES:
            if found[name] is not None:
                found[name] = {layer: Bracket(**one) for layer, one in found[name].items()}
        return cls(**found)

    def __repr__(self) -> str:
        words = [f"step {self.step}"]
        for entry in dataclasses.fields(self)[1:]:
            value = getattr(self, entry.name)
            if isinstance(value, Bracket):
                words.append(f"{entry.name} {value!r}")
            elif isinstance(value, float) and entry.name != "seconds":
                words.append(f"{entry.name} {value:.6g}")
        return f"Record({'; '.join(words)}; {self.num_matvecs} products)"


def _columns(name: str, value: Bracket | None) -> dict[str, float | str]:
    if value is None:
        return {name: "", f"{name}_lower": "", f"{name}_upper": ""}
    return {name: value.value, f"{name}_lower": value.lower, f"{name}_upper": value.upper}

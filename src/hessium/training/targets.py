"""Which ends of which spectra a record measures, and from where they are refined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hessium.linalg.congruence import Factor
from hessium.training.ritz_space import End
from hessium.training.stability import Preconditioner
from hessium.training.warm_start import Warm

SCALED = "preconditioned_sharpness"
_NEAR = 0.8  # of the threshold, from which precision matters in every record

Sides = list[tuple[Factor | None, Mapping[str, End]]]


def sides_of(track: Sequence[str], preconditioner: Preconditioner | None, top: int) -> Sides:
    """Factor and targets of each spectrum.

    With the identity as preconditioner, preconditioned sharpness is the sharpness.

    Args:
        track: quantities of the record.
        preconditioner: of the optimiser, if any.
        top: as of a monitor.
    """
    plain: dict[str, End] = {}
    scaled = preconditioner is not None and SCALED in track
    identity = is_identity(track, preconditioner)
    if "sharpness" in track or ("gradient_share" in track and top == 1):
        plain["sharpness"] = "largest"
    elif identity:
        plain[SCALED] = "largest"
    if "most_negative" in track:
        plain["most_negative"] = "smallest"
    sides: Sides = [(None, plain)] if plain else []
    if scaled and not identity and preconditioner is not None:
        sides.append((preconditioner.factor, {SCALED: "largest"}))
    return sides


def is_identity(track: Sequence[str], preconditioner: Preconditioner | None) -> bool:
    """Whether preconditioned sharpness is asked for and is that of H itself."""
    return SCALED in track and preconditioner is not None and preconditioner.factor is None


def near_threshold(preconditioner: Preconditioner | None, warm: Warm) -> dict[str, float]:
    """Values near the stability threshold, by the ends that have one."""
    if preconditioner is None:
        return {}
    value = _NEAR * preconditioner.threshold_along(warm.vectors.get(SCALED))
    return {SCALED: value} | ({"sharpness": value} if preconditioner.factor is None else {})

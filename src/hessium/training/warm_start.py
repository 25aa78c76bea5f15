"""What extreme eigenvalues leave for the next record, and what they give to this one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from hessium.spectra import Bracket


def next_to(name: str) -> str:
    """Name of the vector that belongs to the Ritz value next to an end."""
    return f"next to {name}"


def slope_of(name: str, steps: int) -> str:
    """Name of the curvature along the residual of an end after some steps along residuals."""
    return f"{name}, {min(steps, 2)}"


@dataclass(slots=True)
class Warm:
    """Vectors for the next record.

    Attributes:
        vectors: unit vectors (n,) by name of the target, and by `next_to` of it.
        seconds: the Ritz value next to each end, relative to it.
        slopes: curvature along the residual relative to the Ritz value, by `slope_of`.
    """

    vectors: dict[str, Tensor] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    slopes: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Extremes:
    """Brackets of extreme eigenvalues.

    Attributes:
        brackets: by name of the target.
        vectors: the Ritz vectors (n,), by name.
        residuals: their residuals relative to the Ritz values.
        restarted: whether kept vectors had a large residual, so that random ones joined them.
        num_matvecs: products with the operator.
    """

    brackets: dict[str, Bracket]
    vectors: dict[str, Tensor]
    residuals: Mapping[str, float]
    restarted: bool
    num_matvecs: int

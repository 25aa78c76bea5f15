"""What extreme eigenvalues leave for the next record, and what they give to this one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from hessium.errors import InputError
from hessium.spectra import Bracket

_SLOPES = (0.65, 0.8, 0.8)  # curvature along a residual before it is known, by steps
_STEEPEST = 0.95
_KNOWN = 0.02  # relative residual below which it says nothing about that curvature

TOP = "top space"


def next_to(name: str) -> str:
    """Name of the vector that belongs to the Ritz value next to an end."""
    return f"next to {name}"


@dataclass(slots=True)
class Warm:
    """Vectors for the next record.

    Attributes:
        vectors: unit vectors (n,) by name of the target, and by `next_to` of it; under `TOP` the
            eigenvectors (n, k) of a top space.
        seconds: the Ritz value next to each end, relative to it.
        slopes: curvature along the residual relative to the Ritz value, by name of the
            target and steps along residuals that the record has taken.
    """

    vectors: dict[str, Tensor] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    slopes: dict[str, float] = field(default_factory=dict)

    def slope(self, name: str, steps: int) -> float:
        """Curvature along the residual of an end, relative to the Ritz value.

        Args:
            name: of the target.
            steps: along residuals that the record has taken.
        """
        return self.slopes.get(f"{name}, {min(steps, 2)}", _SLOPES[min(steps, 2)])

    def learn(self, name: str, steps: int, value: float, residual: float, end: float) -> None:
        """The curvature along a residual with which an end would have been predicted.

        Args:
            name: of the target.
            steps: along residuals that the record had taken.
            value: Ritz value at that time, positive towards the end.
            residual: norm of its residual.
            end: what was found in the end.
        """
        size = abs(value)
        if residual <= _KNOWN * size or end <= 0:
            return
        gain = end - value
        slope = 1 + (gain - residual**2 / gain) / size if gain > 0 else 0.0
        found = (self.slope(name, steps) + min(max(slope, 0.0), _STEEPEST)) / 2
        self.slopes[f"{name}, {min(steps, 2)}"] = found


def require_size(vectors: Mapping[str, Tensor], size: int) -> None:
    """Check that kept vectors are of a model.

    Raises:
        InputError: if not.
    """
    others = {len(vector) for vector in vectors.values()} - {size}
    if others:
        msg = (
            f"state: vectors of {max(others)} numbers, and {size} parameters require gradients; "
            "freeze those that were frozen before load_state_dict"
        )
        raise InputError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class Extremes:
    """Brackets of extreme eigenvalues.

    Attributes:
        brackets: by name of the target.
        vectors: the Ritz vectors (n,), by name.
        residuals: their residuals relative to the Ritz values.
        restarted: whether kept vectors had a large residual, so that random ones joined them.
        bound_steps: products with the random vector behind the outer ends; 0 if they are infinite.
        num_matvecs: products with the operator.
    """

    brackets: dict[str, Bracket]
    vectors: dict[str, Tensor]
    residuals: Mapping[str, float]
    restarted: bool
    bound_steps: int
    num_matvecs: int

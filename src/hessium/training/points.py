"""Parameters of a model at one time, known by name."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from hessium.linalg.vectors import norm
from hessium.problem import EmpiricalRisk

Tensors = Mapping[str, Tensor]


class Point:
    """Parameters as they were.

    They are known by name, not by place in a flat vector, so that parameters may be frozen, added
    and removed in between.

    Args:
        tensors: by name.
    """

    def __init__(self, tensors: Tensors) -> None:
        self._tensors = dict(tensors)

    @classmethod
    def copied(cls, tensors: Tensors, names: Iterable[str], dtype: torch.dtype) -> Point:
        """Copies of some tensors."""
        return cls({name: tensors[name].detach().to(dtype, copy=True) for name in names})

    @classmethod
    def of(cls, risk: EmpiricalRisk) -> Point:
        """The free parameters of a risk."""
        return cls.copied(risk.held(), risk.names, risk.dtype)

    @classmethod
    def of_state(cls, state: Tensors) -> Point:
        """The point of `state`.

        Raises:
            TypeError: if it is not one.
        """
        if not isinstance(state, Mapping):
            msg = f"{type(state).__name__} instead of tensors by name"
            raise TypeError(msg)
        return cls(state)

    def state(self) -> dict[str, Tensor]:
        """Tensors by name."""
        return dict(self._tensors)

    def extended(self, risk: EmpiricalRisk) -> Point:
        """The point with new parameters of a risk as they are now, without those that are gone."""
        held = risk.held()
        kept = {name: one for name, one in self._tensors.items() if _same_shape(held, name, one)}
        return Point({**Point.of(risk).state(), **kept})

    def distance(self, risk: EmpiricalRisk) -> float | None:
        """Euclidean distance to a risk, also along parameters that are frozen there.

        None if a parameter of the point is not in the model.
        """
        moved = self._moved(risk)
        if moved is None:
            return None
        return math.hypot(*(float(norm(one.reshape(-1))) for one in moved.values()))

    def update(self, risk: EmpiricalRisk) -> Tensor | None:
        """The way to a risk, flat (n,); None unless all of its parameters are in the point."""
        moved = self._moved(risk)
        if moved is None or not set(risk.names) <= set(moved):
            return None
        return risk.layout.flatten(moved)

    def _moved(self, risk: EmpiricalRisk) -> dict[str, Tensor] | None:
        held = risk.held()
        if not all(_same_shape(held, name, one) for name, one in self._tensors.items()):
            return None
        return {
            name: held[name].detach().to(risk.dtype) - one.to(held[name].device, risk.dtype)
            for name, one in self._tensors.items()
        }


def _same_shape(held: Tensors, name: str, before: Tensor) -> bool:
    return name in held and held[name].shape == before.shape

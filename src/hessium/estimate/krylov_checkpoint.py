"""Checkpoints of a Krylov space."""

from __future__ import annotations

import numpy as np

from hessium.errors import InputError
from hessium.estimate.checkpoint import Checkpoint, joined
from hessium.linalg.krylov import KrylovSpace

_NUMBERS = (
    "size", "block", "num_matvecs", "exhausted", "scale", "rng", "choice", "checked", "done",
)  # fmt: skip
_WHOLE = ("projected", "coupling")  # small matrices of a state, equal in all processes


class KrylovCheckpoint:
    """Writes the state of a Krylov space, each row of its basis once."""

    def __init__(self, checkpoint: Checkpoint, seeds: np.random.Generator) -> None:
        self._checkpoint, self._seeds = checkpoint, seeds
        self._found = checkpoint.load(*_NUMBERS, whole=_WHOLE)
        self.choice: str | None = None
        if self._found is not None:
            self.choice = str(self._found[0]["choice"])
        self._rows = 0

    def capacity(self, allowed: int) -> int:
        """Rows of the basis with which the work began.

        Args:
            allowed: most rows in the memory of this call.

        Raises:
            InputError: if the basis of the state does not fit.
        """
        if self._found is None:
            return allowed
        began = int(self._found[0].get("capacity", allowed))
        if began > allowed:
            msg = (
                f"max_bytes: {allowed} vectors fit, and the state of `checkpoint` has {began}; "
                "raise it, use more processes, or give another folder"
            )
            raise InputError(msg)
        return began

    def restore(self, space: KrylovSpace) -> tuple[int, bool]:
        """Restore the space; returns the products at the last check, and whether it was done."""
        self.choice = space.operator.choice
        if self._found is None:
            return 0, False
        numbers, files = self._found
        self._found = None
        rows = joined([f["basis"] for f in files], numbers["size"] + numbers["block"])
        space.restore(numbers, {**files[-1], "basis": rows})
        self._seeds.bit_generator.state = numbers["rng"]
        self._rows = space.size + space.block
        return numbers["checked"], numbers["done"]

    def forget_rows(self) -> None:
        """Mark all rows as unsaved, since a restart overwrote them."""
        self._rows = 0

    def save_if_due(self, space: KrylovSpace, checked: int) -> None:
        """Write a state if one is due; called after each step."""
        if self._checkpoint.due:
            self.save(space, checked, done=False)

    def save(self, space: KrylovSpace, checked: int, *, done: bool) -> None:
        """Write a state now."""
        numbers, tensors = space.state(self._rows)
        extra = {
            "rng": self._seeds.bit_generator.state,
            "choice": self.choice,
            "checked": checked,
            "done": done,
        }
        appended = self._rows > 0
        if self._checkpoint.save({**numbers, **extra}, tensors, append=appended, whole=_WHOLE):
            self._rows = space.size + space.block

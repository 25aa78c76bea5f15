"""A limit of the cost of refits."""

from __future__ import annotations

BUDGET = 500
"""Factorisations of the Jacobian that the refits of one answer make, at most, by default."""


class Budget:
    """Factorisations of the Jacobian that refits may make.

    Args:
        total: in all.
    """

    def __init__(self, total: int) -> None:
        self._total = self._limit = total
        self.used = 0
        """Factorisations made."""
        self.exhausted = False
        """Whether a refit has ended because none was left."""

    def share(self, parts: int) -> None:
        """From now on an equal part of what is left may be used."""
        left = self._total - self.used
        self._limit = self.used + -(-left // max(parts, 1))

    @property
    def spent(self) -> bool:
        """Whether none is left of the present part."""
        return self.used >= self._limit

    def spend(self) -> bool:
        """Take one; False if none is left."""
        if self.spent:
            self.exhausted = True
            return False
        self.used += 1
        return True

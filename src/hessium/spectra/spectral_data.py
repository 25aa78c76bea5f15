"""What is known of a spectrum: some eigenvalues, and Gauss rules for the others."""

from __future__ import annotations

from dataclasses import dataclass

from hessium import _arguments
from hessium._arguments import count, reals
from hessium._typing import FloatArray
from hessium.errors import InputError
from hessium.spectra.gauss_rule import GaussRule
from hessium.spectra.measure import Measure


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class SpectralData(Measure):
    """The data of a `Spectrum`; attributes as there.

    Raises:
        InputError: if they contradict each other.
    """

    dim: int
    known: FloatArray
    rules: tuple[GaussRule, ...] = ()
    num_matvecs: int = 0
    nonnegative: bool = False
    rank_bound: int | None = None

    def __post_init__(self) -> None:
        Measure.__post_init__(self)
        known = reals("known", self.known).reshape(-1).copy()
        known.sort()
        known.flags.writeable = False
        object.__setattr__(self, "known", known)
        _arguments.nonnegative("resolution", self.resolution)
        count("dim", self.dim, max(known.size, 1))
        if known.size < self.dim and not self.rules:
            msg = f"known: {known.size} of {self.dim} eigenvalues, and no rules for the others"
            raise InputError(msg)

    @property
    def exact(self) -> bool:
        """Whether all eigenvalues are known."""
        return self.known.size == self.dim

    @property
    def probes(self) -> int:
        """Number of random vectors."""
        return len(self.rules)

    @property
    def most_nonzero(self) -> int:
        """Upper bound on the number of eigenvalues that are not zero."""
        return self.dim if self.rank_bound is None else self.rank_bound

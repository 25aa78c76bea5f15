"""Results on the grid of seeds and sizes, and the published points."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from hessium._typing import FloatArray
from hessium.runs.experiment import Result
from hessium.studies.eigenvalue_counts import negative, positive
from hessium.studies.published import column_table
from hessium.studies.rank_vs_samples.compute import RankConfig, tasks


class Runs:
    """Results on the grid of seeds and sizes."""

    def __init__(self, config: RankConfig, results: Sequence[Result]) -> None:
        keys = [(task["samples"], task["seed"]) for task in tasks(config)]
        self._results = dict(zip(keys, results, strict=True))
        self.config = config
        self.sizes = np.array(config.sizes)
        self.what = f"{len(config.seeds)} seeds"

    def table(self, of: str, count: str = "positive") -> FloatArray:
        """Counts at the config's tol, shape (seeds, sizes)."""
        how = {"positive": positive, "negative": negative}[count]
        tol = self.config.tol
        return self._grid(lambda result: how(result[of], tol))

    def scalars(self, of: str) -> FloatArray:
        """A number of each run, shape (seeds, sizes)."""
        return self._grid(lambda result: float(result[of]))

    def spectra(self, of: str, size: int) -> FloatArray:
        """Eigenvalues over the largest, descending, shape (seeds, n)."""
        rows = [self._results[size, seed][of] for seed in self.config.seeds]
        return np.array([row[::-1] / np.abs(row).max() for row in rows])

    def _grid(self, number: Callable[[Result], float]) -> FloatArray:
        return np.array(
            [[number(self._results[n, s]) for n in self.config.sizes] for s in self.config.seeds],
            dtype=np.float64,
        )


def published() -> dict[int, tuple[FloatArray, FloatArray]]:
    """The source's points: seed -> (sizes, counts)."""
    table = column_table("adcme_hessian_rank")
    return {
        int(seed): (
            table["num_samples"][table["seed"] == seed],
            table["positive_eigenvalues"][table["seed"] == seed],
        )
        for seed in np.unique(table["seed"])
    }

"""The results of a sweep by ratio, method and class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hessium._typing import FloatArray
from hessium.runs.experiment import Result, Task
from hessium.runs.fingerprint import fingerprint
from hessium.runs.result_store import key
from hessium.studies.critical_points.config import CriticalPointsConfig, tasks
from hessium.studies.critical_points.search import ACCEPTED, tolerance


@dataclass(frozen=True, slots=True)
class Points:
    """Tasks with their results and ids."""

    tasks: tuple[Task, ...]
    results: tuple[Result, ...]
    ids: tuple[str, ...]

    @classmethod
    def of(
        cls, name: str, module: str, config: CriticalPointsConfig, results: Sequence[Result]
    ) -> Points:
        """All points of a finished sweep."""
        todo, code = tasks(config), fingerprint(module)
        return cls(tuple(todo), tuple(results), tuple(key(name, task, code) for task in todo))

    def where(
        self, *, method: str | None = None, ratio: float | None = None, kind: str | None = None
    ) -> Points:
        """Those of one method, ratio, kind."""
        chosen = [
            i
            for i, (task, result) in enumerate(zip(self.tasks, self.results, strict=True))
            if (method is None or task["method"] == method)
            and (ratio is None or task["ratio"] == ratio)
            and (kind is None or result["kind"] == kind)
        ]
        return self._pick(chosen)

    def accepted(self) -> Points:
        """Those that the published test lets through where their finder ended."""
        chosen = [i for i, r in enumerate(self.results) if r["ended_gradient"] <= ACCEPTED]
        return self._pick(chosen)

    def on_target(self) -> Points:
        """Certified points with an index near the wanted one."""
        chosen = [
            i
            for i, (task, result) in enumerate(zip(self.tasks, self.results, strict=True))
            if result["kind"] == "critical"
            and abs(result["index"] - task["target"]) <= tolerance(task["target"])
        ]
        return self._pick(chosen)

    def _pick(self, chosen: list[int]) -> Points:
        return Points(
            tuple(self.tasks[i] for i in chosen),
            tuple(self.results[i] for i in chosen),
            tuple(self.ids[i] for i in chosen),
        )

    def __len__(self) -> int:
        return len(self.tasks)

    def column(self, name: str) -> FloatArray:
        """One number of every result."""
        return np.array([result[name] for result in self.results], dtype=np.float64)

    def short_ids(self) -> tuple[str, ...]:
        """Enough of the ids for `hessium show`."""
        return tuple(one[:10] for one in self.ids)

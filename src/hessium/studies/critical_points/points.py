"""The points of a sweep: which of them count as critical, accepted, or on target."""

from __future__ import annotations

from collections.abc import Sequence

from hessium.runs.experiment import Result
from hessium.runs.fingerprint import fingerprint
from hessium.runs.result_store import key
from hessium.studies.critical_points.config import CriticalPointsConfig, tasks
from hessium.studies.critical_points.search import ACCEPTED, SADDLE, search, tolerance
from hessium.studies.results import ResultTable


def points_of(name: str, config: CriticalPointsConfig, results: Sequence[Result]) -> ResultTable:
    """All points of a finished sweep; `hessium show` finds a point by its `id`."""
    todo, code = tasks(config), fingerprint(search.__module__)
    named = [{**r, "id": key(name, t, code)[:10]} for t, r in zip(todo, results, strict=True)]
    return ResultTable.of(todo, named)


def certified(points: ResultTable, ratio: float | None = None) -> ResultTable:
    """Critical points of the index-targeted search, at one ratio or at all."""
    found = points.select(method=SADDLE, kind="critical")
    return found if ratio is None else found.select(ratio=ratio)


def accepted(points: ResultTable) -> ResultTable:
    """Those that the published test accepts where their finder ended."""
    return points.filter(lambda _, result: result["ended_gradient"] <= ACCEPTED)


def on_target(points: ResultTable) -> ResultTable:
    """Certified points with an index near the wanted one."""
    return certified(points).filter(
        lambda task, result: abs(result["index"] - task["target"]) <= tolerance(task["target"])
    )


def identifiers(points: ResultTable) -> tuple[str, ...]:
    """The id of each point."""
    return tuple(result["id"] for result in points)

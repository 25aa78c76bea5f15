"""Results by the parameters of their tasks."""

from typing import Any

import numpy as np
import pytest

from hessium.studies.results import ResultTable

TASKS: list[dict[str, Any]] = [
    {"size": n, "seed": s, "kind": "sampled"} for n in (20, 10) for s in (0, 1, 2)
]
RESULTS: list[dict[str, Any]] = [
    {"loss": 100.0 * task["size"] + task["seed"], "values": np.arange(3.0) + task["seed"]}
    for task in TASKS
]
EDGES: list[dict[str, Any]] = [{"kind": "law", "ratio": 0.5}]
RUNS = ResultTable.of([*TASKS, *EDGES], [*RESULTS, {"loss": -1.0}])


def test_a_grid_has_the_order_of_its_axes_not_of_the_tasks() -> None:
    grid = RUNS.grid("loss", seed=(2, 0), size=(10, 20))
    np.testing.assert_array_equal(grid, [[1002, 2002], [1000, 2000]])
    arrays = RUNS.grid("values", size=(20,), seed=(1, 2))
    assert arrays.shape == (1, 2, 3)
    np.testing.assert_array_equal(arrays[0, 1], [2, 3, 4])
    halves = RUNS.grid(lambda result: result["loss"] / 2, seed=(0,), size=(10,))
    np.testing.assert_array_equal(halves, [[500]])
    with pytest.raises(KeyError):
        RUNS.grid("loss", seed=(3,), size=(10,))


def test_rows_are_selected_by_tasks_and_by_results() -> None:
    assert len(RUNS) == 7
    np.testing.assert_array_equal(RUNS.select(size=10).column("loss"), [1000, 1001, 1002])
    np.testing.assert_array_equal(RUNS.select(kind="law").column("loss"), [-1])
    assert [r["loss"] for r in RUNS.select(loss=2001.0)] == [2001]
    assert len(RUNS.select(size=10, seed=7)) == 0
    assert RUNS.select(seed=7).column("loss").shape == (0,)
    assert len(RUNS.filter(lambda _, result: result["loss"] > 1500)) == 3


def test_tasks_and_results_are_as_many() -> None:
    with pytest.raises(ValueError, match="zip"):
        ResultTable.of(TASKS, RESULTS[:-1])

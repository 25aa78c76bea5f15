"""Results of a study with the tasks that they answer, selected by the parameters of the tasks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, TypeAlias

import numpy as np

from hessium._typing import FloatArray
from hessium.runs.experiment import Result, Task

Of: TypeAlias = str | Callable[[Result], Any]
"""An entry of a result by name, or a function of the result."""


@dataclass(frozen=True, slots=True)
class ResultTable:
    """Results in the order of their tasks.

    Attributes:
        tasks: parameters of each computation.
        results: of the computations.
    """

    tasks: tuple[Task, ...]
    results: tuple[Result, ...]

    @classmethod
    def of(cls, tasks: Sequence[Task], results: Sequence[Result]) -> ResultTable:
        """The results of `tasks`, of which there are as many.

        Raises:
            ValueError: if there are more of one than of the other.
        """
        pairs = list(zip(tasks, results, strict=True))
        return cls(tuple(task for task, _ in pairs), tuple(result for _, result in pairs))

    def __len__(self) -> int:
        return len(self.tasks)

    def __iter__(self) -> Iterator[Result]:
        return iter(self.results)

    def filter(self, wanted: Callable[[Task, Result], bool]) -> ResultTable:
        """The rows for which `wanted(task, result)` is true."""
        pairs = zip(self.tasks, self.results, strict=True)
        kept = [(task, result) for task, result in pairs if wanted(task, result)]
        return ResultTable.of([task for task, _ in kept], [result for _, result in kept])

    def select(self, **wanted: object) -> ResultTable:
        """The rows with these parameters of the task, or entries of the result."""
        return self.filter(
            lambda task, result: all(
                (task[name] if name in task else result.get(name)) == value
                for name, value in wanted.items()
            )
        )

    def column(self, of: Of) -> FloatArray:
        """A number or an array of every result, stacked, shape (rows, ...)."""
        number = (lambda result: result[of]) if isinstance(of, str) else of
        return np.array([number(result) for result in self.results], dtype=np.float64)

    def grid(self, of: Of, **axes: Sequence[Any]) -> FloatArray:
        """A number or an array of every result, on a grid of parameters of the tasks.

        Args:
            of: which one.
            axes: values of a parameter, one axis for each: `grid("loss", seed=(0, 1), size=(8,))`.

        Returns:
            Shape (values of the first axis, of the second, ..., shape of the array).

        Raises:
            KeyError: if no task has some combination of the values.
        """
        rows = {
            tuple(task[name] for name in axes): result
            for task, result in zip(self.tasks, self.results, strict=True)
            if all(name in task for name in axes)
        }
        chosen = ResultTable((), tuple(rows[values] for values in product(*axes.values())))
        found = chosen.column(of)
        return found.reshape(*map(len, axes.values()), *found.shape[1:])

"""What all studies share: their place in the registry, and the tables of their pages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from hessium._typing import AnyArray
from hessium.figures.records import Findings, Number, Table, exact
from hessium.runs.experiment import Config, Experiment, Result, Task
from hessium.studies.catalogue import CATALOGUE

Arrays: TypeAlias = Mapping[str, AnyArray]
"""Arrays by name."""

Summary: TypeAlias = tuple[Findings, Arrays]
"""What a study found, and the arrays that it keeps."""

Cell: TypeAlias = str | Number | float
"""Words, a number with its error, or a number without one."""


def study(
    name: str,
    title: str,
    *,
    quick: Config,
    paper: Config,
    tasks: Callable[[Config], list[Task]],
    compute: Callable[[Task], Result],
    summarise: Callable[[Config, Sequence[Result]], Summary],
    seeds: Callable[[Config], tuple[int, ...]] | None = None,
    points: bool = False,
) -> Experiment[Config]:
    """An experiment with two presets; what it shows is said in the catalogue.

    Args:
        name: in the catalogue.
        title: heading on the page.
        quick: config of minutes.
        paper: config of the published size.
        tasks: see `Experiment`.
        compute: see `Experiment`.
        summarise: see `Experiment`.
        seeds: of a config; by default its field `seeds`.
        points: see `Experiment`.
    """

    def of_config(config: Any) -> tuple[int, ...]:
        return tuple(config.seeds)

    return Experiment(
        name=name,
        title=title,
        shows=CATALOGUE[name],
        presets={"quick": quick, "paper": paper},
        seeds=seeds or of_config,
        tasks=tasks,
        compute=compute,
        summarise=summarise,
        points=points,
    )


def repeated(seeds: Sequence[int]) -> str:
    """The repetitions in words: "1 seed", "5 seeds"."""
    return f"{len(seeds)} seed" + ("s" if len(seeds) != 1 else "")


def table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[Cell]], note: str = ""
) -> Table:
    """A table whose plain numbers are exact."""
    cells = tuple(
        tuple(cell if isinstance(cell, (str, Number)) else exact(cell) for cell in row)
        for row in rows
    )
    return Table(title=title, columns=tuple(columns), rows=cells, note=note)


def with_error(value: float, error: float, basis: str, digits: int = 3) -> Number:
    """A number with an error of the same size on both sides."""
    return Number(
        value=float(value), low=float(value - error), high=float(value + error), basis=basis,
        digits=digits,
    )  # fmt: skip

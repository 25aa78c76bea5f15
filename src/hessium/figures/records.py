"""Numbers with their errors, statements, tables and charts.

A chart is data, not a drawing: every figure can be redrawn from its stored chart.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hessium.figures.charts import Chart as Chart
from hessium.figures.charts import Mark as Mark
from hessium.figures.charts import Numbers as Numbers
from hessium.figures.charts import Scale as Scale
from hessium.figures.charts import Series as Series
from hessium.figures.charts import Source as Source
from hessium.figures.charts import measured as measured
from hessium.figures.charts import require, require_name
from hessium.figures.claims import CONTROL as CONTROL
from hessium.figures.claims import OURS as OURS
from hessium.figures.claims import Origin as Origin
from hessium.figures.claims import Publication as Publication
from hessium.figures.claims import Statement as Statement
from hessium.figures.claims import Verdict as Verdict
from hessium.figures.claims import judge as judge
from hessium.figures.claims import judge_test as judge_test

EXACT = "exact"

_MOST_DIGITS = 17


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """One number with its error.

    Attributes:
        value: the number.
        low, high: ends of its error, or None.
        basis: meaning of the error ("range over 5 seeds"), or `EXACT`, or why it is unknown.
        digits: significant digits to print.
    """

    value: float
    low: float | None = None
    high: float | None = None
    basis: str
    digits: int = 3

    def __post_init__(self) -> None:
        require(bool(self.basis.strip()), "basis: empty; say what the error is, or 'exact'")
        require((self.low is None) == (self.high is None), "low, high: give both ends of the error")
        require(
            1 <= self.digits <= _MOST_DIGITS,
            f"digits: {self.digits}; 1 to {_MOST_DIGITS} are possible",
        )
        for name in ("value", "low", "high"):
            number = getattr(self, name)
            if number is not None:
                require(bool(np.isfinite(number)), f"{name}: {number}; must be finite")
                object.__setattr__(self, name, float(number))


def exact(value: float | int, digits: int = 12) -> Number:
    """A number without error, such as a count or a setting."""
    return Number(value=float(value), basis=EXACT, digits=digits)


def over(values: Numbers, what: str, digits: int = 3) -> Number:
    """Median of `values`, with their range as the error; a single value has no range.

    Args:
        values: repeated measurements, any shape, not empty.
        what: the repetitions, such as "5 seeds".
        digits: significant digits to print.
    """
    array = np.asarray(values, dtype=np.float64).reshape(-1)
    require(array.size > 0, "values: empty; at least one is needed")
    if array.size == 1:
        return Number(value=float(array[0]), basis=f"one value ({what})", digits=digits)
    return Number(
        value=float(np.median(array)),
        low=float(array.min()),
        high=float(array.max()),
        basis=f"median [least, greatest] over {what}",
        digits=digits,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows of words and numbers.

    Attributes:
        title: heading.
        columns: heads, the first one names the rows.
        rows: one cell for each column.
        note: what the errors are, where to be careful.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str | Number, ...], ...]
    note: str = ""

    def __post_init__(self) -> None:
        for row in self.rows:
            require(
                len(row) == len(self.columns),
                f"rows of {self.title!r}: {len(row)} cells for {len(self.columns)} columns",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """The content of one section of a page.

    Attributes:
        statements: claims with their verdicts.
        charts: figures as data.
        tables: tables after the charts.
        notes: on the method.
        quoted: tables at the head of the page, before the first chart and the statements.
    """

    statements: tuple[Statement, ...]
    charts: tuple[Chart, ...]
    tables: tuple[Table, ...] = ()
    notes: tuple[str, ...] = ()
    quoted: tuple[Table, ...] = ()

    def __post_init__(self) -> None:
        names = [chart.name for chart in self.charts]
        require(len(names) == len(set(names)), f"names of charts: {names}; each must be its own")
        places = {*names, *(table.title for table in (*self.tables, *self.quoted)), ""}
        for one in self.statements:
            require(
                one.shown in places,
                f"shown of {one.claim!r}: {one.shown!r}; no chart or table of the section has this "
                "name",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """Findings with all that is needed to reproduce them.

    Attributes:
        experiment, preset: names; the preset may be "".
        title, shows: its heading, and one sentence below it.
        config, seeds: every setting, and the seeds used.
        command: reproduces them.
        versions: of the interpreter and the libraries.
        tasks, seconds: number of independent computations, and their computing time added up.
        finished: when, ISO 8601, UTC.
        findings: the content.
    """

    experiment: str
    title: str
    shows: str
    preset: str
    config: Mapping[str, Any] = field(default_factory=dict)
    seeds: tuple[int, ...]
    command: str
    versions: Mapping[str, str]
    tasks: int
    seconds: float
    finished: str
    findings: Findings

    def __post_init__(self) -> None:
        require_name("experiment", self.experiment)
        require(0 <= self.seconds < math.inf, f"seconds: {self.seconds}; must be finite and >= 0")

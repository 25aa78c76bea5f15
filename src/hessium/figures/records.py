"""Numbers with their errors, statements, tables and charts.

A chart is data, not a drawing: every figure can be redrawn from its stored chart.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np

from hessium._typing import AnyArray, FloatArray
from hessium.errors import InputError
from hessium.figures.fields import Field

EXACT = "exact"

Numbers: TypeAlias = AnyArray | Sequence[Any]  # numbers in an array or in nested sequences

Verdict = Literal["holds", "does not hold", "not rejected", "not tested"]
Source = Literal["measured", "published", "theory"]
Mark = Literal["points", "line", "both", "steps"]
Scale = Literal["linear", "log", "symlog"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}")
_MOST_DIGITS = 17
_MOST_POINTS = 100_000  # of a chart: beyond that, drawing takes minutes
_MOST_SERIES, _MOST_TICKS = 50, 100
_MOST_NUDGE = 100.0


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise InputError(message)


def _require_name(field_name: str, name: str) -> None:
    """Names become file names and identifiers of a page."""
    _require(
        _NAME.fullmatch(name) is not None,
        f"{field_name}: {name[:80]!r}; at most 64 letters a-z, digits and -, no - at the start",
    )


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
        _require(bool(self.basis.strip()), "basis: empty; say what the error is, or 'exact'")
        _require(
            (self.low is None) == (self.high is None), "low, high: give both ends of the error"
        )
        _require(
            1 <= self.digits <= _MOST_DIGITS,
            f"digits: {self.digits}; 1 to {_MOST_DIGITS} are possible",
        )
        for name in ("value", "low", "high"):
            number = getattr(self, name)
            if number is not None:
                _require(bool(np.isfinite(number)), f"{name}: {number}; must be finite")
                object.__setattr__(self, name, float(number))


def exact(value: float | int, digits: int = 12) -> Number:
    """A number without error, such as a count or a setting."""
    return Number(value=float(value), basis=EXACT, digits=digits)


def over(values: Numbers, what: str, digits: int = 3) -> Number:
    """Median of `values`, with their range as the error.

    Args:
        values: repeated measurements, any shape, not empty.
        what: the repetitions, such as "5 seeds".
        digits: significant digits to print.
    """
    array = np.asarray(values, dtype=np.float64).reshape(-1)
    _require(array.size > 0, "values: empty; at least one is needed")
    return Number(
        value=float(np.median(array)),
        low=float(array.min()),
        high=float(array.max()),
        basis=f"median [least, greatest] over {what}",
        digits=digits,
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Series:
    """One curve or cloud of a chart.

    Attributes:
        label: legend entry; names the law or the source.
        x, y: positions and values, shape (k,).
        low, high: ends of the error bars, shape (k,), or None.
        error: meaning of the bars, or `EXACT`, or why there are none.
        source: origin of the numbers, which decides the style.
        mark: points, a line, both, or steps: y from this x to the next.
        nudge: sideways shift in typographic points, for points that would hide each other.
        hue: series with the same number share a colour; None takes the next one.
        ids: of the runs behind the points, one each, or none.
    """

    label: str
    x: FloatArray
    y: FloatArray
    low: FloatArray | None = None
    high: FloatArray | None = None
    error: str
    source: Source
    mark: Mark
    nudge: float = 0.0
    hue: int | None = None
    ids: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _require(bool(self.error.strip()), f"error of {self.label!r}: empty; say what it is")
        _require((self.low is None) == (self.high is None), f"low, high of {self.label!r}: both")
        shape = np.shape(self.x)
        _require(len(shape) == 1, f"x of {self.label!r}: shape {shape}; must be (k,)")
        for name in ("x", "y", "low", "high"):
            given = getattr(self, name)
            if given is None:
                continue
            array = np.array(given, dtype=np.float64)
            _require(
                array.shape == shape, f"{name} of {self.label!r}: {array.shape} is not {shape}"
            )
            _require(bool(np.isfinite(array).all()), f"{name} of {self.label!r}: not all finite")
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        _require(
            abs(self.nudge) <= _MOST_NUDGE,
            f"nudge of {self.label!r}: {self.nudge}; at most {_MOST_NUDGE:g} points either way",
        )
        _require(
            len(self.ids) in (0, shape[0]), f"ids of {self.label!r}: {len(self.ids)} for {shape}"
        )


def measured(
    label: str,
    x: Numbers,
    samples: Numbers,
    *,
    what: str,
    mark: Mark = "both",
    nudge: float = 0.0,
) -> Series:
    """Median and range over repetitions.

    Args:
        label: legend entry.
        x: positions, shape (k,).
        samples: repeated measurements, shape (repetitions, k).
        what: what the repetitions are, such as "5 seeds".
        mark: points, a line, or both.
        nudge: see `Series`.
    """
    table = np.asarray(samples, dtype=np.float64)
    return Series(
        label=label,
        x=np.asarray(x, dtype=np.float64),
        y=np.median(table, axis=0),
        low=table.min(axis=0),
        high=table.max(axis=0),
        error=f"median, {'band' if mark == 'line' else 'bars'} from least to greatest over {what}",
        source="measured",
        mark=mark,
        nudge=nudge,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """One pair of axes with everything on it.

    Attributes:
        name: file name of the figure, without suffix.
        title: short heading.
        caption: one or two sentences.
        x_label, y_label: meaning and unit.
        x_scale, y_scale: linear, log, or symlog (linear about zero, logarithmic beyond, by asinh).
        x_linear: of symlog, x is at asinh(x / x_linear).
        x_ticks, y_ticks: positions of labelled ticks, or empty for automatic ones.
        series: what is drawn, first below.
        field: values in colours below the series, if any.
    """

    name: str
    title: str
    caption: str
    x_label: str
    y_label: str
    x_scale: Scale = "linear"
    y_scale: Scale = "linear"
    x_linear: float = 1.0
    x_ticks: tuple[float, ...] = ()
    y_ticks: tuple[float, ...] = ()
    series: tuple[Series, ...]
    field: Field | None = None

    def __post_init__(self) -> None:
        _require_name("name", self.name)
        _require(
            0 < self.x_linear < math.inf,
            f"x_linear of chart {self.name}: {self.x_linear}; must be finite and > 0",
        )
        for name in ("x_ticks", "y_ticks"):
            ticks = getattr(self, name)
            _require(
                len(ticks) <= _MOST_TICKS and all(map(math.isfinite, ticks)),
                f"{name} of chart {self.name}: {len(ticks)}; at most {_MOST_TICKS} finite numbers",
            )
        drawn = bool(self.series) or self.field is not None
        _require(drawn, f"series of chart {self.name}: empty; nothing to draw")
        _require(
            len(self.series) <= _MOST_SERIES,
            f"series of chart {self.name}: {len(self.series)}; at most {_MOST_SERIES} can be drawn",
        )
        points = sum(one.x.size for one in self.series)
        _require(
            points <= _MOST_POINTS,
            f"points of chart {self.name}: {points}; at most {_MOST_POINTS} can be drawn",
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
            _require(
                len(row) == len(self.columns),
                f"rows of {self.title!r}: {len(row)} cells for {len(self.columns)} columns",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A claim with its verdict.

    Attributes:
        claim: a sentence that can be false.
        verdict: of the numbers.
        evidence: the numbers, in words.
    """

    claim: str
    verdict: Verdict
    evidence: str


def judge(claim: str, holds: bool | None, evidence: str) -> Statement:
    """A statement with its verdict; `holds` is None where nothing was tested."""
    verdict: Verdict = "not tested" if holds is None else "holds" if holds else "does not hold"
    return Statement(claim=claim, verdict=verdict, evidence=evidence)


def judge_test(claim: str, kept: bool | None, evidence: str) -> Statement:
    """A statement that a test may reject and cannot prove."""
    verdict: Verdict = "not tested" if kept is None else "not rejected" if kept else "does not hold"
    return Statement(claim=claim, verdict=verdict, evidence=evidence)


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
        _require(len(names) == len(set(names)), f"names of charts: {names}; each must be its own")


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
        _require_name("experiment", self.experiment)
        _require(0 <= self.seconds < math.inf, f"seconds: {self.seconds}; must be finite and >= 0")

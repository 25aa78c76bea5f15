"""Numbers, tables and settings as text."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from hessium.figures.formatting import digits
from hessium.figures.records import EXACT, Chart, Number, Series, Table

_ONE = r"[−-]?(?:(?:\d[\d,.]*×)?10[⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+|\d[\d,.]*)"
_NUMBER = re.compile(rf"(?:below |above )?{_ONE}(?: ?%| (?:±|to) {_ONE}| \[.*\])?")


def number(cell: str | Number) -> str:
    """A cell of a table: words, or a number with its error in brackets."""
    if isinstance(cell, str):
        return cell
    text = digits(cell.value, cell.digits)
    if cell.low is None or cell.high is None:
        return text
    low, high = digits(cell.low, cell.digits), digits(cell.high, cell.digits)
    # an error below the last digit is stated once, below the table
    if cell.basis.startswith(("value", "count")) and low == text == high:
        return text
    # a wide bracket is printed without its midpoint, which estimates nothing
    if cell.basis.startswith("count") and cell.high - cell.low > max(3.0, cell.value / 2):
        return f"[{low}, {high}]"
    return f"{text} [{low}, {high}]"


def lines(table: Table) -> Iterable[str]:
    """The rows of a table as lines for the terminal."""
    names = table.columns[1:] if len(table.columns) > 2 else ("",)
    for label, *cells in table.rows:
        named = (f"{name} {number(cell)}".strip() for name, cell in zip(names, cells, strict=True))
        yield f"{number(label)}: {', '.join(named)}"


_WORDS_WRAP = 20


def columns(table: Table) -> list[str]:
    """What each column holds: "words" where no cell is a number, also none in words, else "number".

    Numbers stand on the right, beside "none" for instance.
    """
    return [
        "words" if not any(_is_number(row[k]) for row in table.rows) else "number"
        for k in range(len(table.columns))
    ]


def _is_number(cell: str | Number) -> bool:
    return isinstance(cell, Number) or _NUMBER.fullmatch(cell) is not None


def characters(table: Table) -> int:
    """About how many characters wide a table is; words wrap, numbers do not."""
    total = 0
    for k, (column, kind) in enumerate(zip(table.columns, columns(table), strict=True)):
        longest = max((len(number(row[k])) for row in table.rows), default=0)
        words = max(map(len, column.split()), default=0)
        total += max(min(longest, _WORDS_WRAP) if kind == "words" else longest, words) + 2
    return total


def bases(table: Table) -> str:
    """What the errors of a table are."""
    cells = [cell for row in table.rows for cell in row if isinstance(cell, Number)]
    kinds = dict.fromkeys(cell.basis for cell in cells)
    others = [kind for kind in kinds if kind != EXACT]
    if not kinds:
        return ""
    if not others:
        return "All numbers are exact."
    if all("rounding]" in kind for kind in others) and "[" not in "".join(map(number, cells)):
        return "All digits shown are significant."
    tail = " The other numbers are exact." if EXACT in kinds else ""
    return f"Numbers: {'; '.join(others)}.{tail}"


def setting(value: Any) -> str:
    """A setting of a config on one line."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, float):
        return digits(value, 6)
    if isinstance(value, (list, tuple)):
        return ", ".join(setting(item) for item in value)
    if isinstance(value, dict):
        return "; ".join(f"{key}: {setting(item)}" for key, item in value.items())
    return str(value)


def duration(seconds: float) -> str:
    """Seconds as 4.2 s, 3 min 20 s or 2 h 5 min."""
    if seconds < 60:
        return f"{seconds:.2g} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def errors(chart: Chart) -> str:
    """What the bars and bands of a chart are."""
    found = [one for one in chart.series if one.source == "measured"]
    kinds = list(dict.fromkeys(one.error for one in found))
    labels = [", ".join(one.label for one in found if one.error == kind) for kind in kinds]
    if len(kinds) <= 1:
        said = [_sentence(kind) for kind in kinds]
    else:
        said = [_sentence(k, f"{_upper(name)}: ") for k, name in zip(kinds, labels, strict=True)]
    if any(one.nudge for one in chart.series):
        said.append("Points at the same place are set side by side.")
    return " ".join(said)


def _upper(name: str) -> str:
    """The name with a capital letter, as a sentence begins; a symbol is returned unchanged."""
    return name[:1].upper() + name[1:] if name[1:2].islower() else name


_ALL = "Points: "


def _sentence(kind: str, name: str = _ALL) -> str:
    """What the bars of some series are; of none, that there are none."""
    head, _, rest = kind.partition(" ")
    if head in ("none,", "none:"):
        return f"{name}no error bars ({rest})."
    if name == _ALL and head in ("bars", "band:"):
        return f"{kind[0].upper()}{kind[1:]}."
    return f"{name}{kind}."


def points(series: Series, most: int) -> Iterable[tuple[str, str]]:
    """The first `most` points of a series as text: x, and y with its error."""
    for i in range(min(most, series.x.size)):
        y = digits(float(series.y[i]), 4)
        if series.low is not None and series.high is not None:
            y += f" [{digits(float(series.low[i]), 4)}, {digits(float(series.high[i]), 4)}]"
        yield digits(float(series.x[i]), 6), y

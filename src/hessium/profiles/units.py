"""Names and units of parameters, inputs and outputs, as the user tells them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from hessium.errors import InputError
from hessium.figures.formatting import digits

Named = Mapping[str, str] | Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Units:
    """Units as words; nothing is converted.

    Attributes:
        parameters: unit by the name of the parameter.
        inputs: name and unit of each column of the inputs.
        outputs: name and unit of each output.
    """

    parameters: Mapping[str, str]
    inputs: tuple[tuple[str, str], ...]
    outputs: tuple[tuple[str, str], ...]

    @classmethod
    def of(
        cls, parameters: Mapping[str, str] | None, inputs: Named, outputs: Named,
        names: Sequence[str],
    ) -> Units:  # fmt: skip
        """Units with their names checked against those of the parameters.

        Raises:
            InputError: if a unit belongs to no parameter.
        """
        given = dict(parameters or {})
        found: dict[str, str] = {}
        for pattern, unit in given.items():
            matching = [name for name in names if fnmatchcase(name, pattern)]
            if not matching:
                msg = f"units: {pattern!r} is not a parameter; the risk has {', '.join(names[:8])}"
                raise InputError(msg)
            found |= dict.fromkeys(matching, str(unit))
        return cls(parameters=found, inputs=_pairs(inputs), outputs=_pairs(outputs))

    def require_columns(self, inputs: int | None, outputs: int) -> None:
        """Check that there are not more names than columns (None: of unknown number).

        Raises:
            InputError: if there are.
        """
        for what, names, columns in (
            ("inputs", self.inputs, inputs), ("outputs", self.outputs, outputs),
        ):  # fmt: skip
            if columns is not None and len(names) > columns:
                given = ", ".join(name for name, _ in names)
                msg = f"{what}: {len(names)} names ({given}); there are {columns}, in this order"
                raise InputError(msg)

    def of_label(self, label: str) -> str:
        """The unit of an entry such as "kappa" or "w[0, 1]"; "" if it has none."""
        return self.parameters.get(label, self.parameters.get(label.partition("[")[0], ""))

    def input(self, column: int) -> tuple[str, str]:
        """Name and unit of a column of the inputs."""
        return _at(self.inputs, column, "x" if column == 0 else f"x{column + 1}")

    def output(self, column: int, of: int) -> tuple[str, str]:
        """Name and unit of an output."""
        return _at(self.outputs, column, "output" if of == 1 else f"output {column}")


def _pairs(given: Named) -> tuple[tuple[str, str], ...]:
    if isinstance(given, str):
        return ((given, ""),)
    if isinstance(given, Mapping):
        return tuple((str(name), str(unit)) for name, unit in given.items())
    return tuple((str(name), "") for name in given)


def _at(pairs: tuple[tuple[str, str], ...], column: int, default: str) -> tuple[str, str]:
    return pairs[column] if column < len(pairs) else (default, "")


def begun(text: str) -> str:
    """The beginning of a sentence with a capital letter; that of a symbol such as "u" stays."""
    return text[:1].upper() + text[1:] if text[1:2].islower() else text


def axis(name: str, unit: str) -> str:
    """A name with its unit for an axis or the head of a column: "t (day)"."""
    return f"{name} ({unit})" if unit else name


def quantity(value: float, unit: str, significant: int = 3) -> str:
    """A number with its unit."""
    return f"{digits(value, significant)} {unit}".rstrip()


def plus_minus(value: float, std: float, unit: str = "") -> str:
    """A value and its standard deviation, both to two digits of the latter."""
    if not math.isfinite(std):
        return f"{quantity(value, unit)} (undetermined)"
    places = 1 - int(f"{std:.1e}".partition("e")[2]) if std > 0 else -1
    if 0 <= places <= 5 and abs(value) < 1e6:
        text = f"{round(value, places) + 0.0:.{places}f} ± {std:.{places}f}".replace("-", "−")
    elif std == 0 or value == 0:
        text = f"{digits(value)} ± {digits(std, 2)}"
    else:
        apart = math.floor(math.log10(abs(value))) - math.floor(math.log10(std))
        text = f"{digits(value, min(max(2, apart + 2), 10))} ± {digits(std, 2)}"
    return f"({text}) {unit}" if unit else text

"""From words of the command line to numbers, each with the rule that it follows."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

from hessium._workers import require_workers
from hessium.errors import InputError

_LONGEST = 60
_MOST_GIB = 2**20


def up_to(most: int) -> Callable[[str], int]:
    """Positive integers up to what could be finished."""

    def convert(text: str) -> int:
        value = integer(text)
        if value is None or value < 1:
            msg = f"{shown(text)}; a positive integer is required"
            raise argparse.ArgumentTypeError(msg)
        if value > most:
            msg = f"{shown(text)}; at most {most} is possible"
            raise argparse.ArgumentTypeError(msg)
        return value

    return convert


positive = up_to(10**9)
"""Positive integers."""


def workers(text: str) -> int:
    """A number of processes that this machine can have."""
    number = positive(text)
    try:
        require_workers(number)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error).removeprefix("workers: ")) from error
    return number


def seed(text: str) -> int:
    """An integer from 0 to 2^63 - 1."""
    value = integer(text)
    if value is None or not 0 <= value < 2**63:
        msg = f"{shown(text)}; an integer >= 0, below 2^63, is required"
        raise argparse.ArgumentTypeError(msg)
    return value


def integer(text: str) -> int | None:
    """A decimal integer, or None."""
    return int(text) if re.fullmatch(r"[+-]?[0-9]{1,300}", text) else None


def shown(text: str) -> str:
    """The text, cut where it is long."""
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def fraction(text: str) -> float:
    """A number between 0 and 1."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < 1:
        msg = f"{shown(text)}; a number between 0 and 1 is required"
        raise argparse.ArgumentTypeError(msg)
    return value


def real(text: str, rule: str, lowest: float, *, open_end: bool) -> float:
    """A finite number from `lowest` on; fractions such as 1/3 are numbers."""
    try:
        value = float(Fraction(text)) if "/" in text else float(text)
    except (ArithmeticError, ValueError):
        value = math.nan
    if not (math.isfinite(value) and value >= lowest and not (open_end and value == lowest)):
        msg = f"{shown(text)}; {rule} is required"
        raise argparse.ArgumentTypeError(msg)
    return value


def above_zero(text: str) -> float:
    """A number > 0."""
    return real(text, "a number > 0", 0.0, open_end=True)


def not_negative(text: str) -> float:
    """A number >= 0."""
    return real(text, "a number >= 0", 0.0, open_end=False)


def memory(text: str) -> float:
    """A number of GiB."""
    value = above_zero(text)
    if value > _MOST_GIB:
        msg = f"{shown(text)}; at most {_MOST_GIB} is possible"
        raise argparse.ArgumentTypeError(msg)
    return value


def activation(text: str) -> str:
    """The name of an activation of the theory."""
    from hessium.theory.hessians.energies import ACTIVATIONS  # SciPy: only where it is used

    if text not in ACTIVATIONS:
        msg = f"{shown(text)}; {' or '.join(ACTIVATIONS)} is required"
        raise argparse.ArgumentTypeError(msg)
    return text


def figure(text: str) -> Path:
    """A file name of a figure."""
    if Path(text).suffix.lower() not in (".svg", ".png"):
        msg = f"{shown(text)}; a file that ends in .svg or .png is required"
        raise argparse.ArgumentTypeError(msg)
    return Path(text)


def assignment(text: str) -> tuple[str, Any]:
    """NAME=VALUE as a pair; the value is a Python literal or a word."""
    from hessium.cli.arguments import literal

    name, equals, value = text.partition("=")
    if not equals or not name.strip().isidentifier():
        msg = f"{shown(text)}; NAME=VALUE is required, such as steps=200"
        raise argparse.ArgumentTypeError(msg)
    try:
        return name.strip(), literal(value.strip())
    except ValueError as error:
        msg = f"{shown(text)}; {error}"
        raise argparse.ArgumentTypeError(msg) from error


def named_unit(text: str) -> tuple[str, str]:
    """NAME=UNIT as a pair; the unit may be left out."""
    name, _, unit = text.partition("=")
    if not name.strip():
        msg = f"{shown(text)}; NAME=UNIT is required"
        raise argparse.ArgumentTypeError(msg)
    return name.strip(), unit.strip()


def criterion(text: str) -> str:
    """The name of a criterion of designs."""
    if text not in ("A", "D"):
        msg = f"{shown(text)}; A or D is required"
        raise argparse.ArgumentTypeError(msg)
    return text


def count(text: str) -> int:
    """An integer >= 0."""
    value = integer(text)
    if value is None or value < 0 or value > 10**9:
        msg = f"{shown(text)}; an integer >= 0 is required"
        raise argparse.ArgumentTypeError(msg)
    return value

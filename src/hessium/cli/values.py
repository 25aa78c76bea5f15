"""Values of options: from a word of the command line to a number, or why it is none."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

from hessium.errors import InputError
from hessium.runs.workers import require_workers

_LONGEST = 60
_MOST_GIB = 2**20


def up_to(most: int) -> Callable[[str], int]:
    """Positive integers up to what could be finished."""

    def convert(text: str) -> int:
        value = _integer(text)
        if value is None or value < 1:
            msg = f"{_shown(text)}; a positive integer is required"
            raise argparse.ArgumentTypeError(msg)
        if value > most:
            msg = f"{_shown(text)}; at most {most} is possible"
            raise argparse.ArgumentTypeError(msg)
        return value

    return convert


positive = up_to(10**9)


def worker_count(text: str) -> int:
    """A number of processes."""
    workers = positive(text)
    try:
        require_workers(workers)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error).removeprefix("workers: ")) from error
    return workers


def seed_number(text: str) -> int:
    """A seed."""
    value = _integer(text)
    if value is None or not 0 <= value < 2**63:
        msg = f"{_shown(text)}; an integer >= 0, below 2^63, is required"
        raise argparse.ArgumentTypeError(msg)
    return value


def _integer(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[+-]?[0-9]{1,300}", text) else None


def _shown(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def fraction(text: str) -> float:
    """A number between 0 and 1."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < 1:
        msg = f"{_shown(text)}; a number between 0 and 1 is required"
        raise argparse.ArgumentTypeError(msg)
    return value


def _real(text: str, rule: str, lowest: float, *, open_end: bool) -> float:
    try:
        value = float(Fraction(text)) if "/" in text else float(text)
    except (ArithmeticError, ValueError):
        value = math.nan
    if not (math.isfinite(value) and value >= lowest and not (open_end and value == lowest)):
        msg = f"{_shown(text)}; {rule} is required"
        raise argparse.ArgumentTypeError(msg)
    return value


def above_zero(text: str) -> float:
    """A number or a fraction such as 1/4, greater than zero."""
    return _real(text, "a number > 0", 0.0, open_end=True)


def not_negative(text: str) -> float:
    """A number or a fraction, zero or greater."""
    return _real(text, "a number >= 0", 0.0, open_end=False)


def memory(text: str) -> float:
    """GiB."""
    value = above_zero(text)
    if value > _MOST_GIB:
        msg = f"{_shown(text)}; at most {_MOST_GIB} is possible"
        raise argparse.ArgumentTypeError(msg)
    return value


def activation(text: str) -> str:
    """A name of an activation."""
    from hessium.theory.hessians.energies import ACTIVATIONS  # SciPy: only where it is used

    if text not in ACTIVATIONS:
        msg = f"{_shown(text)}; {' or '.join(ACTIVATIONS)} is required"
        raise argparse.ArgumentTypeError(msg)
    return text


def figure(text: str) -> Path:
    """The path of a figure."""
    if Path(text).suffix.lower() not in (".svg", ".png"):
        msg = f"{_shown(text)}; a file that ends in .svg or .png is required"
        raise argparse.ArgumentTypeError(msg)
    return Path(text)

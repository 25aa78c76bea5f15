"""Text that every page, file and terminal may carry."""

from __future__ import annotations

import re
import textwrap

_ILLEGIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufffe\uffff\ud800-\udfff]"
)

_PERCENT = re.compile(r"(?<=\d) (?=%)")


def legible(text: str) -> str:
    """`text` with a replacement character for each one that no page, file or terminal may carry.

    These are control characters but for tabs and ends of lines, halves of surrogate pairs (bytes
    of a path that cannot be decoded), characters that XML forbids, and those that turn the
    direction of the text after them.
    """
    return _ILLEGIBLE.sub("\ufffd", text)


def wrapped(text: str, first: str = "", rest: str = "") -> str:
    """Lines of a terminal, of 98 characters at most; a number and its percent sign stay together.

    Args:
        text: to wrap.
        first: before the first line.
        rest: before the others.
    """
    kept = _PERCENT.sub("\u00a0", text)
    lines = textwrap.fill(kept, 98, initial_indent=first, subsequent_indent=rest)
    return lines.replace("\u00a0", " ")

"""Text that every page, file and terminal may carry."""

from __future__ import annotations

import re

_ILLEGIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufffe\uffff\ud800-\udfff]"
)


def legible(text: str) -> str:
    """`text` with a replacement character for each one that no page, file or terminal may carry.

    These are control characters but for tabs and ends of lines, halves of surrogate pairs (bytes
    of a path that cannot be decoded), characters that XML forbids, and those that turn the
    direction of the text after them.
    """
    return _ILLEGIBLE.sub("\ufffd", text)

"""Numbers of eigenvalues with their brackets."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral, Real

from hessium._display import Displayable
from hessium.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True, repr=False, eq=False)
class Count(Displayable):
    r"""A number of eigenvalues with a bracket.

    Comparisons are true if they hold for all values in the brackets; a number is a bracket with one
    value:

    - a < b: every number in the bracket of a is below every number in that of b.
    - a <= b: none is above, or a == b.
    - a == b: the same value in the same bracket; to a number only an exact count is equal.

    So a < b and b < a exclude each other, a == b implies a <= b and b <= a, and where brackets
    overlap neither a <= b nor b <= a holds.

    Sums and differences with counts and integers are counts, with the bracket that follows; the
    confidence of two is that of both together. `int` returns the value for any bracket. Implicit
    uses as an integer (`range`, an index) require an exact count, and so does `bool` if the bracket
    contains zero and other numbers.

    Attributes:
        value: the estimate; the middle of the bracket if that is wide.
        lower: lower bound.
        upper: upper bound; equal to `lower` if the count is exact.
        confidence: probability that the bracket holds, over random probes; None if it is certain.
        what: "rank", "negative", "zero" or "positive"; otherwise "".
        tol: relative threshold, or None.
        scale: $\max|\lambda|$, or None.
        method: method, as in `Inertia`.
        resolved: if the bracket is due to rounding, the smallest larger tol without it (of 1, 2 and
            5 times powers of ten), and the count there; else None.
        reasons: sources of the bracket: of "rounding", "steps" and "probes".

    Raises:
        InputError: if `value` lies outside of the bracket.

    Example:
        >>> count = hs.rank(H0)
        >>> count.lower <= count.value <= count.upper
        True
    """

    value: int
    lower: int
    upper: int
    confidence: float | None = None
    what: str = ""
    tol: float | None = None
    scale: float | None = None
    method: str = ""
    resolved: tuple[float, int] | None = None
    reasons: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.lower <= self.value <= self.upper:
            msg = f"value: {self.value}; it must lie in [{self.lower}, {self.upper}]"
            raise InputError(msg)

    @property
    def exact(self) -> bool:
        """Whether the bracket is one number."""
        return self.lower == self.upper

    @property
    def bracket(self) -> str:
        """The number and its bracket in words, without the threshold."""
        return self._words("")

    def __int__(self) -> int:
        return self.value

    def __index__(self) -> int:
        """The count as an integer.

        Raises:
            InputError: if it is not exact.
        """
        return self._certain("an integer")

    def __bool__(self) -> bool:
        """Whether the count is positive.

        Raises:
            InputError: if the bracket contains zero and other numbers.
        """
        return self.lower > 0 or self.upper < 0 or self._certain("true or false") != 0

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Count):
            mine, others = ((c.value, c.lower, c.upper) for c in (self, other))
            return mine == others
        if isinstance(other, Real):
            return bool(self.exact and self.value == other)
        return NotImplemented

    def __hash__(self) -> int:
        return hash(self.value) if self.exact else hash((self.value, self.lower, self.upper))

    def __lt__(self, other: Count | Real | float) -> bool:
        ends = _ends(other)
        return NotImplemented if ends is None else bool(self.upper < ends[0])

    def __le__(self, other: Count | Real | float) -> bool:
        ends = _ends(other)
        return NotImplemented if ends is None else bool(self.upper <= ends[0] or self == other)

    def __gt__(self, other: Count | Real | float) -> bool:
        ends = _ends(other)
        return NotImplemented if ends is None else bool(self.lower > ends[1])

    def __ge__(self, other: Count | Real | float) -> bool:
        ends = _ends(other)
        return NotImplemented if ends is None else bool(self.lower >= ends[1] or self == other)

    def __add__(self, other: Count | Integral | int) -> Count:
        return NotImplemented if (term := _term(other)) is None else _total(self, term, 1)

    __radd__ = __add__

    def __sub__(self, other: Count | Integral | int) -> Count:
        return NotImplemented if (term := _term(other)) is None else _total(self, term, -1)

    def __rsub__(self, other: Integral | int) -> Count:
        return NotImplemented if (term := _term(other)) is None else _total(term, self, -1)

    def __format__(self, spec: str) -> str:
        """All of it, or, with a format for integers, the number and its bracket in it."""
        return self._words(spec) if spec else repr(self)

    def __repr__(self) -> str:
        words = f"rank {self.bracket}" if self.what == "rank" else f"{self.bracket} {self.what}"
        if self.tol is not None and self.scale is not None:
            sign = "<=" if self.what == "zero" else ">"
            words = f"{words.strip()} at |eigenvalue| {sign} {self.tol:g} x {self.scale:.4g}"
        if self.resolved is not None:
            tol, count = self.resolved
            words += f" (rounding resolves tol {tol:g}: {count})"
        return words.strip()

    def _words(self, spec: str) -> str:
        likely = "" if self.confidence is None else f" with confidence {self.confidence:g}"
        value, lower, upper = (format(n, spec) for n in (self.value, self.lower, self.upper))
        if self.exact:
            return f"{value}{likely}"
        if self.upper - self.lower > max(3, self.value // 2):
            return f"between {lower} and {upper}{likely}"  # the value is just its middle
        return f"{value} in [{lower}, {upper}]{likely}"

    def _certain(self, use: str) -> int:
        if not self.exact:
            msg = f"count: {self.bracket} is not exact, so it is not {use}; use lower or upper"
            raise InputError(msg)
        return self.value


def _ends(number: object) -> tuple[float, float] | None:
    if isinstance(number, Count):
        return number.lower, number.upper
    return (float(number), float(number)) if isinstance(number, Real) else None


def _term(number: object) -> Count | None:
    if isinstance(number, Integral):
        value = int(number)
        return Count(value=value, lower=value, upper=value)
    return number if isinstance(number, Count) else None


def _total(one: Count, other: Count, sign: int) -> Count:
    """The sum, or the difference where `sign` is -1."""
    ends = (other.lower, other.upper)[::sign]
    # the chances that one of them fails add up
    certain = one.confidence is None and other.confidence is None
    failing = sum(1 - c.confidence for c in (one, other) if c.confidence is not None)
    same = (one.tol, one.scale) == (other.tol, other.scale)
    return Count(
        value=one.value + sign * other.value,
        lower=one.lower + sign * ends[0],
        upper=one.upper + sign * ends[1],
        confidence=None if certain else max(0.0, 1 - failing),
        tol=one.tol if same else None,
        scale=one.scale if same else None,
        method=one.method if one.method == other.method else "",
        reasons=one.reasons + tuple(r for r in other.reasons if r not in one.reasons),
    )

"""Claims with their verdicts, and whose claims they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hessium.figures.charts import require

Verdict = Literal["holds", "does not hold", "not rejected", "not tested"]
Kind = Literal["source", "ours", "control"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """A text whose claims are tested.

    Attributes:
        name: short, such as "Pennington & Bahri (2017)".
        reference: title, authors, where it appeared.
    """

    name: str
    reference: str

    def __post_init__(self) -> None:
        require(bool(self.name.strip()), "name of a publication: empty; give one")


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Whose claim a statement is.

    Attributes:
        kind: "source", a claim of a publication; "ours", our explanation, or a question that no
            publication answers; "control", a check of the method whose answer is known.
        publication: of a claim of a source, otherwise None.
        place: equation, figure or section of the publication.
    """

    kind: Kind
    publication: Publication | None = None
    place: str = ""

    def __post_init__(self) -> None:
        cited = self.publication is not None and bool(self.place.strip())
        require(
            cited == (self.kind == "source"),
            f"origin {self.kind!r}: a claim of a source, and no other, has publication and place",
        )


OURS, CONTROL = Origin(kind="ours"), Origin(kind="control")


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A claim with its verdict.

    Attributes:
        claim: a sentence that can be false.
        verdict: of the numbers.
        evidence: the numbers, in words.
        origin: whose claim it is; None where a page states what was measured of a user's model.
        shown: name of the chart, or title of the table, that shows the numbers; "" for none.
        reason: why the claim does not hold, for pages on which it does not.
    """

    claim: str
    verdict: Verdict
    evidence: str
    origin: Origin | None = None
    shown: str = ""
    reason: str = ""


def judge(
    claim: str,
    holds: bool | None,
    evidence: str,
    *,
    origin: Origin | None = None,
    shown: str = "",
    reason: str = "",
) -> Statement:
    """A statement with its verdict; `holds` is None where nothing was tested."""
    verdict: Verdict = "not tested" if holds is None else "holds" if holds else "does not hold"
    return Statement(
        claim=claim, verdict=verdict, evidence=evidence, origin=origin, shown=shown, reason=reason
    )


def judge_test(
    claim: str,
    kept: bool | None,
    evidence: str,
    *,
    origin: Origin | None = None,
    shown: str = "",
    reason: str = "",
) -> Statement:
    """A statement that a test may reject and cannot prove."""
    verdict: Verdict = "not tested" if kept is None else "not rejected" if kept else "does not hold"
    return Statement(
        claim=claim, verdict=verdict, evidence=evidence, origin=origin, shown=shown, reason=reason
    )

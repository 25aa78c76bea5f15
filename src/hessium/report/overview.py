"""What a page says first: verdicts counted by section and by whose claim it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

from hessium.figures.claims import Kind, Publication, Statement, Verdict
from hessium.figures.records import Findings, Section

KINDS: dict[Kind, str] = {"source": "claims of sources", "ours": "ours", "control": "controls"}
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
_MOST_LISTED = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A statement with its place on the page.

    Attributes:
        section: that it is in.
        statement: itself.
        anchor: id of its element.
        target: id of the figure or table that shows its numbers, or "".
    """

    section: Section
    statement: Statement
    anchor: str
    target: str


def anchors(findings: Findings, experiment: str) -> dict[str, str]:
    """Ids of the figures and tables of a section by name or title."""
    tables = (*findings.quoted, *findings.tables)
    return {table.title: f"{experiment}.table-{i}" for i, table in enumerate(tables)} | {
        chart.name: f"{experiment}.{chart.name}" for chart in findings.charts
    }


def placed(section: Section) -> list[Placed]:
    """The statements of a section with their places."""
    where = anchors(section.findings, section.experiment)
    return [
        Placed(
            section=section,
            statement=one,
            anchor=f"{section.experiment}.claim-{i}",
            target=where.get(one.shown, ""),
        )
        for i, one in enumerate(section.findings.statements)
    ]


def counts(statements: Sequence[Placed], kind: Kind | None = None) -> Counter[Verdict]:
    """Number of statements by verdict, of one kind or of all."""
    return Counter(
        one.statement.verdict
        for one in statements
        if kind is None or (one.statement.origin is not None and one.statement.origin.kind == kind)
    )


class Overview:
    """The verdicts of all sections together.

    Attributes:
        sections: the statements of each.
        all: the statements of all.
        refuted: claims of sources that do not hold.
        listed: those that the head of the page lists, the reasoned ones first.
        further: the others.
        broken: controls that do not hold.
        publications: whose claims are tested, with their refuted and their tested claims.
    """

    def __init__(self, sections: Sequence[Section]) -> None:
        self.sections = [placed(section) for section in sections]
        self.all = [one for section in self.sections for one in section]
        self.refuted = self._failing("source")
        self.listed = sorted(self.refuted, key=lambda one: not one.statement.reason)[:_MOST_LISTED]
        self.listed.sort(key=lambda one: (self._source(one), self.refuted.index(one)))
        self.further = [one for one in self.refuted if one not in self.listed]
        self.broken = self._failing("control")
        self.publications = self._publications()

    def _source(self, one: Placed) -> int:
        """Position of the publication of a claim: its claims stand together."""
        names = [
            found.statement.origin.publication.name
            for found in self.refuted
            if found.statement.origin is not None and found.statement.origin.publication is not None
        ]
        origin = one.statement.origin
        publication = None if origin is None else origin.publication
        return len(names) if publication is None else names.index(publication.name)

    @property
    def told(self) -> bool:
        """Whether some statement says whose claim it is."""
        return any(one.statement.origin is not None for one in self.all)

    def _failing(self, kind: Kind) -> list[Placed]:
        return [
            one
            for one in self.all
            if one.statement.origin is not None
            and one.statement.origin.kind == kind
            and one.statement.verdict == "does not hold"
        ]

    def _publications(self) -> list[tuple[Publication, Counter[Verdict]]]:
        found: dict[str, tuple[Publication, Counter[Verdict]]] = {}
        for one in self.all:
            origin = one.statement.origin
            if origin is not None and origin.publication is not None:
                _, tally = found.setdefault(
                    origin.publication.name, (origin.publication, Counter[Verdict]())
                )
                tally[one.statement.verdict] += 1
        return list(found.values())

"""What the page says first agrees with what it says below, and its links lead somewhere."""

import csv
import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from hessium.errors import InputError
from hessium.figures.records import (
    CONTROL,
    OURS,
    Findings,
    Origin,
    Publication,
    Section,
    Statement,
    Verdict,
    judge,
)
from hessium.report import write_report
from hessium.report.mathematics import mathematics
from hessium.report.overview import Overview, counts
from hessium.runs.codec import decode, encode
from hessium.runs.run_directory import RunDirectory
from support.toy_experiment import fill

PAPER = Publication(name="A & B (2000)", reference="A and B, On edges.")
SOURCE = Origin(kind="source", publication=PAPER, place="eq. 3")


def told(section: Section) -> Section:
    """Its statements with origins, and one of each kind that does not hold."""
    first, second, third = section.findings.statements
    statements = (
        replace(first, origin=CONTROL, shown="largest"),
        replace(second, origin=SOURCE, shown="Largest", reason="The edge <is> at 2."),
        replace(third, origin=OURS, shown="largest"),
        judge("A control.", False, "0", origin=CONTROL, shown="largest"),
        judge("A claim.", True, "1", origin=SOURCE, shown="largest", reason="Never shown."),
    )
    return replace(section, findings=replace(section.findings, statements=statements))


class Links(HTMLParser):
    """Ids of elements, and links."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.ids |= {found["id"]} if "id" in found else set()
        self.links += [found["href"]] if tag == "a" else []


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    run = fill(tmp_path_factory.mktemp("told"))
    for section in run.sections():
        run.put(told(section), {}, order=("toy", "other"))
    write_report(run)
    return run


@pytest.fixture(scope="module")
def text(run: RunDirectory) -> str:
    return (run.path / "report.html").read_text("utf-8")


def _tallies(fragment: str) -> Counter[str]:
    """Verdicts and numbers of the small marks in a part of the page."""
    found = Counter[str]()
    for name, number in re.findall(
        r'title="([a-z ]+)"><span class="word">[a-z ]+</span>(\d+)', fragment
    ):
        found[name] += int(number)
    return found


def test_counts_on_top_are_those_of_the_sections(run: RunDirectory, text: str) -> None:
    expected = Counter(s.verdict for one in run.sections() for s in one.findings.statements)
    top, below = text.split("<main>")
    (table,) = re.findall(r'<table class="tallies">(.*?)</table>', top, re.DOTALL)
    *rows, total = re.findall(r"<tr.*?>(.*?)</tr>", table.split("<tbody>")[1], re.DOTALL)
    assert sum((_tallies(row) for row in rows), Counter[str]()) == _tallies(total) == expected
    # the cards of the sections, read from the page
    cards = re.findall(r'<li id="[\w.-]+">\s*<p><span class="verdict \w+">([a-z ]+)<', below)
    assert Counter(cards) == expected
    contents = top.split("</nav>")[0]
    assert _tallies(contents) == expected
    # kinds of claims are counted apart there
    (first, *_) = re.findall(r'<div class="tallied">(.*?)</div>', contents, re.DOTALL)
    kinds = [part for part in first.split('<span class="of">') if "verdict" in part]
    assert [part.split("<")[0] for part in kinds] == ["source", "ours", "control"]
    assert _tallies(kinds[0]) == {"does not hold": 1, "holds": 1}
    # and for each kind of claim
    overview = Overview(run.sections())
    assert counts(overview.all, "source") == {"does not hold": 2, "holds": 2}
    assert counts(overview.all, "ours") == {"not tested": 2}
    assert counts(overview.all, "control") == {"holds": 2, "does not hold": 2}


def test_every_verdict_leads_to_its_figure_and_back(run: RunDirectory, text: str) -> None:
    found = Links(text)
    inside = [link[1:] for link in found.links if link.startswith("#")]
    assert set(inside) <= found.ids
    for section in run.sections():
        for number, statement in enumerate(section.findings.statements):
            claim = f"{section.experiment}.claim-{number}"
            assert inside.count(claim) >= 1  # from its figure or table
            (card,) = re.findall(rf'<li id="{re.escape(claim)}">(.*?)</li>', text, re.DOTALL)
            (target,) = re.findall(r'href="#([^"]+)"', card)
            assert target == (
                f"{section.experiment}.table-0"
                if statement.shown == "Largest"
                else f"{section.experiment}.largest"
            )


def test_the_head_lists_what_does_not_hold_and_why(text: str) -> None:
    head = text.split("<main>")[0]
    assert head.count("It is above 5.") == 2  # of both sections
    assert "The edge &lt;is&gt; at 2." in head
    assert "A &amp; B (2000), eq. 3" in head
    assert "A control." in head
    assert "Never shown." not in text
    assert "A and B, On edges." in head


def test_the_rest_of_a_long_list_is_on_the_page_too(tmp_path: Path) -> None:
    run = fill(tmp_path)
    section = run.sections()[0]
    many = tuple(
        judge(f"Claim {k}.", False, "0", origin=SOURCE, reason="It is so." if k == 14 else "")
        for k in range(15)
    )
    run.put(
        replace(section, findings=replace(section.findings, statements=many)),
        {},
        order=("toy", "other"),
    )
    overview = Overview(run.sections())
    listed = [one.statement.claim for one in (*overview.listed, *overview.further)]
    assert sorted(listed) == sorted(one.claim for one in many)
    assert "Claim 14." in listed[:12]  # those with a reason come first
    head = write_report(run).read_text("utf-8").split("<main>")[0]
    assert "<summary>3 more</summary>" in head
    assert 'start="13"' in head
    assert all(one.claim in head for one in many)


def test_a_page_without_origins_has_no_overview(tmp_path: Path) -> None:
    page = write_report(fill(tmp_path)).read_text("utf-8")
    assert "What was found" not in page
    assert 'class="whose' not in page


def test_downloads_are_there_and_whole(run: RunDirectory, text: str) -> None:
    files = {link for link in Links(text).links if not link.startswith("#")}
    assert len(files) == 4
    assert all((run.path / name).is_file() for name in files)
    chart = run.sections()[0].findings.charts[0]
    with (run.path / "figures" / "toy-largest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["y"]) for row in rows] == [y for s in chart.series for y in s.y.tolist()]
    assert rows[-1]["low"] == ""


def test_whose_claim_is_a_record(run: RunDirectory) -> None:
    one = run.sections()[0].findings.statements[1]
    assert decode(Statement, encode(one)) == one
    older = {k: v for k, v in encode(one).items() if k in ("claim", "verdict", "evidence")}
    assert decode(Statement, older).origin is None
    with pytest.raises(InputError, match="publication and place"):
        Origin(kind="source", place="eq. 1")
    with pytest.raises(InputError, match="publication and place"):
        Origin(kind="ours", publication=PAPER, place="eq. 1")


def test_a_statement_cannot_point_nowhere(run: RunDirectory) -> None:
    findings = run.sections()[0].findings
    lost = replace(findings.statements[0], shown="nowhere")
    with pytest.raises(InputError, match="no chart or table"):
        replace(findings, statements=(lost,))
    assert isinstance(findings, Findings)


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("a plain word, 12 and <b>", "a plain word, 12 and &lt;b&gt;"),
        ("H₀", "<math><msub><mi>H</mi><mn>0</mn></msub></math>"),
        ("ε_c", "<math><msub><mi>ε</mi><mi>c</mi></msub></math>"),
        ("3×10⁻⁶", "3×10<sup>−6</sup>"),
        (
            "gap σ(1 − √φ)² of",
            'gap <math><mi>σ</mi><mo stretchy="false">(</mo><mn>1</mn><mo>−</mo>'
            '<msqrt><mi>φ</mi></msqrt><msup><mo stretchy="false">)</mo><mn>2</mn></msup></math> of',
        ),
        ("√φ", "<math><msqrt><mi>φ</mi></msqrt></math>"),
        ("x^(<3)", "<math><msup><mi>x</mi><mn>&lt;3</mn></msup></math>"),
        ("batch_c", "batch_c"),
        ("H₁ᵀ", "<math><msubsup><mi>H</mi><mn>1</mn><mi>T</mi></msubsup></math>"),
        (
            "at φ = 1e-3, a word",
            "at <math><mi>φ</mi><mo>=</mo><mn>1e-3</mn></math>, a word",
        ),
        (
            "rank H = 2qM − c (eq. 3)",
            "<math><mi>rank</mi><mspace width='0.17em'/><mi>H</mi><mo>=</mo><mn>2</mn><mi>q</mi>"
            "<mi>M</mi><mo>−</mo><mi>c</mi></math> (eq. 3)",
        ),
        (
            "R = 2/(1 − φ g²), x",
            "<math><mi>R</mi><mo>=</mo><mn>2</mn><mo>/</mo>"
            '<mo stretchy="false">(</mo><mn>1</mn><mo>−</mo><mi>φ</mi>'
            '<msup><mi>g</mi><mn>2</mn></msup><mo stretchy="false">)</mo></math>, x',
        ),
        ("φ = parameters / samples", "φ = parameters / samples"),
        ("seed = 0, 3 < 4 and a - b", "seed = 0, 3 &lt; 4 and a - b"),
        ("r = min(s, s′), n = ", "r = min(s, s′), n = "),
        (
            "|I| = 9",  # both bars close to the letter
            '<math><mo form="prefix" stretchy="false">|</mo><mi>I</mi>'
            '<mo form="postfix" stretchy="false">|</mo><mo>=</mo><mn>9</mn></math>',
        ),
        (
            "a norm ‖θ*‖, 5 %",
            'a norm <math><mo form="prefix" stretchy="false">‖</mo><msup><mi>θ</mi>'
            '<mn>*</mn></msup><mo form="postfix" stretchy="false">‖</mo></math>, 5\u00a0%',
        ),
        ("a bar ‖ alone", "a bar ‖ alone"),
        ("0.5 +- 0.1 (99%)", "0.5 ± 0.1 (99\u00a0%)"),
        (
            "λ > tol max λ",
            "<math><mi>λ</mi><mo>&gt;</mo><mtext>tol</mtext><mspace width='0.17em'/><mi>max</mi>"
            "<mspace width='0.17em'/><mi>λ</mi></math>",
        ),
        ("λ ≤ 10⁻⁶", "<math><mi>λ</mi><mo>≤</mo><msup><mn>10</mn><mn>−6</mn></msup></math>"),
    ],
)
def test_symbols_become_mathematics(text: str, html: str) -> None:
    assert str(mathematics(text)) == html


def test_verdicts_have_fixed_names() -> None:
    verdicts: tuple[Verdict, ...] = ("holds", "does not hold", "not rejected", "not tested")
    assert {judge("c", holds, "e").verdict for holds in (True, False, None)} < set(verdicts)

"""A run directory that somebody else wrote: what is in it is text and numbers, never more."""

from __future__ import annotations

import copy
import json
import math
import os
import re
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from hessium._text import legible
from hessium.cli import main
from hessium.runs.run_directory import RunDirectory

STRINGS = [
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    '"><script>alert(1)</script>',
    "'><script>alert(1)</script>",
    '" onmouseover="alert(1)',
    "' onfocus=alert(1) autofocus='",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    "</title><script>alert(1)</script>",
    "</style><script>alert(1)</script>",
    "</desc></svg><script>alert(1)</script>",
    "</text><a xlink:href='javascript:alert(1)'>x</a>",
    "javascript:alert(1)",
    "<a href=javascript:alert(1)>x</a>",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "<base href=//evil.example>",
    "<meta http-equiv=refresh content='0;url=//evil.example'>",
    "<link rel=stylesheet href=//evil.example>",
    "<!-- --><script>alert(1)</script><!--",
    "--><script>alert(1)</script>",
    "]]><script>alert(1)</script>",
    "<![CDATA[<script>alert(1)</script>]]>",
    "<?xml-stylesheet href='x'?>",
    "<!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]>&e;",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "&#60;script&#62;alert(1)",
    "{{ 7 * 7 }}{% include 'style.css' %}",
    "${7*7} $\\undefined{x}$ $",
    "__import__('os').system('x')",
    "../../../etc/passwd",
    "/etc/passwd",
    "C:\\Windows\\x",
    "\x00\x01\x08\x0b\x1f nul and others",
    "\x1b]0;title\x07\x1b[31mred",
    "\ud800 half a pair \udcff",
    "\u202eturned\u202c \u2066isolated\u2069",
    "\ufffe\uffff",
    "url(javascript:alert(1))",
    '<g id="points-0">',
    'id="x" xlink:href="#y" #0072b2 #010203',
    "\r\nSet-Cookie: a=b\r\n\r\n",
    "%s%n{0}{section.__class__}",
    "",
    " ",
    "x" * 20_000,
    "word " * 5_000,
]
_NEAR = r"#.*|data:,|figures/[\w-]+\.(svg|csv)"
NEAR = r"#.*|data:,|figures/[A-Za-z0-9-]+\.(svg|csv)"
ALLOWED = {
    *("html", "head", "meta", "title", "link", "style", "body", "header", "h1", "h2", "h3", "p"),
    *(
        "main",
        "section",
        "ul",
        "ol",
        "li",
        "span",
        "div",
        "figure",
        "figcaption",
        "details",
        "summary",
    ),
    *("table", "caption", "thead", "tbody", "tr", "th", "td", "pre", "code", "dl", "dt", "dd"),
    *("footer", "nav", "a", "svg", "desc", "g", "path", "defs", "use", "text", "tspan"),
    *("clippath", "rect", "br", "input", "label", "b", "i"),
    *("math", "mrow", "mi", "mn", "mo", "mtext", "msub", "msup", "msubsup", "msqrt"),
}


def section(text: str = "words") -> dict[str, Any]:
    """A section with the text in every field that is free to hold any."""
    said = text if text.strip() else "said"
    series = {
        "label": text,
        "x": [1.0, 2.0],
        "y": [3.0, 4.0],
        "low": [2.0, 3.0],
        "high": [4.0, 5.0],
        "error": said,
        "source": "measured",
        "mark": "points",
        "ids": [text, text],
    }
    chart = {
        "name": "chart",
        "title": text,
        "caption": text,
        "x_label": text,
        "y_label": text,
        "series": [series],
    }
    number = {"value": 1.0, "low": 0.0, "high": 2.0, "basis": said}
    table = {"title": text, "columns": [text, text], "rows": [[text, number]], "note": text}
    publication = {"name": said, "reference": text}
    statement = {
        "claim": text,
        "verdict": "does not hold",
        "evidence": text,
        "origin": {"kind": "source", "publication": publication, "place": said},
        "shown": "chart",
        "reason": text,
    }
    return {
        "experiment": "theirs",
        "title": text,
        "shows": text,
        "preset": text,
        "config": {text: text, "inner": {text: [text]}},
        "seeds": [0],
        "command": text,
        "versions": {text: text},
        "tasks": 1,
        "seconds": 1.0,
        "finished": text,
        "findings": {
            "statements": [statement],
            "charts": [chart],
            "tables": [table],
            "notes": [text],
        },
    }


def write(folder: Path, *sections: dict[str, Any]) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / ".hessium-run").write_text("Written by hessium.\n\n")
    text = json.dumps({"schema": 1, "sections": list(sections)})
    (folder / "summary.json").write_text(text)
    return folder


def files(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}


class Elements(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def handle_pi(self, data: str) -> None:
        self.found.append((f"?{data}", {}))

    def unknown_decl(self, data: str) -> None:
        self.found.append((f"!{data}", {}))


def require_harmless(page: str) -> Elements:
    elements = Elements(page)
    for tag, attributes in elements.found:
        assert tag in ALLOWED, tag
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            if name in ("href", "xlink:href", "src", "action", "srcdoc"):
                assert re.fullmatch(NEAR, str(value)), (tag, value)
    assert not re.findall(r"[\x00-\x08\x0b-\x1f\u202e\ufffe\uffff\ud800-\udfff]", page)
    return elements


FAST = (0, 2, 11, 24, 27, 32, 33, 34, 39)


@pytest.mark.sampled
@pytest.mark.filterwarnings("ignore:Glyph")
@pytest.mark.parametrize(
    "text",
    [
        pytest.param(text, id=str(i), marks=() if i in FAST else pytest.mark.slow)
        for i, text in enumerate(STRINGS)
    ],
)
def test_any_text_in_any_field_stays_text(
    tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write(tmp_path / "run", section(text))
    assert main(["report", str(run)]) == 0
    page = (run / "report.html").read_text("utf-8")
    elements = require_harmless(page)
    figure = (run / "figures" / "theirs-chart.svg").read_text("utf-8")
    for element in ET.fromstring(figure).iter():
        assert "script" not in element.tag
        for name, value in element.attrib.items():
            assert not name.startswith("on")
            assert not name.endswith("href") or value.startswith("#")
    assert files(tmp_path) == {
        "run/.hessium-run",
        "run/summary.json",
        "run/report.html",
        "run/figures/theirs-chart.csv",
        "run/figures/theirs-chart.svg",
    }
    shown = " ".join("".join(elements.words).split())
    assert " ".join(legible(text).split()) in shown  # nothing is left out, nothing evaluated
    assert "\x1b" not in capsys.readouterr().out


NAMES = [
    *STRINGS[:32],
    "..",
    ".",
    "-",
    "-rf",
    "a/b",
    "a\\b",
    "a b",
    "a.svg",
    "ä",
    "x²",
    "١",  # an Arabic digit
    "a\n",
    "",
    "x" * 65,
    "CON:",
]


@pytest.mark.sampled
@pytest.mark.parametrize("where", ["experiment", "chart"])
@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_names_that_become_paths_and_identifiers_are_letters_digits_and_hyphens(
    tmp_path: Path, where: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = section()
    if where == "experiment":
        bad["experiment"] = name
    else:
        bad["findings"]["charts"][0]["name"] = name
    run = write(tmp_path / "run", bad)
    assert main(["report", str(run)]) == 2
    assert capsys.readouterr().err.startswith("error: RUN_DIR: ")
    assert files(tmp_path) == {"run/.hessium-run", "run/summary.json"}


def changed(path: str, value: Any) -> dict[str, Any]:
    """A section with one field replaced."""
    one = section()
    *way, last = path.split(".")
    place: Any = one
    for step in way:
        place = place[int(step)] if step.isdigit() else place[step]
    place[int(last) if last.isdigit() else last] = value
    return one


CHART, SERIES = "findings.charts.0", "findings.charts.0.series.0"
NUMBER = "findings.tables.0.rows.0.1"
REFUSED = {
    "ticks": (f"{CHART}.x_ticks", [float(i) for i in range(100_000)]),
    "a tick beyond the numbers": (f"{CHART}.y_ticks", [10**400]),
    "no width of the linear part": (f"{CHART}.x_linear", 0.0),
    "endless points": (SERIES + ".x", [math.inf, 1.0]),
    "shift": (f"{SERIES}.nudge", 1e300),
    "digits": (f"{NUMBER}.digits", 10**9),
    "no digits": (f"{NUMBER}.digits", 0),
    "endless number": (f"{NUMBER}.value", math.nan),
    "number beyond the range": (f"{NUMBER}.value", 10**400),
    "endless time": ("seconds", math.inf),
    "time before": ("seconds", -1.0),
    "no text": ("title", 3),
    "verdict": ("findings.statements.0.verdict", "<script>"),
    "verdict as list": ("findings.statements.0.verdict", ["holds"]),
    "source": (f"{SERIES}.source", "javascript:"),
    "unknown field": ("__class__", "x"),
    "deep config": ("config", {"a": json.loads("[" * 200 + "]" * 200)}),
    "ragged array": (f"{SERIES}.x", [[1.0], [2.0, 3.0]]),
    "objects": (f"{SERIES}.y", [{}, {}]),
    "many series": (f"{CHART}.series", [section()["findings"]["charts"][0]["series"][0]] * 51),
    "same names": ("findings.charts", section()["findings"]["charts"] * 2),
    "nothing drawn": (f"{CHART}.series", []),
}


@pytest.mark.parametrize("what", REFUSED)
def test_numbers_without_a_meaning_are_refused(
    tmp_path: Path, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write(tmp_path / "run", changed(*REFUSED[what]))
    assert main(["report", str(run)]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: RUN_DIR: ")
    assert err.count("\n") == 1
    assert len(err) < 1000
    assert files(tmp_path) == {"run/.hessium-run", "run/summary.json"}


EXTREMES = {
    "wide": {"x": [-1e308, 1e308], "y": [-1e308, 1e308]},
    "narrow": {"x": [1.0, 1.0 + 1e-16], "y": [1e-320, 2e-320]},
    "tiny": {"x": [1e-308, 2e-308], "y": [5e-324, 5e-324]},
    "one point": {"x": [1e300, 1e300], "y": [1e-300, 1e-300]},
    "negative": {"x": [-1.0, -2.0], "y": [-1.0, 0.0]},
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("scale", ["linear", "log", "symlog"])
@pytest.mark.parametrize("what", EXTREMES)
def test_extreme_numbers_leave_a_page(
    tmp_path: Path, what: str, scale: str, capsys: pytest.CaptureFixture[str]
) -> None:
    one = section()
    chart = one["findings"]["charts"][0]
    chart |= {"x_scale": scale, "y_scale": scale, "x_linear": 1e-300}
    chart["series"][0] |= EXTREMES[what] | {"low": None, "high": None}
    run = write(tmp_path / "run", one)
    start = time.process_time()
    assert main(["report", str(run)]) == 0
    assert time.process_time() - start < 10
    require_harmless((run / "report.html").read_text("utf-8"))
    capsys.readouterr()


def documents() -> Iterator[tuple[str, bytes]]:
    yield "deep", b'{"schema": 1, "sections": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    yield "constants", b'{"schema": 1, "sections": [NaN]}'
    yield "long integer", b'{"schema": 1, "sections": [' + b"1" * 10_000 + b"]}"
    yield "large", b" " * (2**26 + 1)
    yield "no object", b"3"
    yield "section of a number", b'{"schema": 1, "sections": [3]}'
    yield "not text", b"\xff\xfe\x00"
    twice = json.dumps({"schema": 1, "sections": [section(), section()]})
    yield "two of a name", twice.encode()
    first, second = section(), copy.deepcopy(section())
    first["experiment"], first["findings"]["charts"][0]["name"] = "a", "b-c"
    second["experiment"], second["findings"]["charts"][0]["name"] = "a-b", "c"
    yield "one figure twice", json.dumps({"schema": 1, "sections": [first, second]}).encode()


@pytest.mark.parametrize(("what", "content"), list(documents()), ids=[n for n, _ in documents()])
def test_a_file_that_is_no_summary_is_one_line(
    tmp_path: Path, what: str, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write(tmp_path / "run")
    (run / "summary.json").write_bytes(content)
    assert main(["report", str(run)]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: RUN_DIR: ")
    assert err.count("\n") == 1


def test_a_folder_of_figures_elsewhere_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write(tmp_path / "run", section())
    (tmp_path / "elsewhere").mkdir()
    (run / "figures").symlink_to(tmp_path / "elsewhere")
    assert main(["report", str(run)]) == 2
    assert "is a link" in capsys.readouterr().err
    assert list((tmp_path / "elsewhere").iterdir()) == []
    # a page or a figure that is a link is replaced, not followed
    (run / "figures").unlink()
    (run / "figures").mkdir()
    for name in ("report.html", "figures/theirs-chart.svg"):
        (run / name).symlink_to(tmp_path / "precious")
    (tmp_path / "precious").write_text("precious")
    assert main(["report", str(run)]) == 0
    assert (tmp_path / "precious").read_text() == "precious"


@pytest.mark.parametrize(
    "line",
    [
        "rm -rf ~",
        "hessium list; rm -rf ~",
        "hessium $(rm -rf ~)",
        "hessium `rm x`",
        "hessium \x1b[31m",
        "",
        "hessium 'open",
    ],
)
def test_only_a_command_of_hessium_is_recommended(tmp_path: Path, line: str) -> None:
    (tmp_path / ".hessium-run").write_text(f"Written by hessium.\n{line}\n")
    assert RunDirectory(tmp_path).command() == ""


def test_a_command_with_any_path_is_recommended(tmp_path: Path) -> None:
    for name in ("a b", "ü", "it's", os.fsdecode(b"\xff\xfe")):
        line = RunDirectory.create(tmp_path / name, f"hessium list {name!r}".replace('"', "'"))
        assert line.command() in ("", f"hessium list {name!r}")

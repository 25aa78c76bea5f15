import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from hessium.figures.records import Chart
from hessium.plots import draw
from hessium.report import Report, write_report
from hessium.runs.run_directory import RunDirectory
from support.toy_experiment import fill

_VOID = {"meta", "link", "br", "img", "input", "hr"}


class Page(HTMLParser):
    """What a reader or a screen reader finds."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.words.append(data)

    def find(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    path = write_report(fill(tmp_path_factory.mktemp("run")))
    return Page(path.read_text(encoding="utf-8"))


def test_it_needs_nothing_from_outside(page: Page) -> None:
    for tag, attributes in page.elements:
        assert tag not in {"script", "iframe", "object", "embed", "base"}
        for name in ("src", "href", "xlink:href", "action", "data", "srcset"):
            value = attributes.get(name)
            local = (value or "").startswith(("#", "data:,", "figures/"))
            assert value is None or local, (tag, value)
            # a download is followed by a click alone
            assert not (value or "").startswith("figures/") or "download" in attributes


def test_its_style_asks_for_nothing_either(tmp_path: Path) -> None:
    text = write_report(fill(tmp_path)).read_text(encoding="utf-8")
    assert not re.findall(r"@import|url\((?!#)", text)
    addresses = set(re.findall(r"https?://[^\s\"'<]+", text))
    assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}


def test_every_figure_has_a_text_alternative(page: Page) -> None:
    charts = [a for a in page.find("svg") if a.get("class") == "chart"]
    assert len(charts) == len(page.find("figure")) == 2
    ids = {a["id"] for _, a in page.elements if "id" in a}
    for chart in charts:
        assert chart["role"] == "img"
        labels = str(chart["aria-labelledby"]).split()
        assert len(labels) == 2
        assert set(labels) <= ids


def test_ids_are_unique(page: Page) -> None:
    ids = [a["id"] for _, a in page.elements if "id" in a]
    assert len(ids) == len(set(ids))


def test_text_is_escaped(page: Page) -> None:
    words = " ".join(page.words)
    assert "<script>alert(1)</script>" in words
    assert "Toy & title" in words


def test_it_says_what_was_found_and_how_to_make_it_again(page: Page) -> None:
    words = " ".join(" ".join(page.words).split())
    for verdict in ("holds", "does not hold", "not tested"):
        assert verdict in words
    for fact in (
        "hessium reproduce toy --preset quick",
        "hessium reproduce other --preset quick",
        "numpy 2.0",
        "seeds 0, 1",
        "1.5 s in 6 tasks",
        "median [least, greatest] over 2 seeds",
        "median, bars from least to greatest over 2 seeds",
    ):
        assert fact in words


def test_every_number_of_a_figure_is_beside_it(tmp_path: Path) -> None:
    run = fill(tmp_path, ("toy",))
    text = write_report(run).read_text(encoding="utf-8")
    (chart,) = run.sections()[0].findings.charts
    series = chart.series[0]
    assert series.low is not None
    for y, low in zip(series.y, series.low, strict=True):
        assert f"{y:.4g} [{low:.4g}" in text.replace("−", "-")


def test_figures_are_files_too(tmp_path: Path) -> None:
    write_report(fill(tmp_path))
    assert sorted(p.name for p in (tmp_path / "figures").iterdir()) == [
        "other-largest.csv",
        "other-largest.svg",
        "toy-largest.csv",
        "toy-largest.svg",
    ]
    assert sorted(p.name for p in (tmp_path / "arrays").iterdir()) == ["other.npz", "toy.npz"]


@pytest.mark.slow
def test_a_chart_is_drawn_once_however_many_sections_follow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[str] = []

    def counted(chart: Chart) -> Figure:
        drawn.append(chart.name)
        return draw(chart)

    monkeypatch.setattr("hessium.report.page.draw", counted)
    names = ("a", "b", "c", "d", "e")
    page = Report(RunDirectory.create(tmp_path))
    for count in range(1, 6):
        fill(tmp_path, names[count - 1 : count])
        path = page.write()
        assert len(drawn) == count
    assert path.read_bytes() == write_report(RunDirectory.open(tmp_path)).read_bytes()
    # what has changed is drawn again, and nothing else
    drawn.clear()
    summary = (tmp_path / "summary.json").read_text()
    (tmp_path / "summary.json").write_text(summary.replace("The edge comes", "It comes", 1))
    page.write()
    assert len(drawn) == 1


def test_the_same_summary_gives_the_same_page(tmp_path: Path) -> None:
    run = fill(tmp_path)
    first = write_report(run).read_bytes()
    assert write_report(RunDirectory.open(tmp_path)).read_bytes() == first

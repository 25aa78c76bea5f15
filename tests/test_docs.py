"""The sources of the documentation: links that lead somewhere, names that exist, enough figures.

`make docs` builds the pages with warnings as errors and checks the links of the result as well.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import hessium as hs

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
BUILT = (DOCS / "_build", DOCS / "gallery")
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
NAME = re.compile(r"\bhs\.([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)")
SUFFIXES = {"html", "hessium", "csv"}


def sources() -> list[Path]:
    pages = [one for one in DOCS.rglob("*.md") if not any(b in one.parents for b in BUILT)]
    return [*sorted(pages), *sorted(ROOT.glob("*.md"))]


def links(page: Path) -> Iterator[str]:
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    for found in LINK.finditer(text):
        yield found[1] or found[2]


def anchors(page: Path) -> set[str]:
    """Of the headings, as the forge and MyST make them, and all labels."""
    heads = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return labels() | {
        re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads
    }


def labels() -> set[str]:
    """Targets of MyST, which every page reaches by their names."""
    found = (re.findall(r"^\((\S+)\)=$", page.read_text(), re.MULTILINE) for page in sources())
    return {label for one in found for label in one}


def dead(page: Path, link: str) -> bool:
    if link.startswith(("http://", "https://", "mailto:")):
        return False
    path, _, anchor = link.partition("#")
    target = page if not path else (page.parent / path).resolve()
    if not target.exists() and not path.endswith((".md", ".png")):
        target = target.with_suffix(".md")
    return not target.exists() or (bool(anchor) and anchor not in anchors(target))


def test_no_link_is_dead() -> None:
    pages = sources()
    assert len(pages) > 30
    assert sum(1 for page in pages for _ in links(page)) > 70
    found = [(page.name, link) for page in pages for link in links(page) if dead(page, link)]
    assert found == []


def test_a_dead_link_is_seen() -> None:
    """Negative control."""
    assert dead(DOCS / "index.md", "howto/nothing.md")
    assert dead(DOCS / "index.md", "conventions.md#no-such-heading")
    assert not dead(DOCS / "index.md", "conventions.md")


def test_every_page_is_in_a_table_of_contents() -> None:
    listed = {DOCS / "index.md"}
    for page in DOCS.rglob("*.md"):
        for tree in re.findall(r"```{toctree}\n(.*?)```", page.read_text(), re.DOTALL):
            entries = [line for line in tree.splitlines() if line and line[0] != ":"]
            listed |= {(page.parent / entry).with_suffix(".md") for entry in entries}
        parts = re.findall(r"```{include} (.+)", page.read_text())  # of that page
        listed |= {page.parent / part for part in parts}
    pages = {page for page in sources() if DOCS in page.parents}
    assert pages - listed == set()


# not the changelog, which names what was removed, and the vision, which names what is planned
CURRENT = [page for page in sources() if page.name not in ("CHANGELOG.md", "VISION.md")]


@pytest.mark.parametrize("page", CURRENT, ids=lambda page: str(page.relative_to(ROOT)))
def test_names_that_pages_mention_exist(page: Path) -> None:
    missing = [name for name in NAME.findall(page.read_text()) if not exists(name)]
    assert missing == []


def exists(name: str) -> bool:
    thing: Any = hs
    path = "hessium"
    for part in name.split("."):
        path = f"{path}.{part}"
        if hasattr(thing, part):
            thing = getattr(thing, part)
            continue
        if isinstance(thing, type):  # an attribute of results, set when one is made
            return True
        try:
            thing = importlib.import_module(path)
        except ImportError:
            return False
    return True


def test_the_gallery() -> None:
    scripts = sorted((DOCS / "figures").glob("plot_*.py"))
    assert len(scripts) >= 16
    for script in scripts:
        title, line, *_ = script.read_text().removeprefix('"""').lstrip("\n").splitlines()
        assert len(line) >= len(title), script.name
        assert set(line) == {"="}, script.name

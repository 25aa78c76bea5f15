"""Check the built documentation: no dead link, nothing from the network, no formula left as LaTeX.

`make docs` runs it on docs/_build/html.
"""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlparse

ROOT = Path(__file__).resolve().parents[1] / "docs" / "_build" / "html"
LOADED = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src"}
KINDS = ("stylesheet", "icon", "preload", "prefetch")  # of <link>, which are fetched


class Page(HTMLParser):
    """Anchors, links and loaded files of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.formulas = 0  # as LaTeX, for a script to draw
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what the tag says."""
        found = dict(attrs)
        self.formulas += "math notranslate" in (found.get("class") or "")
        self.anchors.update(one for one in (found.get("id"), found.get("name")) if one)
        if tag == "a" and found.get("href"):
            self.links.append(found["href"] or "")
        address = found.get(LOADED.get(tag, ""))
        if address and (tag != "link" or any(kind in (found.get("rel") or "") for kind in KINDS)):
            self.loaded.append(address)


def main(root: Path = ROOT) -> int:
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in sorted(root.rglob("*.html"))}
    problems: list[str] = []
    for path, page in pages.items():
        where = path.relative_to(root)
        for address in page.loaded:
            if urlparse(address).netloc:
                problems.append(f"{where} loads {address} from the network")  # noqa: PERF401
        for address in (*page.links, *page.loaded):
            problems += [f"{where}: {one}" for one in dead(address, path, pages)]
        if page.formulas:
            problems.append(f"{where} has {page.formulas} formulas that need a script")
    print(f"site: {len(pages)} pages, {sum(len(p.links) for p in pages.values())} links")
    for one in problems:
        print(f"  {one}")
    return int(bool(problems) or not pages)


def dead(address: str, path: Path, pages: dict[Path, Page]) -> list[str]:
    """Why an internal link leads nowhere; nothing for one that is fine, or leads outside."""
    parts = urlparse(address)
    if parts.scheme or parts.netloc:
        return []
    target = path if not parts.path else (path.parent / unquote(parts.path)).resolve()
    if not target.exists():
        return [f"{address} does not exist"]
    anchor = unquote(parts.fragment)
    if anchor and target in pages and anchor not in pages[target].anchors:
        return [f"{address} has no such anchor"]
    return []


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:])))

"""Links between the pages and the API reference, in both directions.

A literal such as `hs.trace` or `hs.trace(H)` becomes a link to its entry. Below an entry stand the
pages that use the name, in a sentence or in code.
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.transforms import SphinxTransform

NAME = re.compile(r"(?:hs|hessium)\.([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)")
LITERAL = re.compile(NAME.pattern + r"(?:\(.*\))?")
MOST = 6  # pages listed below an entry
GUIDES = ("tutorials/", "howto/", "lectures/", "gallery/")


class LinkLiterals(SphinxTransform):
    """Turn names of the API in running text into links, and note where they occur."""

    default_priority = 450

    def apply(self, **options: Any) -> None:
        page = self.env.docname
        uses = self.env.__dict__.setdefault("hessium_uses", defaultdict(set))
        for literal in list(self.document.findall(nodes.literal)):
            found = LITERAL.fullmatch(literal.astext())
            if found is None or isinstance(literal.parent, (nodes.reference, pending_xref)):
                continue
            target = f"hessium.{found[1]}"
            uses[page].add(target)
            link = pending_xref(
                "", refdomain="py", reftype="obj", reftarget=target, refdoc=page, refexplicit=True
            )
            literal.replace_self(link)
            link += literal
        for block in self.document.findall(nodes.literal_block):
            uses[page].update(f"hessium.{name}" for name in NAME.findall(block.astext()))


def used_in(app: Any, tree: nodes.document, page: str) -> None:
    """Below each entry of the reference, the guides that use it."""
    if not page.startswith("api/"):
        return
    uses = getattr(app.env, "hessium_uses", {})
    for signature in list(tree.findall(lambda n: n.tagname == "desc_signature")):
        names = [one for one in signature.get("ids", []) if one.startswith("hessium.")]
        guides = sorted(
            other
            for other, targets in uses.items()
            if other.startswith(GUIDES) and targets.intersection(names)
        )
        if not guides or signature.parent.parent.tagname == "desc_content":
            continue
        paragraph = nodes.paragraph("", "Used in: ", classes=["used-in"])
        for number, other in enumerate(guides[:MOST]):
            if number:
                paragraph += nodes.Text(", ")
            link = app.builder.get_relative_uri(page, other)
            title = app.env.titles[other].astext()
            paragraph += nodes.reference("", title, refuri=link, internal=True)
        signature.parent[-1] += paragraph


def merged(app: Any, env: Any, pages: set[str], other: Any) -> None:
    """Of a parallel reader."""
    env.__dict__.setdefault("hessium_uses", defaultdict(set)).update(
        {page: other.hessium_uses[page] for page in pages if page in other.hessium_uses}
    )


def purged(app: Any, env: Any, page: str) -> None:
    """A page that is read again."""
    env.__dict__.get("hessium_uses", {}).pop(page, None)


def setup(app: Any) -> dict[str, bool]:
    app.add_transform(LinkLiterals)
    app.connect("env-purge-doc", purged)
    app.connect("env-merge-info", merged)
    app.connect("doctree-resolved", used_in)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

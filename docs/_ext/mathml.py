"""Formulas as MathML in the pages: no script, no font and no network is needed."""

from __future__ import annotations

import html
import re
from typing import Any

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.util import logging

logger = logging.getLogger(__name__)
_KEYWORD = re.compile(r"<m(?:i|o|text)[^>]*>\\[A-Za-z]+")  # what the converter does not know


def mathml(latex: str, display: str, place: Any = None) -> str:
    """The formula; warns about commands without a translation."""
    text = latex.strip().replace(r"\rvert", "|").replace(r"\lvert", "|")
    text = text.replace(r"\lVert", r"\|").replace(r"\rVert", r"\|")
    try:
        made = convert(text, display=display)
    except Exception as error:
        logger.warning("formula %r: %s", latex, error, location=place)
        return f"<code>{html.escape(latex)}</code>"
    if _KEYWORD.search(made):
        logger.warning("formula %r: a command without MathML", latex, location=place)
    alternative = html.escape(" ".join(latex.split()), quote=True)
    return made.replace("<math ", f'<math alttext="{alternative}" ', 1)


def visit_math(self: Any, node: nodes.Node) -> None:
    self.body.append(mathml(node.astext(), "inline", node))
    raise nodes.SkipNode


def visit_displaymath(self: Any, node: nodes.Node) -> None:
    text = node.astext()
    if r"\\" in text and r"\begin" not in text:
        text = rf"\begin{{align*}}{text}\end{{align*}}"
    self.body.append(f'<div class="math">{mathml(text, "block", node)}</div>')
    raise nodes.SkipNode


def setup(app: Any) -> dict[str, bool]:
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_displaymath, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}

"""Sphinx configuration: warnings are errors (`make docs`)."""

import re
import sys
from importlib.metadata import version as _version
from pathlib import Path

project = "hessium"
author = copyright = "The hessium developers"
release = version = _version("hessium")
sys.path.insert(0, str(Path(__file__).parent / "_ext"))
extensions = [
    "myst_nb",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "api_links",
    "mathml",
]
html_math_renderer = "mathml"
html_static_path = ["_static"]
html_css_files = ["hessium.css"]
autosummary_generate = False
myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3  # links to headings of other pages
html_theme = "furo"
html_title = f"hessium {release}"
exclude_patterns = [
    "_build",
    "benchmarks",
    "figures",
    "gallery/*.py",
    "gallery/*.ipynb",
    "sg_execution_times.rst",
]
sphinx_gallery_conf = {
    "examples_dirs": "figures",
    "gallery_dirs": "gallery",
    "reference_url": {"hessium": None},  # names in the code are links
    "download_all_examples": False,
    "show_memory": False,
    "min_reported_time": 1e9,
    "write_computation_times": False,
    "plot_gallery": True,
    "capture_repr": (),
}
suppress_warnings = ["config.cache"]
autodoc_typehints = "description"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": True}
napoleon_google_docstring = True
nb_execution_mode = "cache"
nb_execution_raise_on_error = True
nb_execution_timeout = 120  # seconds a cell, on a machine that does other work as well


def _restructured(app, what, name, obj, options, lines) -> None:  # type: ignore[no-untyped-def]
    """Docstrings write formulas, tables and |bars| as the pages do; reStructuredText does not."""
    text = re.sub(
        r"(?:^[ \t]*\|.*\|[ \t]*\n){3,}", _table, "\n".join([*lines, ""]), flags=re.MULTILINE
    )
    text = re.sub(
        r"(\$\$.+?\$\$|\$.+?\$|`[^`]+`)|\|", lambda m: m[1] or r"\|", text, flags=re.DOTALL
    )
    text = re.sub(r"`([^`]+)`", r"``\1``", text)
    text = re.sub(r"\$\$(.+?)\$\$", _display, text, flags=re.DOTALL)
    text = re.sub(r"\$(.+?)\$", _inline, text, flags=re.DOTALL)
    lines[:] = text.split("\n")


def _table(found: re.Match[str]) -> str:
    head, _, *body = (line.strip("| \t").split("|") for line in found[0].splitlines())
    rows = ("   * - " + "\n     - ".join(cell.strip() for cell in row) for row in (head, *body))
    return "\n".join(["", ".. list-table::", "   :header-rows: 1", "", *rows, "", ""])


def _inline(found: re.Match[str]) -> str:
    return f":math:`{' '.join(found[1].split())}`"


def _display(found: re.Match[str]) -> str:
    formula = " ".join(found[1].split()).rstrip(",. ")
    return f"\n\n.. math::\n\n   {formula}\n\n"


def setup(app) -> None:  # type: ignore[no-untyped-def]
    """Convert before napoleon reads the sections."""
    app.connect("autodoc-process-docstring", _restructured, priority=100)

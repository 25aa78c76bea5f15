"""Sphinx configuration: warnings are errors (`make docs`)."""

import re
from importlib.metadata import version as _version

project = "hessium"
author = copyright = "The hessium developers"
release = version = _version("hessium")
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.mathjax"]
myst_enable_extensions = ["dollarmath", "amsmath"]
html_theme = "furo"
html_title = f"hessium {release}"
exclude_patterns = ["_build"]
autodoc_typehints = "description"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": True}
napoleon_google_docstring = True
nb_execution_mode = "cache"
nb_execution_raise_on_error = True


def _mathematics(app, what, name, obj, options, lines) -> None:  # type: ignore[no-untyped-def]
    """Docstrings write formulas between dollars, as the pages do; reStructuredText wants roles."""
    text = re.sub(r"`([^`]+)`", r"``\1``", "\n".join(lines))
    text = re.sub(r"\$\$(.+?)\$\$", _display, text, flags=re.DOTALL)
    text = re.sub(
        r"\$(.+?)\$", lambda m: f":math:`{' '.join(m[1].split())}`", text, flags=re.DOTALL
    )
    lines[:] = text.split("\n")


def _display(found: re.Match[str]) -> str:
    formula = " ".join(found[1].split()).rstrip(",. ")
    return f"\n\n.. math::\n\n   {formula}\n\n"


def setup(app) -> None:  # type: ignore[no-untyped-def]
    """Convert before napoleon reads the sections."""
    app.connect("autodoc-process-docstring", _mathematics, priority=100)

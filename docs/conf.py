"""Sphinx configuration: warnings are errors (`make docs`)."""

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

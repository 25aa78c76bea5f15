"""Packages that a test file needs and that are imported with its first test, not when it is found.

Every process of the suite collects all files, and one of them runs these tests.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

import pytest


class _Package:
    """Attributes of a package; pytest asks every object of a file for private ones."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(import_module(self._name), name)


def late(package: str, *others: str) -> Any:
    """The package, imported at its first use; the file is skipped where one is not installed."""
    for name in (package, *others):
        if find_spec(name) is None:
            pytest.skip(f"{name} is not installed", allow_module_level=True)
    return _Package(package)

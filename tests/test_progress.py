"""Progress bars in a notebook."""

from __future__ import annotations

import sys
import types
from typing import Any

import pytest
import torch

import hessium as hs
from hessium.errors import InputError


class Shown:
    """What IPython would show, and how often it is drawn again."""

    def __init__(self) -> None:
        self.pages: list[str] = []
        self.displays = 0

    def display(self, page: str, display_id: bool) -> Shown:
        assert display_id
        self.displays += 1
        self.pages.append(page)
        return self

    def update(self, page: str) -> None:
        self.pages.append(page)


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Shown:
    shown = Shown()
    package: Any = types.ModuleType("IPython")
    package.display = types.SimpleNamespace(HTML=str, display=shown.display)
    monkeypatch.setitem(sys.modules, "IPython", package)
    return shown


def test_one_output_with_a_bar_for_each_kind_of_work(shown: Shown) -> None:
    bars = hs.progress.notebook()
    for done in range(1, 101):
        bars(done, 100, "products")
    bars(1, 1, "a < b")
    assert shown.displays == 1
    assert len(shown.pages) < 20  # not one for each product
    assert '<progress value="100" max="100"></progress> 100 of 100' in shown.pages[-1]
    assert "a &lt; b" in shown.pages[-1]


def test_it_is_a_callback_of_any_function(shown: Shown) -> None:
    matrix = torch.diag(torch.arange(1.0, 200.0, dtype=torch.float64))
    hs.eigenpairs(matrix, 2, progress=hs.progress.notebook())
    assert shown.displays == 1


def test_without_ipython(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "IPython", None)
    with pytest.raises(InputError, match="progress: IPython is not installed"):
        hs.progress.notebook()

"""Every public name has an example in its docstring, and every example runs.

The examples begin with the lines on the first page of the API reference, which a reader sees.
"""

from __future__ import annotations

import copy
import doctest
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pytest

import hessium as hs

API = Path(__file__).parents[1] / "docs" / "api"
DIRECTIVE = re.compile(r"^\.\. auto(?:class|function|method):: (\S+)$", re.MULTILINE)
FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
SLOW = {"hessium.Audit", "hessium.compare.Assumptions"}
NOT_RUN = {
    "hessium.problem.deepxde.risk_of",  # needs DeepXDE; tests/problem/test_deepxde.py
    "hessium.progress.notebook",  # needs IPython; tests/test_progress.py
}


def documented() -> list[str]:
    return [
        name for page in sorted(API.glob("*.md")) for name in DIRECTIVE.findall(page.read_text())
    ]


def found(name: str) -> Any:
    """The object, also where a module has the same name."""
    thing: Any = hs
    for part in name.split(".")[1:]:
        thing = getattr(thing, part, None) or importlib.import_module(f"{thing.__name__}.{part}")
    return thing


def examples(thing: Any, name: str) -> list[doctest.Example]:
    return doctest.DocTestParser().get_examples(inspect.getdoc(thing) or "", name)


def public() -> Iterator[tuple[str, Any]]:
    for name in documented():
        yield name, found(name)


@pytest.fixture(scope="module")
def first_lines() -> dict[str, Any]:
    """The names that the first page of the reference defines."""
    code = re.search(r"```python\n(.*?)```", (API / "index.md").read_text(), re.DOTALL)
    assert code is not None
    names: dict[str, Any] = {}
    exec(code[1], names)
    return names


@pytest.fixture
def names(first_lines: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A copy of them; an example may train the model."""
    model = first_lines["model"]
    state = copy.deepcopy(model.state_dict())
    yield dict(first_lines)
    model.load_state_dict(state)
    model.zero_grad()


def test_the_reference_has_every_public_name() -> None:
    things = [thing for _, thing in public()]
    missing = [
        name
        for name in dir(hs)
        if not inspect.ismodule(getattr(hs, name)) and getattr(hs, name) not in things
    ]
    assert missing == []
    assert len(things) == len({id(thing) for thing in things}), "a name is documented twice"


def test_every_public_name_has_an_example() -> None:
    assert [name for name, thing in public() if not examples(thing, name)] == []
    assert len(documented()) > 150


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if name in SLOW else ())
        for name in documented()
        if name not in NOT_RUN
    ],
)
def test_examples_run(name: str, names: dict[str, Any]) -> None:
    mpl.use("Agg")
    thing = found(name)
    test = doctest.DocTest(examples(thing, name), names, name, None, None, None)
    told: list[str] = []
    result = doctest.DocTestRunner(optionflags=FLAGS, verbose=False).run(test, out=told.append)
    assert result.failed == 0, "".join(told)
    assert result.attempted > 0


def test_an_example_that_is_wrong_fails(names: dict[str, Any]) -> None:
    """Negative control."""
    wrong = doctest.DocTestParser().get_doctest(">>> H.shape\n(13, 14)", names, "wrong", None, None)
    assert doctest.DocTestRunner(verbose=False).run(wrong, out=lambda _: None).failed == 1

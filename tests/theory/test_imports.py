"""No module of the theory imports itself through others, not even inside a function."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import hessium.theory

ROOT = Path(hessium.theory.__file__).parent


def imports(source: str, modules: set[str]) -> set[str]:
    """Modules of `modules` that any import statement of a source names."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            names |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names & modules


def test_modules_of_the_theory_form_no_circle() -> None:
    files = {
        ".".join(("hessium", "theory", *path.relative_to(ROOT).with_suffix("").parts)): path
        for path in ROOT.rglob("*.py")
        if path.name != "__init__.py"
    }
    modules = {name: imports(path.read_text(), set(files)) for name, path in files.items()}
    assert len(modules) > 30
    assert "hessium.theory.laws.law" in modules["hessium.theory.laws.levy"]
    TopologicalSorter(modules).prepare()


def test_a_circle_through_a_function_is_found() -> None:
    inside = imports("def f():\n    from pkg import b\n", {"pkg.a", "pkg.b"})
    with pytest.raises(CycleError):
        TopologicalSorter({"pkg.a": inside, "pkg.b": {"pkg.a"}}).prepare()

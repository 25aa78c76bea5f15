"""The fingerprint of a computation: a stored result is valid as long as it has not changed.

It covers the syntax tree of its module and of every hessium module that this imports, directly or
not, and the versions of the libraries that do the arithmetic. Comments, layout and docstrings do
not count.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
import platform
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PACKAGE = "hessium"
_LIBRARIES = ("torch", "numpy", "scipy", "scikit-learn")


def versions() -> dict[str, str]:
    """Versions of the interpreter, of hessium and of the libraries that compute."""
    found = {"python": platform.python_version()}
    for name in (_PACKAGE, *_LIBRARIES):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


@functools.cache
def fingerprint(module: str) -> str:
    """Hash of the sources behind `module` and of the library versions."""
    digest = hashlib.sha256(repr(sorted(versions().items())).encode())
    for name, source in sorted(_sources(module).items()):
        digest.update(f"\0{name}\0".encode())
        digest.update(_code(source))
    return digest.hexdigest()


@functools.cache  # most experiments share most of their sources
def _code(source: bytes) -> bytes:
    """Hash of the syntax tree without positions and docstrings."""
    tree = ast.parse(source)
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(tree):
        if isinstance(node, documented) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
    return hashlib.sha256(ast.dump(tree).encode()).digest()


def _sources(module: str) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        path = _source_file(name)
        if name in found or path is None:
            continue
        # a lazy package says in its stub what it imports
        files = [path, path.with_suffix(".pyi")]
        found[name] = b"\n".join(file.read_bytes() for file in files if file.is_file())
        waiting += _imports(found[name], name, is_package=path.name == "__init__.py")
    return found


def _source_file(module: str) -> Path | None:
    loaded = sys.modules.get(module)
    if loaded is not None:
        origin = getattr(loaded, "__file__", None)
    else:
        try:
            spec = importlib.util.find_spec(module)
        except (ImportError, ValueError):
            return None
        origin = spec.origin if spec else None
    return Path(origin) if origin and origin.endswith(".py") else None


@functools.cache
def _imports(source: bytes, module: str, is_package: bool) -> tuple[str, ...]:
    return tuple(_imported(source, module, is_package))


def _imported(source: bytes, module: str, is_package: bool) -> Iterator[str]:
    package = module if is_package else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = importlib.util.resolve_name("." * node.level + base, package)
            inner = [f"{base}.{alias.name}" for alias in node.names]
            # modules of the lazy package are imported without what else it names
            modules = base == _PACKAGE and all(map(_source_file, inner))
            names = inner if modules else [base, *inner]
        else:
            continue
        yield from (n for n in names if n == _PACKAGE or n.startswith(_PACKAGE + "."))

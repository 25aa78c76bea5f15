"""Mutation testing: one deliberate error at a time in a function, and the tests that call it.

The process imports the library and collects the tests once. A first run of the tests records which
of them call which function. For each mutant a forked child replaces the code of one function in
memory and runs the tests that call it, the fastest first, until one fails. No file is changed. Type
checks at run time are off, so that a mutant dies only by what a test asserts.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import importlib
import inspect
import json
import math
import os
import random
import resource
import signal
import sys
import time
import tomllib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "hessium"
FAILED = pytest.StashKey[bool]()
RECORDS = ROOT / "build" / "mutants"
PYTEST = ["-q", "-o", "addopts=", "-m", "not slow and not gpu", "-p", "no:cacheprovider"]

_SWAPS: dict[type[ast.AST], tuple[type[ast.AST], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE), ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE), ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.Is: (ast.IsNot,), ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,), ast.NotIn: (ast.In,), ast.And: (ast.Or,), ast.Or: (ast.And,),
    ast.Add: (ast.Sub,), ast.Sub: (ast.Add,), ast.Mult: (ast.Div,), ast.Div: (ast.Mult,),
    ast.FloorDiv: (ast.Mult,), ast.Mod: (ast.Mult,), ast.Pow: (ast.Mult,),
    ast.BitAnd: (ast.BitOr,), ast.BitOr: (ast.BitAnd,),
}  # fmt: skip
_NAMES = {"min": "max", "minimum": "maximum", "any": "all", "ceil": "floor", "argmin": "argmax"}
_NAMES |= {new: old for old, new in _NAMES.items()}


@dataclass(frozen=True)
class Mutant:
    """A module with one changed expression or statement in one function or constant."""

    path: Path
    owner: str  # qualified name of the function or constant
    line: int
    change: str  # the lines concerned, with {before => after}
    source: str
    constant: bool

    @property
    def name(self) -> str:
        """Place and change, without the line number, which other changes would move."""
        return f"{self.path.relative_to(SOURCE)} {self.owner}: {self.change}"


def variants(node: ast.AST) -> Iterator[str]:
    """Source text of the mutants of one node."""

    def text(kind: Any, **changed: Any) -> str:
        fields = {name: getattr(node, name, None) for name in kind._fields} | changed
        return f"({ast.unparse(kind(**fields))})"

    match node:
        case ast.Compare():
            for i, op in enumerate(node.ops):
                for swap in _SWAPS.get(type(op), ()):
                    yield text(ast.Compare, ops=[*node.ops[:i], swap(), *node.ops[i + 1 :]])
        case ast.BinOp() | ast.BoolOp():
            for swap in _SWAPS.get(type(node.op), ()):
                yield text(type(node), op=swap())
        case ast.UnaryOp(op=ast.Not() | ast.USub() | ast.Invert()):
            yield f"({ast.unparse(node.operand)})"
        case ast.Constant(value=bool()):
            yield str(not node.value)
        case ast.Constant(value=int()):
            yield str(int(ast.unparse(node), 0) + 1)
        case ast.Constant(value=float()):
            yield repr(2 * float(ast.unparse(node)) or 1.0)
        case ast.Call(func=ast.Name(id=name)) if name in _NAMES:
            yield text(ast.Call, func=ast.Name(_NAMES[name]))
        case ast.Call(func=ast.Attribute(value=value, attr=name)) if name in _NAMES:
            yield text(ast.Call, func=ast.Attribute(value, _NAMES[name]))
        case ast.AugAssign():
            for swap in _SWAPS.get(type(node.op), ()):
                new: Any = swap()
                yield ast.unparse(ast.AugAssign(node.target, new, node.value))
            yield "pass"
        case ast.Raise() | ast.Continue() | ast.Break():
            yield "pass"
        case ast.Expr(value=ast.Call()):
            yield "pass"


def sites(node: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    """Nodes below `node` with their mutants; annotations, decorators and messages are left out."""
    yield from ((node, text) for text in variants(node))
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list") or isinstance(node, ast.JoinedStr):
            continue
        for child in value if isinstance(value, list) else [value]:
            if not isinstance(child, ast.AST):
                continue
            if isinstance(child, ast.Assign) and ast.unparse(child.targets[0]) == "msg":
                continue
            if name == "test" and isinstance(child, ast.Name | ast.Attribute | ast.Call):
                yield child, f"(not {ast.unparse(child)})"
            if isinstance(node, ast.If) and isinstance(child, ast.Return) and name == "body":
                yield child, "pass"
            yield from sites(child)


def owners(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, ast.AST]]:
    """Functions, methods and constants of a module with their qualified names."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef):
            yield from owners(node, f"{node.name}.")
        elif isinstance(node, ast.FunctionDef) and node.name != "__repr__":
            yield prefix + node.name, node
        elif isinstance(node, ast.Assign) and not prefix and isinstance(node.value, ast.Constant):
            yield ast.unparse(node.targets[0]), node


def mutants_of(path: Path) -> Iterator[Mutant]:
    """All mutants of a module."""
    source = path.read_bytes()
    lines = source.splitlines(keepends=True)
    starts = [sum(map(len, lines[:i])) for i in range(len(lines) + 1)]
    for owner, function in owners(ast.parse(source)):
        for node, after in sites(function):
            place: Any = node
            first = starts[place.lineno - 1] + place.col_offset
            last = starts[place.end_lineno - 1] + place.end_col_offset
            head, old = source[:first].decode(), source[first:last].decode()
            tail = source[last:].decode()
            before, behind = head.rpartition("\n")[2], tail.partition("\n")[0]
            change = " ".join(f"{before}{{{old} => {after}}}{behind}".split())
            constant = isinstance(function, ast.Assign)
            yield Mutant(path, owner, place.lineno, change, head + after + tail, constant)


def install(mutant: Mutant) -> None:
    """Replace the code and the defaults of the function, or the constant, in this process."""
    place = mutant.path.relative_to(SOURCE.parent).with_suffix("")
    module = importlib.import_module(".".join(place.parts))
    node = dict(owners(ast.parse(mutant.source)))[mutant.owner]
    if isinstance(node, ast.Assign):
        old, new = getattr(module, mutant.owner), ast.literal_eval(node.value)
        for other in [m for name, m in sys.modules.items() if name.startswith("hessium")]:
            if vars(other).get(mutant.owner) is old:
                setattr(other, mutant.owner, new)
        return
    assert isinstance(node, ast.FunctionDef)
    found: Any = module
    for name in mutant.owner.split("."):
        found = inspect.getattr_static(found, name)
    found = getattr(found, "fget", None) or getattr(found, "__func__", found)
    function: FunctionType = inspect.unwrap(found)
    codes = [compile(mutant.source, str(mutant.path), "exec", dont_inherit=True)]
    while (
        codes[-1].co_qualname != mutant.owner
        or codes[-1].co_freevars != function.__code__.co_freevars
    ):
        code = codes.pop()
        codes = [c for c in code.co_consts if isinstance(c, CodeType)] + codes
    function.__code__ = codes[-1]
    node.decorator_list, node.body = [], [ast.Pass(lineno=1, col_offset=0)]
    names = dict(vars(module))
    exec(compile(ast.Module([node], []), str(mutant.path), "exec"), names)
    function.__defaults__ = names[node.name].__defaults__
    function.__kwdefaults__ = names[node.name].__kwdefaults__


@dataclass
class Campaign:
    """A pytest plugin that runs mutants instead of the collected tests."""

    mutants: dict[str, list[Mutant]]  # of each package
    equivalent: set[str]  # names of those that no test can kill
    budget: float  # seconds of tests for each mutant, as long as they took without it
    worst: float = 1.0  # smallest score of a package so far

    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> None:
        """Note failures, also of fixtures."""
        if call.excinfo is not None and not call.excinfo.errisinstance(pytest.skip.Exception):
            item.config.stash[FAILED] = True

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Record the calls of each test file, then try every mutant."""
        session.config.pluginmanager.unregister(name="terminalreporter")  # mutants are reported
        files: dict[Path, list[pytest.Item]] = defaultdict(list)
        for item in session.items:
            files[item.path].append(item)
        calls: dict[str, dict[str, float]] = defaultdict(dict)
        for file, tests in files.items():
            for function, times in recorded(file, tests).items():
                calls[function] |= times
        items = {item.nodeid: item for item in session.items}
        for package, mutants in self.mutants.items():
            ends: Counter[str] = Counter()
            for mutant in mutants:
                known = mutant.name in self.equivalent
                end = "equivalent" if known else trial(mutant, items, calls, self.budget)
                ends[end] += 1
                say(f"{end:10} line {mutant.line:3} of {mutant.name}")
            dead = ends["killed"] + ends["timeout"]
            score = dead / max(1, dead + ends["survived"])
            self.worst = min(self.worst, score)
            say(f"{package}: {len(mutants)} mutants, {dict(ends)}, score {score:.1%}\n")
        return True


def say(line: str) -> None:
    """Print past the capture of pytest."""
    print(line, file=sys.__stderr__, flush=True)


def passes(items: Iterable[pytest.Item]) -> bool:
    """Whether tests pass, run until one fails."""
    for item in items:
        item.config.stash[FAILED] = False
        item.ihook.pytest_runtest_protocol(item=item, nextitem=None)
        if item.config.stash[FAILED]:
            return False
    return True


def recorded(file: Path, items: list[pytest.Item]) -> dict[str, dict[str, float]]:
    """Which functions of the library the tests of a file call, and the time of each test.

    Records are kept by the content of the file: a changed file is run again.
    """
    record = RECORDS / f"{hashlib.sha256(file.read_bytes()).hexdigest()[:16]}.json"

    def work() -> bool:
        calls: dict[str, dict[str, float]] = defaultdict(dict)
        for item in items:
            called: set[tuple[str, str]] = set()

            def trace(frame: Any, event: str, arg: object, called: Any = called) -> None:
                called.add((frame.f_code.co_filename, frame.f_code.co_qualname))

            start = time.process_time()
            sys.settrace(trace)
            passed = passes([item])
            sys.settrace(None)
            if not passed:
                say(f"fails without a mutant: {item.nodeid}")
                return False
            for path, name in called:
                if path.startswith(str(SOURCE)):
                    key = f"{Path(path).relative_to(SOURCE)} {name.partition('.<locals>')[0]}"
                    calls[key][item.nodeid] = time.process_time() - start
        record.parent.mkdir(parents=True, exist_ok=True)
        record.write_text(json.dumps(calls))
        return True

    if not record.exists() and (status := forked(work, 3600)):
        sys.exit(f"{file}: the tests must pass without a mutant; status {status}")
    return dict(json.loads(record.read_text()))


def trial(
    mutant: Mutant,
    items: dict[str, pytest.Item],
    calls: dict[str, dict[str, float]],
    budget: float,
) -> str:
    """How a mutant ends: "killed", "timeout" or "survived"."""
    module = str(mutant.path.relative_to(SOURCE))
    times: dict[str, float] = {}
    for key, tests in calls.items():
        path, _, owner = key.partition(" ")
        # a constant may be read by any function of the module
        if path == module and (owner == mutant.owner or mutant.constant):
            times |= tests
    order = sorted(times.keys() & items.keys(), key=times.__getitem__)
    sums = list(accumulate(times[test] for test in order))
    chosen = [items[test] for test, total in zip(order, sums, strict=True) if total <= budget]
    chosen = chosen or [items[test] for test in order[:1]]

    def work() -> bool:
        install(mutant)
        return passes(chosen)

    return {0: "survived", 1: "killed"}.get(forked(work, 20 + 3 * budget), "timeout")


def forked(work: Callable[[], bool], seconds: float) -> int:
    """0 if `work` in a child process returns true, 1 if false; negative if a limit ended it.

    The limit is that of processor time; sixty times as long by the clock.
    """
    child = os.fork()
    if not child:
        resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(seconds), math.ceil(seconds) + 1))
        signal.alarm(math.ceil(60 * seconds))
        status = 99
        try:
            status = 0 if work() else 1
        except BaseException as error:
            say(repr(error))
        finally:
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status == 99:
        sys.exit("the runner failed")
    return status


def main() -> int:
    """Run a sample of the mutants and print the score of each package."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mutants"]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packages", nargs="*", default=settings["packages"])
    parser.add_argument("--tests", nargs="*", default=settings["tests"], help="folders")
    parser.add_argument("--sample", type=int, default=0, help="mutants a package; 0: all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--match", default="", help="only mutants whose name contains this")
    parser.add_argument("--budget", type=float, default=settings["budget"], help="seconds of tests")
    options = parser.parse_args()
    mutants = {}
    for package in options.packages:
        paths = sorted((SOURCE / package).rglob("*.py"))
        found = [m for path in paths for m in mutants_of(path) if options.match in m.name]
        number = min(options.sample or len(found), len(found))
        mutants[package] = random.Random(options.seed).sample(found, number)
    kinds = tomllib.loads((ROOT / "tools" / "equivalent_mutants.toml").read_text())["kind"]
    equivalent = {name for kind in kinds for name in kind["mutants"]}
    sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]
    os.chdir(ROOT)
    campaign = Campaign(mutants, equivalent, options.budget)
    pytest.main([*PYTEST, *options.tests], plugins=[campaign])
    return int(campaign.worst < settings["score"])


if __name__ == "__main__":
    sys.exit(main())

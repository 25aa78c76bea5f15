"""`hessium example`: the examples that are installed, and their source."""

from __future__ import annotations

import argparse
import difflib
import textwrap
from importlib.resources import files

from hessium.cli.output import answer, result, say
from hessium.errors import InputError
from hessium.examples.catalogue import EXAMPLES


def example(options: argparse.Namespace) -> None:
    """List the examples, or print the source of one.

    Raises:
        InputError: if no example has this name.
    """
    if options.name is None:
        _list()
        return
    name = options.name.removesuffix(".py").removeprefix("hessium.examples.").replace("-", "_")
    if name not in EXAMPLES:
        nearest = difflib.get_close_matches(name, EXAMPLES, n=1)
        advice = f"did you mean {nearest[0]!r}?" if nearest else f"there are {', '.join(EXAMPLES)}"
        msg = f"NAME: {options.name!r} is not an example; {advice}"
        raise InputError(msg)
    source = (files("hessium.examples") / f"{name}.py").read_text(encoding="utf-8")
    answer({"name": name, "source": source})
    result(source.rstrip())


def _list() -> None:
    told = {name: (one.shows, one.command) for name, one in EXAMPLES.items()}
    answer({"examples": [{"name": n, "shows": s, "command": c} for n, (s, c) in told.items()]})
    for name, (shows, command) in told.items():
        result(name)
        say(textwrap.indent(textwrap.fill(shows, 96), " " * 4))
        say(f"    $ {command}")

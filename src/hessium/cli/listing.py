"""`hessium list`: the experiments."""

from __future__ import annotations

import argparse
import shutil
import textwrap

from hessium.cli.output import answer, result, say
from hessium.studies.catalogue import CATALOGUE


def listing(options: argparse.Namespace) -> None:
    """List every experiment with one sentence about its content."""
    answer({"experiments": [{"name": n, "shows": shows} for n, shows in CATALOGUE.items()]})
    width = min(shutil.get_terminal_size().columns, 100) - 4
    for name, shows in CATALOGUE.items():
        result(name)
        say(textwrap.indent(textwrap.fill(shows, width), " " * 4))

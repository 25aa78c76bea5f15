"""`hessium explore`: the interactive page about the laws of Hessians."""

from __future__ import annotations

import argparse

from hessium.cli.output import answer, wrote
from hessium.explore import write_page


def explore(options: argparse.Namespace) -> None:
    """Write the page and say where it is."""
    place = write_page(options.out, options.overlay)
    wrote(page=place)
    answer({"page": str(place)})

"""`hessium slice`: the loss in a plane or on a line through the parameters."""

from __future__ import annotations

import argparse
import json
import time

from hessium.cli.commands import options_named, own_directory, source, write_and_say
from hessium.cli.console import Bars
from hessium.cli.streams import say
from hessium.landscape import loss_slice as sliced
from hessium.plots.surface import write_surface, write_vti
from hessium.profiles.report_page import write_page
from hessium.profiles.slice_page import SlicePage


def loss_slice(options: argparse.Namespace) -> None:
    """Evaluate the loss on a grid and write a page, a surface and a grid for ParaView."""
    target, out, _ = own_directory(options, SlicePage.experiment)
    risk = target.risk()
    start = time.process_time()
    with options_named(), target.blamed("evaluating its risk"), Bars() as bars:
        found = sliced(
            risk,
            options.directions,
            options.extent,
            options.num,
            within=options.within,
            sampling=options.sampling,
            checkpoint=out / "values",
            progress=bars,
            rng=options.seed,
        )
    page = SlicePage(
        found=found, risk=repr(risk), seed=options.seed, seconds=time.process_time() - start
    )
    files = {}
    if len(found.coordinates) == 2:
        files = {
            "surface": str(write_surface(found, out / "surface.html")),
            "grid": str(write_vti(found, out / "slice.vti")),
        }
    if not options.json:
        write_and_say(page, target, out, options.line)
        for name, path in files.items():
            say(f"{name}: {path}")
        return
    name = f"{target.name}() in {target.file.name}"
    html = write_page(page, out, name=name, typed=options.line, more=source(target))
    say(json.dumps({**page.summary(), "page": str(html), **files}, allow_nan=False))

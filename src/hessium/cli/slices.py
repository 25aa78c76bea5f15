"""`hessium slice`: the loss in a plane or on a line through the parameters."""

from __future__ import annotations

import argparse
import functools
import time
from collections.abc import Mapping
from typing import Any

from hessium.cli.commands import export
from hessium.cli.console import Bars
from hessium.cli.output import answer, wrote
from hessium.cli.pages import options_named, own_directory, write_and_say
from hessium.cli.target import Target
from hessium.landscape import find_critical_point
from hessium.landscape import loss_slice as sliced
from hessium.plots.paraview import write_vti, write_vtp
from hessium.plots.surface import write_surface
from hessium.problem import EmpiricalRisk
from hessium.profiles.slice_page import SlicePage
from hessium.runs.run_directory import RunDirectory


def loss_slice(options: argparse.Namespace) -> None:
    """Evaluate the loss on a grid and write a page, a surface and files for ParaView."""
    target, out, _ = own_directory(options, SlicePage.experiment)
    risk = target.risk()
    start = time.process_time()
    with options_named(), target.blamed("evaluating its risk"), Bars() as bars:
        points = tuple(
            find_critical_point(risk, method=method, rng=options.seed, progress=bars)
            for method in dict.fromkeys(options.critical)
        )
        found = sliced(
            risk,
            options.directions,
            options.extent,
            options.num,
            refine=options.refine,
            within=options.within,
            sampling=options.sampling,
            workers=options.workers,
            source=functools.partial(_made, target.place, dict(target.settings)),
            checkpoint=out / "values" / f"{options.directions}-{options.seed}-{target.digest()}",
            progress=bars,
            rng=options.seed,
        )
    page = SlicePage(
        found=found,
        risk=repr(risk),
        seed=options.seed,
        points=points,
        seconds=time.process_time() - start,
    )
    files = {}
    if len(found.coordinates) == 2:
        files["surface"] = write_surface(found, out / "surface.html", points=points)
        files["ParaView_surface"] = write_vtp(found, out / "slice.vtp", points=points)
        if not options.refine:
            files["ParaView_grid"] = write_vti(found, out / "slice.vti")
    html = write_and_say(page, target, out, options.line)
    wrote(**files)
    export(RunDirectory(out), options)
    written = {name.lower(): str(path) for name, path in files.items()}
    answer({**page.summary(), "page": str(html), **written})


def _made(place: str, settings: Mapping[str, Any]) -> EmpiricalRisk:
    """The risk in a worker process."""
    return Target.parse(place, settings).risk()

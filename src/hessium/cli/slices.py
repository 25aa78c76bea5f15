"""`hessium slice`: the loss in a plane or on a line through the parameters."""

from __future__ import annotations

import argparse
import functools
import os
from collections.abc import Mapping
from typing import Any

from hessium.cli.commands import export
from hessium.cli.console import Bars
from hessium.cli.output import answer, wrote
from hessium.cli.pages import options_named, own_directory, write_and_say
from hessium.cli.target import Target
from hessium.errors import InputError
from hessium.landscape import find_critical_point
from hessium.landscape import loss_slice as sliced
from hessium.plots.paraview import write_vti, write_vtp
from hessium.plots.surface import write_surface
from hessium.problem import EmpiricalRisk
from hessium.profiles.slice_page import SlicePage
from hessium.runs.run_directory import RunDirectory


def loss_slice(options: argparse.Namespace) -> None:
    """Evaluate the loss on a grid and write a page, a surface and files for ParaView."""
    _require_search(options)
    target, out, _ = own_directory(options, SlicePage.experiment)
    risk = target.risk()
    start = _spent()
    with options_named(), target.blamed("evaluating its risk"), Bars() as bars:
        points = tuple(
            find_critical_point(
                risk,
                method=method,
                index=options.index if method == "saddle" else None,
                index_tolerance=options.index_tolerance,
                ridge=options.ridge,
                restarts=options.restarts,
                max_steps=options.max_steps,
                rng=options.seed,
                progress=bars,
            )
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
        seconds=_spent() - start,
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


def _require_search(options: argparse.Namespace) -> None:
    """Raise InputError for options of a search that is not asked for."""
    saddle = "saddle" in options.critical
    if saddle != (options.index is not None):
        msg = (
            f"--index: {options.index}, --critical: {options.critical or None}; an index is "
            "required with --critical saddle, and only there"
        )
        raise InputError(msg)
    if options.index_tolerance is not None and not saddle:
        msg = "--index-tolerance: used by --critical saddle only; give both or none"
        raise InputError(msg)
    if options.ridge and not options.critical:
        msg = f"--ridge: {options.ridge}; used by --critical only (the slice is of the loss)"
        raise InputError(msg)


def _spent() -> float:
    """Processor time of this process and of those that it has started and that have ended."""
    return sum(os.times()[:4])


def _made(place: str, settings: Mapping[str, Any]) -> EmpiricalRisk:
    """The risk in a worker process."""
    return Target.parse(place, settings).risk()

"""`hessium slice`: the loss in a plane or on a line through the parameters."""

from __future__ import annotations

import argparse
import dataclasses
import functools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hessium.cli.commands import export
from hessium.cli.console import Bars
from hessium.cli.output import answer, wrote
from hessium.cli.pages import options_named, own_directory, write_and_say, write_silently
from hessium.cli.signals import keeping
from hessium.cli.target import Target
from hessium.errors import InputError
from hessium.landscape import CriticalPoint, find_critical_point
from hessium.landscape import loss_slice as sliced
from hessium.landscape.find import require_searchable
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
    _require_possible(options, risk)
    start = _spent()
    values = out / "values" / f"{options.directions}-{options.seed}-{target.digest()}"
    with (
        options_named(),
        target.blamed("evaluating its risk"),
        keeping(lambda: _kept_of_values(values)),
        Bars() as bars,
    ):
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
            checkpoint=values,
            progress=bars,
            rng=options.seed,
        )
    methods = list(dict.fromkeys(options.critical))
    page = SlicePage(
        found=found,
        risk=repr(risk),
        seed=options.seed,
        pending=tuple(methods),
        seconds=_spent() - start,
    )
    while page.pending:  # what is there is written before each search, which may take long
        write_silently(page, target, out, options.line)
        _write_files(page, out, refined=options.refine)
        point = _searched(options, target, risk, page, out)
        page = dataclasses.replace(
            page,
            points=(*page.points, point),
            pending=page.pending[1:],
            seconds=_spent() - start,
        )
    files = _write_files(page, out, refined=options.refine)
    html = write_and_say(page, target, out, options.line)
    wrote(**files)
    export(RunDirectory(out), options)
    written = {name.lower(): str(path) for name, path in files.items()}
    answer({**page.summary(), "page": str(html), **written})


def _searched(
    options: argparse.Namespace, target: Target, risk: EmpiricalRisk, page: SlicePage, out: Path
) -> CriticalPoint:
    """The critical point of the first method that is pending."""
    method = page.pending[0]
    kept = (
        f"the slice is kept, and its page is {out / 'report.html'}; the search by {method} is not "
        "kept, and the same command begins it again"
    )
    with (
        options_named(),
        target.blamed("evaluating its risk"),
        keeping(lambda: kept),
        Bars() as bars,
    ):
        return find_critical_point(
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


def _write_files(page: SlicePage, out: Path, *, refined: int) -> dict[str, Path]:
    """Write the surface and the files for ParaView of a plane."""
    found, points = page.found, page.points
    if len(found.coordinates) != 2:
        return {}
    files = {
        "surface": write_surface(found, out / "surface.html", points=points),
        "ParaView_surface": write_vtp(found, out / "slice.vtp", points=points),
    }
    if not refined:
        files["ParaView_grid"] = write_vti(found, out / "slice.vti")
    return files


def _kept_of_values(values: Path) -> str:
    """What is kept of a slice that is not finished."""
    if any(values.rglob("state.json")):
        return "finished values of the slice are kept; the same command resumes"
    return "no value of the slice was finished; the same command begins again"


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


def _require_possible(options: argparse.Namespace, risk: EmpiricalRisk) -> None:
    """Raise InputError for a search that is not possible, before the slice is computed."""
    if not options.critical:
        return
    with options_named():
        require_searchable(risk)
    if options.index is not None and not 0 <= options.index <= risk.dim:
        msg = f"--index: {options.index}; 0 <= index <= {risk.dim} (the parameters) is required"
        raise InputError(msg)


def _spent() -> float:
    """Processor time of this process and of those that it has started and that have ended."""
    return sum(os.times()[:4])


def _made(place: str, settings: Mapping[str, Any]) -> EmpiricalRisk:
    """The risk in a worker process."""
    return Target.parse(place, settings).risk()

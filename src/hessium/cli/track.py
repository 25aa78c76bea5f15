"""`hessium track`: curvature along the checkpoints of a training."""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

from hessium.cli.commands import say_page
from hessium.cli.console import Bars
from hessium.cli.streams import say
from hessium.cli.target import Builder, Target
from hessium.errors import InputError
from hessium.profiles.checkpoint_series import CSV, CheckpointSeries, SeriesPlan
from hessium.profiles.report_page import write_page
from hessium.profiles.series_files import files_of
from hessium.profiles.series_measurement import SeriesMeasurement
from hessium.runs.run_directory import RunDirectory
from hessium.training.tracking import tracked


def track(options: argparse.Namespace) -> None:
    """Measure each checkpoint, write the page and the table, whole or as far as it came."""
    try:
        names = None if options.track is None else tracked(options.track, optimizer=True)
        files = files_of(options.checkpoints)
    except InputError as error:
        name, _, rest = str(error).partition(":")
        msg = f"{'--track' if name == 'track' else 'CHECKPOINT'}:{rest}"
        raise InputError(msg) from error
    target = Target.parse(options.target, arguments=1)
    out = options.out or Path("runs") / "track" / f"{target.file.stem}-{target.name}"
    directory = RunDirectory.create(out, options.line)
    directory.require_none_but((CheckpointSeries.experiment,), {"file": target.place})
    plan = SeriesPlan(
        track=names, spectra=options.spectra, threshold=options.threshold, seed=options.seed
    )
    builder = Builder(f"{target.file.resolve()}:{target.name}")
    with target.blamed("measuring its risk"), Bars() as bars:
        measurement = SeriesMeasurement(
            builder, files, plan, directory.store(CheckpointSeries.experiment)
        )
        stopped = measurement.run(options.workers, bars)
    found = measurement.result()
    more = {"file": target.place, "source_sha256": target.digest()}
    name = f"{target.name}() in {target.file.name}"
    page = write_page(found, out, name=name, typed=options.line, more=more)
    found.to_csv(out / CSV)
    if options.json:
        say(json.dumps(_summary(found, page), allow_nan=False))
    else:
        if found.reused:
            say(f"{found.reused} checkpoints from an earlier run")
        say_page(found.findings, page)
        say(f"table: {out / CSV}")
    if stopped is not None:
        raise stopped


def _summary(found: CheckpointSeries, page: Path) -> dict[str, Any]:
    return {
        "page": str(page),
        "table": str(page.parent / CSV),
        "model": dict(found.model),
        "optimizer": found.optimizer,
        "reused": found.reused,
        "missing": found.missing,
        "rows": [{name: _plain(value) for name, value in row.items()} for row in found.rows()],
    }


def _plain(value: Any) -> Any:
    """Null where a number is not known or has no bound."""
    if value == "" or (isinstance(value, float) and not math.isfinite(value)):
        return None
    return value

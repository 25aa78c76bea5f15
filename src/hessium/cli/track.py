"""`hessium track`: curvature along the checkpoints of a training."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

from hessium.cli.arguments import collected
from hessium.cli.console import Bars
from hessium.cli.output import answer, say, wrote
from hessium.cli.pages import write_and_say
from hessium.cli.target import Builder, Target
from hessium.errors import InputError
from hessium.profiles.checkpoint_series import CSV, CheckpointSeries, SeriesPlan
from hessium.profiles.series_files import files_of
from hessium.profiles.series_measurement import SeriesMeasurement
from hessium.runs.run_directory import RunDirectory
from hessium.training.tracking import tracked


def track(options: argparse.Namespace) -> None:
    """Measure each checkpoint, write the page and the table, whole or as far as it came."""
    try:
        names = None
        if options.track is not None:
            names = tracked(options.track, optimizer=True, prior_precision=options.prior)
        files = files_of(options.checkpoints)
    except InputError as error:
        name, _, rest = str(error).partition(":")
        msg = f"{'--track' if name == 'track' else 'CHECKPOINT'}:{rest}"
        raise InputError(msg) from error
    target = Target.parse(options.target, collected(options.settings), positional=1)
    out = options.out or Path("runs") / "track" / target.folder
    directory = RunDirectory.create(out, options.line)
    directory.require_none_but((CheckpointSeries.experiment,), target.config())
    plan = SeriesPlan(
        track=names,
        spectra=options.spectra,
        threshold=options.threshold,
        seed=options.seed,
        prior_precision=options.prior,
    )
    builder = Builder(target.place, tuple(target.settings.items()))
    with target.blamed("measuring its risk"), Bars() as bars:
        measurement = SeriesMeasurement(
            builder, files, plan, directory.store(CheckpointSeries.experiment)
        )
        stopped = measurement.run(options.workers, bars)
    found = measurement.result()
    if found.reused:
        say(f"{found.reused} checkpoints from an earlier run")
    page = write_and_say(found, target, out, options.line)
    found.to_csv(out / CSV)
    wrote(table=out / CSV)
    answer(_summary(found, page))
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

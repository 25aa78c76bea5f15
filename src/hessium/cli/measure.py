"""`hessium spectrum` and `hessium compare`."""

from __future__ import annotations

import argparse

from hessium._text import wrapped
from hessium.cli.console import Bars
from hessium.cli.output import answer, say
from hessium.cli.pages import (
    as_options,
    options_named,
    own_directory,
    require_shared,
    summary,
    write_and_say,
)
from hessium.cli.processes import left
from hessium.profiles import Plan, audit
from hessium.profiles.measurement import Measurement


def spectrum(options: argparse.Namespace) -> None:
    """Measure the user's own risk and write a page about it, whole or as far as it came."""
    target, out, directory = own_directory(options, "spectrum", together=True)
    plan = Plan(
        tol=options.tol,
        max_dim=options.max_dim,
        top=options.top,
        probes=options.probes,
        steps=options.steps,
        residual=options.residual,
        seed=options.seed,
        max_bytes=int(options.memory * 2**30),
    )
    risk = target.risk()
    require_shared(risk, target)
    ranks = risk.ranks
    with options_named(), target.blamed("measuring its risk"):
        measurement = Measurement(
            risk, plan, None if directory is None else directory.store("spectrum")
        )
        if ranks.rank:  # the first process prints and writes
            stopped = measurement.run()
        else:
            if not ranks.alone:
                held = ", ".join(map(str, risk.survey.outputs_by_rank))
                say(f"{ranks.size} processes, with {held} outputs of the data")
            if measurement.forecast():
                say(wrapped(as_options(measurement.forecast()), rest="  "))
            with Bars() as bars:
                stopped = measurement.run(bars)
    if ranks.rank == 0:
        found = measurement.result()
        if found.reused:
            say(f"{found.reused} parts from an earlier run")
        page = write_and_say(found, target, out, options.line)
        answer({**summary(found), "page": str(page)})
    if stopped is not None:
        raise stopped
    left()


def compare(options: argparse.Namespace) -> None:
    """Set the user's own risk beside random matrix theory and write a page about it."""
    target, out, _ = own_directory(options, "compare")
    risk = target.risk()
    with options_named(), target.blamed("comparing its risk"), Bars() as bars:
        found = audit(
            risk,
            alpha=options.alpha,
            rotations=options.rotations,
            seed=options.seed,
            max_dim=options.max_dim,
            progress=bars,
        )
    page = write_and_say(found, target, out, options.line)
    answer({**summary(found), "page": str(page)})

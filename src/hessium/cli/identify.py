"""`hessium identify`: what the data of the user's own model determine."""

from __future__ import annotations

import argparse
import inspect
from typing import Any

from hessium.cli.console import Bars
from hessium.cli.output import answer
from hessium.cli.pages import options_named, own_directory, write_and_say
from hessium.cli.target import Target
from hessium.errors import InputError
from hessium.profiles import identify as identified

# arguments of `hessium.identify` by the options that give them
_ARGUMENTS = {
    "names": "parameter",
    "term": "term",
    "noise": "noise",
    "prior_precision": "prior",
    "units": "unit",
    "inputs": "input",
    "outputs": "output",
    "tol": "tol",
    "k": "next",
    "criterion": "criterion",
    "refits": "refits",
    "budget": "budget",
    "seed": "seed",
}


def identify(options: argparse.Namespace) -> None:
    """Answer the engineer's questions on one page."""
    target, out, _ = own_directory(options, "identify")
    risk, told = target.question()
    arguments = _arguments(options, target, told)
    with options_named(), target.blamed("identifying its risk"), Bars() as bars:
        found = identified(risk, **arguments, progress=bars)
    page = write_and_say(found, target, out, options.line)
    answer({**found.summary(), "page": str(page)})


def _arguments(options: argparse.Namespace, target: Target, told: dict[str, Any]) -> dict[str, Any]:
    """What the function told, with what the command line says before it.

    Raises:
        InputError: for a name that `hessium.identify` does not take as an argument.
    """
    known = set(inspect.signature(identified).parameters) - {"risk", "progress"}
    for name in told:
        if name not in known:
            msg = (
                f"{target.argument}: the dict has {name!r}; arguments of hessium.identify are "
                f"{', '.join(sorted(known))}"
            )
            raise InputError(msg)
    given = {
        argument: getattr(options, option)
        for argument, option in _ARGUMENTS.items()
        if getattr(options, option) is not None
    }
    for argument in ("units", "inputs", "outputs"):
        if argument in given:
            given[argument] = dict(given[argument])
    if isinstance(told.get("units"), dict) and "units" in given:
        given["units"] = {**told["units"], **given["units"]}
    return {**told, **given}

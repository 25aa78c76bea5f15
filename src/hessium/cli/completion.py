"""`hessium completion`: a script for a shell, made from the grammar."""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

from hessium._extras import missing
from hessium.cli.output import answer, result
from hessium.examples.catalogue import EXAMPLES
from hessium.studies.catalogue import CATALOGUE

_FOLDERS = {"out", "run_dir", "store", "overlay"}
_FILES = {"target", "checkpoints"}


def completion(options: argparse.Namespace) -> None:
    """Print the script.

    Raises:
        InputError: if shtab is not installed.
    """
    from hessium.cli.parser import grammar

    try:
        import shtab
    except ImportError as error:
        raise (missing("completion", error) or error) from error
    parser = grammar()
    for action in _actions(parser):
        if action.dest == "names":
            action.choices = list(CATALOGUE)
        elif action.dest == "name":
            action.choices = list(EXAMPLES)
        elif action.dest in _FOLDERS:
            vars(action)["complete"] = shtab.DIRECTORY
        elif action.dest in _FILES or action.type is Path:
            vars(action)["complete"] = shtab.FILE
    script = shtab.complete(parser, shell=options.shell)
    answer({"shell": options.shell, "script": script})
    result(script)


def _actions(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """All actions of a parser and of its commands."""
    own = parser._actions
    below = (one.choices.values() for one in own if isinstance(one, argparse._SubParsersAction))
    return [*own, *itertools.chain.from_iterable(map(_actions, itertools.chain(*below)))]

"""A sweep described in a TOML file."""

from __future__ import annotations

import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any

from hessium.errors import InputError
from hessium.runs.codec import DecodeError, decode, encode
from hessium.studies.critical_points.config import CriticalPointsConfig, tasks

_LARGEST = 2**20


def read_config(path: Path) -> CriticalPointsConfig:
    """The settings in a TOML file; others keep their defaults.

    Raises:
        InputError: if the file cannot be read, or a setting is unknown, of the wrong type or out of
            range.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)
        if len(content) > _LARGEST:
            msg = f"more than {_LARGEST} bytes"
            raise ValueError(msg)
        given = tomllib.loads(content.decode("utf-8"))
    except OSError as error:
        msg = f"CONFIG: {path} cannot be read ({error.strerror})"
        raise InputError(msg) from error
    except (ValueError, RecursionError) as error:  # no TOML, no text, an integer without end
        msg = f"CONFIG: {path} is no TOML ({error})"
        raise InputError(msg) from error
    if not given:
        count = len(tasks(CriticalPointsConfig()))
        msg = (
            f"CONFIG: {path} has no setting, which would be the published sweep of {count} "
            "searches; name one at least, such as targeted = 221 for that sweep"
        )
        raise InputError(msg)
    settings: dict[str, Any] = {f.name: encode(f.default) for f in fields(CriticalPointsConfig)}
    unknown = sorted(set(given) - set(settings))
    if unknown:
        msg = f"CONFIG: {unknown[0]!r} is not a setting; the settings are {', '.join(settings)}"
        raise InputError(msg)
    try:
        return decode(CriticalPointsConfig, settings | given)
    except DecodeError as error:
        msg = f"CONFIG: {str(error).removeprefix('CriticalPointsConfig').lstrip('.: ')}"
        raise InputError(msg) from error

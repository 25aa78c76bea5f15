"""A sweep described in a TOML file."""

from __future__ import annotations

import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any

from hessium.errors import InputError
from hessium.experiments.codec import DecodeError, decode, encode
from hessium.experiments.critical_points.config import CriticalPointsConfig


def read_config(path: Path) -> CriticalPointsConfig:
    """The settings in a TOML file; what is not named keeps its default.

    Raises:
        InputError: if the file cannot be read, or a setting is unknown, of the wrong type or out of
            range.
    """
    try:
        given = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        msg = f"CONFIG: {path} cannot be read ({error.strerror})"
        raise InputError(msg) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        msg = f"CONFIG: {path} is no TOML ({error})"
        raise InputError(msg) from error
    settings: dict[str, Any] = {f.name: encode(f.default) for f in fields(CriticalPointsConfig)}
    unknown = sorted(set(given) - set(settings))
    if unknown:
        msg = f"CONFIG: {unknown[0]!r} is no setting; possible are {', '.join(settings)}"
        raise InputError(msg)
    try:
        return decode(CriticalPointsConfig, settings | given)
    except DecodeError as error:
        msg = f"CONFIG: {str(error).removeprefix('CriticalPointsConfig').lstrip('.: ')}"
        raise InputError(msg) from error

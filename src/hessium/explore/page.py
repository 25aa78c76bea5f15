"""The page: text, style, script and measured spectra in one file."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from hessium._files import write_atomically
from hessium.errors import InputError
from hessium.explore.bundle import bundle, sources
from hessium.explore.overlay import overlays
from hessium.runs.fingerprint import versions

MOST_BYTES = 400_000


def render(runs: Sequence[Path] = ()) -> str:
    """The page with the spectra of run directories.

    Raises:
        InputError: if a directory has no spectrum, or the page becomes larger than 400 kB.
    """
    web = files("hessium.explore") / "web"
    measured = json.dumps(overlays(runs), allow_nan=False, ensure_ascii=False)
    # nothing in it ends the element that holds it
    data = (
        measured.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    )
    parts = {
        "style": (web / "style.css").read_text(encoding="utf-8"),
        "script": bundle(sources(), "main"),
        "version": html.escape(versions()["hessium"]),
        "overlays": data,
    }
    before, *rest = (web / "index.html").read_text(encoding="utf-8").split("{{")
    page = before
    for piece in rest:
        name, _, after = piece.partition("}}")
        page += parts[name] + after
    if (size := len(page.encode())) > MOST_BYTES:
        msg = (
            f"--overlay: {len(runs)} directories make a page of {size} bytes; at most {MOST_BYTES}"
        )
        raise InputError(msg + " are allowed, so give fewer of them")
    return page


def write_page(path: Path | str, runs: Sequence[Path | str] = ()) -> Path:
    """Write the interactive page about the laws of Hessians.

    Args:
        path: of the file; it is replaced if it exists.
        runs: run directories whose spectra are drawn beside the laws.

    Returns:
        The path of the page.

    Raises:
        InputError: if a run directory has no spectrum, the page becomes larger than 400 kB, or the
            file cannot be written.
    """
    place = Path(path)
    if place.is_dir():
        msg = f"--out: {place} is a directory; a file such as {place / 'explore.html'} is required"
        raise InputError(msg)
    page = render([Path(run) for run in runs])
    try:
        write_atomically(place, page.encode())
    except OSError as error:
        msg = f"--out: {place} cannot be written ({error.strerror}); choose another file"
        raise InputError(msg) from error
    return place

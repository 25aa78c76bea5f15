"""A plane slice of a loss as a surface in one HTML file."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from html import escape
from importlib import resources
from pathlib import Path

from hessium._files import write_atomically
from hessium.figures.views.slices import clipped, marks, plane_axes, slice_caption
from hessium.landscape import CriticalPoint
from hessium.landscape.slices import LossSlice


def write_surface(
    found: LossSlice, path: str | os.PathLike[str], *, points: Sequence[CriticalPoint] = ()
) -> Path:
    """Write the loss over the plane as a surface that can be turned.

    Args:
        found: a slice along two directions.
        path: of the HTML file, which needs no other file and no network.
        points: critical points to be marked with their index, where they project into the slice.

    Raises:
        InputError: for a slice along one direction.
        OSError: if the file cannot be written.

    Example:
        >>> import tempfile, pathlib
        >>> from hessium.plots.surface import write_surface
        >>> plane = hs.loss_slice(risk, "random", num=5)
        >>> write_surface(plane, pathlib.Path(tempfile.mkdtemp()) / "surface.html").name
        'surface.html'
    """
    x, y = plane_axes(found)
    values = clipped(found.values)
    low, high = float(values.min()), float(values.max())
    data = {
        "x": x.tolist(),
        "y": y.tolist(),
        "values": values.tolist(),
        "quadratic": clipped(found.quadratic).tolist(),
        "labels": list(found.labels),
        "marks": [
            {"at": mark.at.tolist(), "loss": mark.point.loss, "text": mark.label}
            for mark in marks(found, points)
            if mark.inside
        ],
        "floor": low if low > 0 else max(high, 1e-300) * 1e-6,
    }
    title = f"Loss in the plane of {found.labels[0]} and {found.labels[1]}"
    page = (resources.files("hessium.plots") / "surface.html").read_text(encoding="utf-8")
    text = page.format(
        title=escape(title),
        caption=escape(slice_caption(found)),
        description=escape(f"{title}: from {low:.4g} to {high:.4g}. {slice_caption(found)}"),
        log_state="checked" if found.logarithmic else "",
        # "<" ends no script inside of JSON
        data=json.dumps(data).replace("<", "\\u003c"),
    )
    write_atomically(Path(path), text.encode())
    return Path(path)

"""A plane slice of a loss as a surface in one HTML file."""

from __future__ import annotations

import json
import os
from html import escape
from importlib import resources
from pathlib import Path

from hessium._files import write_atomically
from hessium.figures.views.marks import Mark, Points, clipped, marks
from hessium.figures.views.slices import plane_axes, slice_caption
from hessium.landscape.slices import LossSlice


def write_surface(plane: LossSlice, path: str | os.PathLike[str], *, points: Points = ()) -> Path:
    """Write the loss over the plane as a surface that can be turned.

    Args:
        plane: a slice along two directions.
        path: of the HTML file, which needs no other file and no network.
        points: critical points or parameters, or a mapping from names to them, to be
            marked, where they project into the slice; hollow if they do not lie in it.

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
    x, y = plane_axes(plane)
    values = clipped(plane.values)
    low, high = float(values.min()), float(values.max())
    data = {
        "x": x.tolist(),
        "y": y.tolist(),
        "values": values.tolist(),
        "quadratic": clipped(plane.quadratic).tolist(),
        "labels": list(plane.labels),
        "marks": [
            {
                "at": mark.at.tolist(),
                "loss": mark.loss,
                "text": mark.label,
                "filled": mark.filled,
            }
            for mark in marks(plane, points)
            if mark.inside
        ],
        "floor": low if low > 0 else max(high, 1e-300) * 1e-6,
    }
    title = f"Loss in the plane of {plane.labels[0]} and {plane.labels[1]}"
    page = (resources.files("hessium.plots") / "surface.html").read_text(encoding="utf-8")
    text = page.format(
        title=escape(title),
        caption=escape(slice_caption(plane)),
        description=escape(f"{title}: from {low:.4g} to {high:.4g}. {slice_caption(plane)}"),
        log_state="checked" if plane.logarithmic else "",
        marks=_listed([mark for mark in marks(plane, points) if mark.inside]),
        # "<" ends no script inside of JSON
        data=json.dumps(data).replace("<", "\\u003c"),
    )
    write_atomically(Path(path), text.encode())
    return Path(path)


def _listed(drawn: list[Mark]) -> str:
    """The marks by their numbers in the picture."""
    if not drawn:
        return ""
    kinds = {True: "filled", False: "hollow"}
    items = "".join(f"<li>{escape(m.label)} ({kinds[m.filled]})</li>" for m in drawn)
    return f"<p>Points, at their projections:</p>\n<ol>{items}</ol>"

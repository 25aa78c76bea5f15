"""A plane slice of a loss as a surface in one HTML file, and as a grid for ParaView."""

from __future__ import annotations

import json
import os
from html import escape
from importlib import resources
from pathlib import Path

import numpy as np

from hessium._files import write_atomically
from hessium._typing import FloatArray
from hessium.errors import InputError
from hessium.figures.views.slices import clipped, slice_caption
from hessium.landscape.slices import LossSlice

_LOG_FROM = 100.0  # ratio of the largest to the lowest value, from which heights are logarithmic


def write_surface(found: LossSlice, path: str | os.PathLike[str]) -> Path:
    """Write the loss over the plane as a surface that can be turned.

    Args:
        found: a slice along two directions.
        path: of the HTML file, which needs no other file and no network.

    Raises:
        InputError: for a slice along one direction.
        OSError: if the file cannot be written.
    """
    x, y = _plane(found)
    values = clipped(found.values)
    low, high = float(values.min()), float(values.max())
    data = {
        "x": x.tolist(),
        "y": y.tolist(),
        "values": values.tolist(),
        "quadratic": clipped(found.quadratic).tolist(),
        "labels": list(found.labels),
        "floor": low if low > 0 else max(high, 1e-300) * 1e-6,
    }
    title = f"Loss in the plane of {found.labels[0]} and {found.labels[1]}"
    page = (resources.files("hessium.plots") / "surface.html").read_text(encoding="utf-8")
    text = page.format(
        title=escape(title),
        caption=escape(slice_caption(found)),
        description=escape(f"{title}: from {low:.4g} to {high:.4g}. {slice_caption(found)}"),
        log_state="checked" if low > 0 and high / low > _LOG_FROM else "",
        # "<" ends no script inside of JSON
        data=json.dumps(data).replace("<", "\\u003c"),
    )
    write_atomically(Path(path), text.encode())
    return Path(path)


def write_vti(found: LossSlice, path: str | os.PathLike[str]) -> Path:
    """Write a plane slice as VTK image data (.vti), with the loss and its quadratic model.

    Coordinates are those of the slice. Values that are not finite are written as NaN.

    Args:
        found: a slice along two directions.
        path: of the file.

    Raises:
        InputError: for a slice along one direction.
        OSError: if the file cannot be written.
    """
    x, y = _plane(found)
    left, bottom, dx, dy = (float(v) for v in (x[0], y[0], x[1] - x[0], y[1] - y[0]))
    extent = f"0 {x.size - 1} 0 {y.size - 1} 0 0"
    arrays = {"loss": found.values, "quadratic model": found.quadratic, "distance": found.distances}
    body = "\n".join(
        f'<DataArray type="Float64" Name="{name}" format="ascii">{_numbers(array)}</DataArray>'
        for name, array in arrays.items()
    )
    text = (
        '<?xml version="1.0"?>\n'
        '<VTKFile type="ImageData" version="0.1" byte_order="LittleEndian">\n'
        f'<ImageData WholeExtent="{extent}" Origin="{left!r} {bottom!r} 0" '
        f'Spacing="{dx!r} {dy!r} 1">\n'
        f'<Piece Extent="{extent}"><PointData Scalars="loss">\n{body}\n</PointData></Piece>\n'
        "</ImageData>\n</VTKFile>\n"
    )
    write_atomically(Path(path), text.encode())
    return Path(path)


def _plane(found: LossSlice) -> tuple[FloatArray, FloatArray]:
    if len(found.coordinates) != 2:
        msg = "found: a slice along one direction; two directions are required"
        raise InputError(msg)
    return found.coordinates[0], found.coordinates[1]


def _numbers(array: FloatArray) -> str:
    # x varies fastest
    return " ".join(repr(float(v)) if np.isfinite(v) else "nan" for v in array.T.reshape(-1))

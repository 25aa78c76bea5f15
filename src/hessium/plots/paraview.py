"""A plane slice of a loss for ParaView: as a grid (.vti) and as a surface (.vtp).

Both are VTK's XML formats, with arrays as base64 of little-endian numbers behind their length in
bytes, which also hold values that are not finite.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from hessium._files import write_atomically
from hessium._typing import AnyArray, FloatArray
from hessium.errors import InputError
from hessium.figures.views.marks import Mark, Points, clipped, marks
from hessium.figures.views.slices import plane_axes
from hessium.landscape.slices import LossSlice

_HEIGHT = 0.5  # of the surface, in widths of the slice
_TYPES = {np.dtype("<f8"): "Float64", np.dtype("<i8"): "Int64"}


def write_vti(plane: LossSlice, path: str | os.PathLike[str]) -> Path:
    """Write a plane slice as image data (.vti): loss, quadratic model and distance on the grid.

    Coordinates are those of the slice.

    Args:
        plane: a slice along two directions, not refined.
        path: of the file.

    Raises:
        InputError: for a slice along one direction, or one that is not equidistant.
        OSError: if the file cannot be written.

    Example:
        >>> import tempfile, pathlib
        >>> from hessium.plots.paraview import write_vti
        >>> plane = hs.loss_slice(risk, "random", num=5)
        >>> write_vti(plane, pathlib.Path(tempfile.mkdtemp()) / "slice.vti").name
        'slice.vti'
    """
    x, y = plane_axes(plane)
    steps = [np.diff(axis) for axis in (x, y)]
    if any(not np.allclose(step, step[0]) for step in steps):
        msg = "plane: its points are not equidistant (refine); `write_vtp` writes such a slice"
        raise InputError(msg)
    extent = f"0 {x.size - 1} 0 {y.size - 1} 0 0"
    dx, dy = (float(step[0]) for step in steps)
    body = (
        f'<ImageData WholeExtent="{extent}" Origin="{float(x[0])!r} {float(y[0])!r} 0" '
        f'Spacing="{dx!r} {dy!r} 1">\n<Piece Extent="{extent}">\n'
        f'<PointData Scalars="loss">\n{_arrays(_fields(plane))}</PointData>\n'
        "</Piece>\n</ImageData>\n"
    )
    return _written("ImageData", body, path)


def write_vtp(plane: LossSlice, path: str | os.PathLike[str], *, points: Points = ()) -> Path:
    """Write a plane slice as a surface (.vtp): points, and a quadrangle for each cell of the grid.

    The third coordinate is the loss, or its logarithm where `plane.logarithmic`, shifted and scaled
    to half the width of the slice. The arrays hold loss, quadratic model and distance from the
    centre as they are. Marked points are vertices of their own, at their projections: with their
    distance from the plane (0 on the surface), and the index of critical points (-1 elsewhere).

    Args:
        plane: a slice along two directions, refined or not.
        path: of the file.
        points: critical points or parameters, or a mapping from names to them, to be
            marked, where they project into the slice.

    Raises:
        InputError: for a slice along one direction.
        OSError: if the file cannot be written.

    Example:
        >>> import tempfile, pathlib
        >>> from hessium.plots.paraview import write_vtp
        >>> plane = hs.loss_slice(risk, "random", num=5)
        >>> write_vtp(plane, pathlib.Path(tempfile.mkdtemp()) / "slice.vtp").name
        'slice.vtp'
    """
    x, y = plane_axes(plane)
    values = clipped(plane.values)
    marked = [mark for mark in marks(plane, points) if mark.inside]
    losses = np.array([mark.loss for mark in marked])
    heights = _heights(plane, np.r_[_flat(values), losses]) * _HEIGHT * (x[-1] - x[0])
    grid = [_flat(array) for array in np.meshgrid(x, y, indexing="ij")]
    flat = [np.r_[g, [mark.at[i] for mark in marked]] for i, g in enumerate(grid)]
    fields = _fields(plane)
    more = {"loss": losses, "quadratic model": np.full(len(marked), np.nan)}
    more["distance"] = np.array([mark.from_centre for mark in marked])
    fields = {name: np.r_[array, more[name]] for name, array in fields.items()}
    away = np.array([mark.distance for mark in marked])
    fields["distance from the plane"] = np.r_[np.zeros(x.size * y.size), away]
    index = np.array([_index(mark) for mark in marked], dtype="<i8")
    number = np.arange(x.size * y.size).reshape(y.size, x.size)
    corners = (number[:-1, :-1], number[:-1, 1:], number[1:, 1:], number[1:, :-1])
    cells = np.stack([corner.reshape(-1) for corner in corners], axis=1)
    vertices = number.size + np.arange(len(marked))[:, None]
    body = (
        f'<PolyData>\n<Piece NumberOfPoints="{len(heights)}" NumberOfVerts="{len(marked)}" '
        f'NumberOfLines="0" NumberOfStrips="0" NumberOfPolys="{len(cells)}">\n'
        f'<PointData Scalars="loss">\n{_arrays(fields)}'
        f"{_arrays({'index': np.r_[np.full(number.size, -1), index]})}</PointData>\n"
        f"<Points>\n{_array('points', np.stack([*flat, heights], axis=1))}</Points>\n"
        f"<Verts>\n{_cells(vertices)}</Verts>\n<Polys>\n{_cells(cells)}</Polys>\n"
        "</Piece>\n</PolyData>\n"
    )
    return _written("PolyData", body, path)


def _index(mark: Mark) -> int:
    known = mark.point is not None and mark.point.kind in ("critical", "gradient-flat")
    return mark.point.index.value if known and mark.point is not None else -1


def _fields(found: LossSlice) -> dict[str, FloatArray]:
    named = {"loss": found.values, "quadratic model": found.quadratic, "distance": found.distances}
    return {name: _flat(array) for name, array in named.items()}


def _flat(array: FloatArray) -> FloatArray:
    """Points of the grid with x fastest."""
    return array.T.reshape(-1)


def _heights(found: LossSlice, values: FloatArray) -> FloatArray:
    """From 0 to 1 over the surface; points beside it with a loss outside of its range at an end."""
    drawn = np.log(np.maximum(values, np.finfo(float).tiny)) if found.logarithmic else values
    own = drawn[: found.values.size]
    low, high = float(own.min()), float(own.max())
    return np.asarray(np.clip((drawn - low) / (high - low if high > low else 1.0), 0.0, 1.0))


def _cells(corners: AnyArray) -> str:
    ends = corners.shape[1] * (1 + np.arange(len(corners)))
    return _arrays({"connectivity": corners.reshape(-1), "offsets": ends})


def _arrays(named: Mapping[str, AnyArray]) -> str:
    return "".join(_array(name, array) for name, array in named.items())


def _array(name: str, array: AnyArray) -> str:
    numbers = np.ascontiguousarray(array, dtype="<f8" if array.dtype.kind == "f" else "<i8")
    content = numbers.tobytes()
    text = base64.b64encode(np.uint64(len(content)).astype("<u8").tobytes() + content).decode()
    parts = f' NumberOfComponents="{array.shape[1]}"' if array.ndim == 2 else ""
    kind = _TYPES[numbers.dtype]
    return f'<DataArray type="{kind}" Name="{name}"{parts} format="binary">{text}</DataArray>\n'


def _written(kind: str, body: str, path: str | os.PathLike[str]) -> Path:
    text = (
        f'<?xml version="1.0"?>\n<VTKFile type="{kind}" version="1.0" byte_order="LittleEndian" '
        f'header_type="UInt64">\n{body}</VTKFile>\n'
    )
    write_atomically(Path(path), text.encode())
    return Path(path)

"""A slice as a surface for a browser, and as a grid and a surface for ParaView."""

from __future__ import annotations

import base64
import dataclasses
import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import hessium as hs
from hessium.errors import InputError
from hessium.figures.views.marks import Point
from hessium.landscape import CriticalPoint
from hessium.plots.paraview import write_vti, write_vtp
from hessium.plots.surface import write_surface


def made(columns: int = 2, label: str = "a <b>") -> hs.LossSlice:
    x = np.linspace(-1, 1, 5)
    values = np.add.outer(x**2, 2 * x**4)[:, : None if columns == 2 else 1]
    shape = values if columns == 2 else values[:, 0]
    return hs.LossSlice(
        coordinates=(x,) * columns, values=shape, quadratic=shape + 0.1, validity_radius=0.3,
        within=0.1, theta=torch.zeros(3), directions=torch.eye(3)[:, :columns],
        labels=(label,) * columns, trace_share=0.5, trace_share_stderr=0.1, sampling_stderr=None,
    )  # fmt: skip


def test_the_page_holds_the_values_and_needs_no_network(tmp_path: Path) -> None:
    found = made()
    text = write_surface(found, tmp_path / "s.html").read_text()
    data = json.loads(re.search(r"const data = (.*);", text).group(1))  # type: ignore[union-attr]
    np.testing.assert_array_equal(data["values"], found.values)
    np.testing.assert_array_equal(data["quadratic"], found.quadratic)
    assert data["labels"] == ["a <b>"] * 2
    assert data["marks"] == []
    points: list[Point] = [saddle([0.5, -0.5, 0.0]), torch.tensor([0.5, 0.5, 2.0])]
    text = write_surface(found, tmp_path / "s.html", points=points).read_text()
    data = json.loads(re.search(r"const data = (.*);", text).group(1))  # type: ignore[union-attr]
    near, far = data["marks"]
    assert (near["filled"], far["filled"]) == (True, False)
    assert "<li>point 1, 2 from the plane (hollow)</li>" in text
    assert far["text"] == "point 1, 2 from the plane"
    assert (near["loss"], far["loss"]) == (0.75, pytest.approx(0.375))
    assert "a <b>" not in text  # escaped wherever it is markup
    assert not re.search(r"https?://|src=|@import", text)


def saddle(at: list[float]) -> CriticalPoint:
    """Index 1, loss .75."""

    def closure(model: nn.Module) -> Tensor:
        w: Tensor = model.w  # type: ignore[assignment]
        move = w - torch.tensor(at, dtype=torch.float64)
        return move[0] ** 2 + move[1] ** 2 - move[2] ** 2 + 0.75

    model = nn.Module()
    model.w = nn.Parameter(torch.tensor(at, dtype=torch.float64))
    return hs.find_critical_point(hs.EmpiricalRisk.from_closure(model, closure))


def read(path: Path) -> tuple[ET.Element, dict[str, np.ndarray[Any, Any]]]:
    """The piece of a VTK file and its arrays, by the description of the format."""
    root = ET.parse(path).getroot()
    assert root.attrib["header_type"] == "UInt64"
    arrays = {}
    for element in root.iter("DataArray"):
        raw = base64.b64decode(element.text or "")
        assert int.from_bytes(raw[:8], "little") == len(raw) - 8
        kind = {"Float64": "<f8", "Int64": "<i8"}[element.attrib["type"]]
        parts = int(element.attrib.get("NumberOfComponents", 1))
        numbers = np.frombuffer(raw[8:], dtype=kind)
        arrays[element.attrib["Name"]] = numbers.reshape(-1, parts) if parts > 1 else numbers
    piece = next(root.iter("Piece"))
    return piece, arrays


def test_a_grid_for_paraview_has_x_fastest(tmp_path: Path) -> None:
    found = made()
    piece, arrays = read(write_vti(found, tmp_path / "s.vti"))
    assert piece.attrib["Extent"] == "0 4 0 4 0 0"
    image = next(ET.parse(tmp_path / "s.vti").getroot().iter("ImageData"))
    assert image.attrib["Origin"] == "-1.0 -1.0 0"
    assert image.attrib["Spacing"] == "0.5 0.5 1"
    for name, expected in (("loss", found.values), ("quadratic model", found.quadratic)):
        np.testing.assert_array_equal(arrays[name].reshape(5, 5).T, expected)


def test_a_surface_for_paraview_has_a_quadrangle_for_each_cell_and_marked_points(
    tmp_path: Path,
) -> None:
    x, y = np.array([-1.0, -0.5, 0.0, 1.0]), np.array([-1.0, 0.0, 1.0])
    values = np.add.outer(x**2, 2 * y**2) + 0.5
    values[0, 0] = np.inf
    found = dataclasses.replace(made(), coordinates=(x, y), values=values, quadratic=values + 1)
    inside = saddle([0.25, 0.5, 2.0])
    outside = saddle([2.0, 0.0, 0.0])
    piece, arrays = read(write_vtp(found, tmp_path / "s.vtp", points=[inside, outside]))
    counts = {name: int(piece.attrib[f"NumberOf{name}"]) for name in ("Points", "Polys", "Verts")}
    assert counts == {"Points": 13, "Polys": 6, "Verts": 1}
    points = arrays["points"]
    for (px, py, _), loss in zip(points[:12], arrays["loss"], strict=False):
        assert loss == values[list(x).index(px), list(y).index(py)]
    assert points[12, :2].tolist() == [0.25, 0.5]
    assert arrays["index"].tolist() == [-1] * 12 + [1]
    assert arrays["distance from the plane"].tolist() == [0.0] * 12 + [2.0]
    assert arrays["distance"][12] == pytest.approx(np.hypot(0.25, 0.5))
    # heights: half the width of the slice from the lowest to the highest finite loss
    finite = values[np.isfinite(values)]
    heights = (np.minimum(arrays["loss"], finite.max()) - 0.5) / np.ptp(finite)
    np.testing.assert_allclose(points[:, 2], heights, atol=1e-12)
    # the cells tile the rectangle, all turned the same way
    polys = next(piece.iter("Polys"))
    texts = {e.attrib["Name"]: base64.b64decode(e.text or "")[8:] for e in polys}
    corners = np.frombuffer(texts["connectivity"], "<i8").reshape(-1, 4)
    assert np.frombuffer(texts["offsets"], "<i8").tolist() == [4 * i for i in range(1, 7)]
    a, b, c, d = (points[corners[:, i], :2] for i in range(4))
    areas = [np.linalg.det([p, q]) / 2 for p, q in zip(c - a, d - b, strict=True)]
    assert min(areas) > 0
    assert sum(areas) == pytest.approx(4.0)


def test_a_refined_slice_is_no_image(tmp_path: Path) -> None:
    found = dataclasses.replace(made(), coordinates=(np.array([-1, -0.5, 0, 0.25, 1]),) * 2)
    with pytest.raises(InputError, match=r"^plane: .*write_vtp"):
        write_vti(found, tmp_path / "x")


def test_a_line_has_no_surface(tmp_path: Path) -> None:
    for write in (write_surface, write_vti, write_vtp):
        with pytest.raises(InputError, match=r"^plane: .* two directions"):
            write(made(1), tmp_path / "x")

"""A slice as a surface for a browser and as a grid for ParaView."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
import torch

import hessium as hs
from hessium.errors import InputError
from hessium.plots.surface import write_surface, write_vti


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
    assert "a <b>" not in text  # escaped wherever it is markup
    assert not re.search(r"https?://|src=|@import", text)


def test_paraview_reads_the_values_with_x_fastest(tmp_path: Path) -> None:
    found = made()
    root = ET.parse(write_vti(found, tmp_path / "s.vti")).getroot()
    image = root.find("ImageData")
    assert image is not None
    assert image.attrib["WholeExtent"] == "0 4 0 4 0 0"
    assert image.attrib["Origin"] == "-1.0 -1.0 0"
    arrays = {a.attrib["Name"]: a.text or "" for a in image.iter("DataArray")}
    loss = np.array(arrays["loss"].split(), dtype=float).reshape(5, 5)
    np.testing.assert_array_equal(loss.T, found.values)


def test_a_line_has_no_surface(tmp_path: Path) -> None:
    for write in (write_surface, write_vti):
        with pytest.raises(InputError, match="two directions"):
            write(made(1), tmp_path / "x")

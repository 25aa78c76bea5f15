"""States whose vectors several processes wrote, read by any other number of them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from hessium.estimate.share_files import Entry, entry_of, names_in, read
from hessium.linalg.shares import Pieces
from support.fixed_shares import FixedShares

DIM = 11
LAYOUTS: dict[str, list[Pieces]] = {
    "one": [((0, 11),)],
    "two": [((0, 6),), ((6, 11),)],
    "three, one empty": [((0, 6),), ((6, 11),), ((11, 11),)],
    "by parameters": [((0, 2), (4, 7), (9, 9)), ((2, 4), (7, 9), (9, 11))],
}


@pytest.mark.parametrize("written", LAYOUTS)
@pytest.mark.parametrize("wanted", LAYOUTS)
def test_any_processes_read_what_others_wrote(written: str, wanted: str, tmp_path: Path) -> None:
    rows = torch.arange(3.0 * DIM).view(3, DIM)
    matrix = torch.eye(2)
    entry: Entry = ""
    for number in range(len(LAYOUTS[written])):
        shares = FixedShares(LAYOUTS[written], number)
        entry = entry_of("state", shares)
        tensors = {"rows": shares.part(rows).contiguous()}
        if number == 0:
            tensors["matrix"] = matrix
        save_file(tensors, tmp_path / names_in(entry)[number])
    for number in range(len(LAYOUTS[wanted])):
        shares = FixedShares(LAYOUTS[wanted], number)
        found = read(tmp_path, entry, shares, ["matrix"])
        assert torch.equal(found["rows"], shares.part(rows))
        assert torch.equal(found["matrix"], matrix)

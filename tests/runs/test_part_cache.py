"""Parts of a measurement that are stopped in their middle."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from hessium.errors import InputError
from hessium.estimate import eigenpairs
from hessium.runs.experiment import Result
from hessium.runs.part_cache import PartCache, own
from hessium.runs.result_store import CorruptTaskWarning, Store

MATRIX = torch.diag(torch.linspace(-1, 1, 60, dtype=torch.float64) ** 3)


class Blow(BaseException):
    pass


def part(folder: Path | None, blow_at: int | None = None) -> Result:
    def progress(done: int, total: int, what: str) -> None:
        if blow_at is not None and done >= blow_at:
            raise Blow

    found = eigenpairs(
        MATRIX, 3, rng=np.random.default_rng(0), checkpoint=folder, checkpoint_every=0.0,
        progress=progress,
    )  # fmt: skip
    return {"values": np.array(found.values), "products": found.num_matvecs}


def stopped(folder: Path, name: str = "pairs") -> Path:
    """The state that a stopped computation leaves."""
    with pytest.raises(Blow):
        PartCache(Store(folder), {}).resumable(name, {}, lambda state: part(state, 8))
    (state,) = folder.glob("*.checkpoint")
    return state


def test_a_part_goes_on_within_and_leaves_no_state(tmp_path: Path) -> None:
    calm = part(None)
    state = stopped(tmp_path)
    assert (state / "state.json").exists()
    found = PartCache(Store(tmp_path), {}).resumable("pairs", {}, part)
    np.testing.assert_array_equal(found["values"], calm["values"])
    assert found["products"] == calm["products"]
    assert {p.suffix for p in tmp_path.iterdir()} == {".npz"}


@pytest.mark.parametrize("damage", ["of another part", "cut", "empty", "text", "vectors gone"])
def test_a_state_that_is_not_of_this_part_starts_it_again(tmp_path: Path, damage: str) -> None:
    state = stopped(tmp_path)
    document = state / "state.json"
    if damage == "of another part":
        document.write_text(document.read_text().replace('"k": 3', '"k": 4'))
    elif damage == "cut":
        document.write_bytes(document.read_bytes()[:50])
    elif damage == "empty":
        document.write_bytes(b"")
    elif damage == "text":
        document.write_text("[]")
    else:
        for vectors in state.glob("*.safetensors"):
            vectors.unlink()
    with pytest.warns(CorruptTaskWarning, match="starts again"):
        found = PartCache(Store(tmp_path), {}).resumable("pairs", {}, part)
    np.testing.assert_array_equal(found["values"], part(None)["values"])


def test_two_processes_do_not_share_a_state(tmp_path: Path) -> None:
    given: list[Path | None] = []
    with own(tmp_path / "x.checkpoint") as first, own(tmp_path / "x.checkpoint") as second:
        given += [first, second]
    assert given == [tmp_path / "x.checkpoint", None]


def test_states_of_older_code_are_removed_when_all_is_stored(tmp_path: Path) -> None:
    stopped(tmp_path)
    kept = PartCache(Store(tmp_path), {}, code="newer")
    kept.resumable("pairs", {}, part)
    kept.tidy()
    assert {p.suffix for p in tmp_path.iterdir()} == {".npz"}


def test_an_error_of_the_work_itself_is_not_taken_for_a_bad_state(tmp_path: Path) -> None:
    def refuse(state: Path | None) -> Result:
        msg = "loss: no"
        raise InputError(msg)

    stopped(tmp_path)
    with pytest.raises(InputError, match="loss: no"):
        PartCache(Store(tmp_path), {}).resumable("pairs", {}, refuse)

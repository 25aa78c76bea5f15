import json
import os
from pathlib import Path

import numpy as np
import pytest

from hessium.errors import InputError
from hessium.runs.result_store import Computation, key
from hessium.runs.run_directory import RunDirectory
from support.toy_experiment import fill


def test_sections_are_kept_in_the_order_of_the_page(tmp_path: Path) -> None:
    run = fill(tmp_path / "new" / "run", ("other", "toy"))
    assert [s.experiment for s in run.sections()] == ["toy", "other"]
    again = fill(tmp_path / "new" / "run", ("toy",))
    assert [s.experiment for s in again.sections()] == ["toy", "other"]


def test_the_directory_must_be_new_empty_or_ours(tmp_path: Path) -> None:
    RunDirectory.create(tmp_path / "empty")
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "thesis.tex").write_text("precious")
    with pytest.raises(InputError, match=r"--out: .*theirs holds files that hessium did not write"):
        RunDirectory.create(tmp_path / "theirs")
    assert [p.name for p in (tmp_path / "theirs").iterdir()] == ["thesis.tex"]
    with pytest.raises(InputError, match="is a file"):
        RunDirectory.create(tmp_path / "theirs" / "thesis.tex")
    with pytest.raises(InputError, match="cannot be written"):
        RunDirectory.create(tmp_path / "theirs" / "thesis.tex" / "below")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write and read everywhere")
@pytest.mark.parametrize(("mode", "message"), [(0o500, "written"), (0o300, "read")])
def test_permissions_are_respected(tmp_path: Path, mode: int, message: str) -> None:
    folder = tmp_path / "locked"
    folder.mkdir(mode=mode)
    with pytest.raises(InputError, match=f"cannot be {message}"):
        RunDirectory.create(folder)


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", '{"schema": 99}', '{"schema": 1}', '{"schema": 1, "sections": [{}]}', "\xff"],
)
def test_a_broken_summary_is_one_clear_error(tmp_path: Path, content: str) -> None:
    run = fill(tmp_path, ("toy",))
    (tmp_path / "summary.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(InputError, match=r"RUN_DIR: .*summary\.json is broken"):
        RunDirectory.open(tmp_path)
    with pytest.warns(UserWarning, match="written anew"):
        assert run.sections() == ()


def test_what_is_no_run_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a directory"):
        RunDirectory.open(tmp_path / "nothing")
    with pytest.raises(InputError, match=r"no summary\.json"):
        RunDirectory.open(tmp_path)
    (tmp_path / "summary.json").write_text(json.dumps({"schema": 1, "sections": []}))
    with pytest.raises(InputError, match="no section"):
        RunDirectory.open(tmp_path)


@pytest.mark.parametrize("replaced", [False, True])
def test_a_directory_that_went_away_is_not_written_again(tmp_path: Path, replaced: bool) -> None:
    run = RunDirectory.create(tmp_path / "run")
    store = run.store("toy")
    first, second = (Computation("toy", {"name": name}, "") for name in "ab")
    store.save(first, {"x": 1.0, "y": np.ones(2)})
    run.path.rename(tmp_path / "away")
    if replaced:
        run.path.mkdir()
        (run.path / "theirs").write_text("precious")
    with pytest.raises(FileNotFoundError, match="removed or replaced") as caught:
        store.save(second, {"x": 2.0, "y": np.ones(2)})
    assert caught.value.filename == str(run.path)
    assert [p.name for p in tmp_path.rglob("run/*")] == ["theirs"] * replaced
    (tmp_path / "away").rename(tmp_path / "back")
    again = RunDirectory.create(tmp_path / "back").store("toy")
    again.save(second, {"x": 2.0, "y": np.ones(2)})
    assert [(again.load(key(*one)) or {}).get("x") for one in (first, second)] == [1.0, 2.0]


def test_a_run_that_is_about_to_mark_its_directory_is_no_stranger(tmp_path: Path) -> None:
    """Two runs that start together, or one that was killed before its mark was whole."""
    (tmp_path / ".unfinished-mark").write_bytes(b"Written by")
    RunDirectory.create(tmp_path, "hessium reproduce toy")
    assert {path.name for path in tmp_path.iterdir()} == {".hessium-run", "README.md"}

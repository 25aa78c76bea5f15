from pathlib import Path

import numpy as np
import pytest

from hessium._files import write_atomically
from hessium.experiments.store import CorruptTaskWarning, Store, key

RESULT = {
    "array": np.arange(6.0).reshape(2, 3),
    "count": 3,
    "value": 0.1,
    "words": ["a", "ü"],
    "yes": True,
}


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    store = Store(tmp_path / "deep" / "er")
    assert store.load("x") is None
    store.save("x", RESULT)
    loaded = store.load("x")
    assert loaded is not None
    np.testing.assert_array_equal(loaded.pop("array"), RESULT["array"])
    assert loaded == {k: v for k, v in RESULT.items() if k != "array"}
    assert [p.name for p in store.folder.iterdir()] == ["x.npz"]


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "text", "pickle"])
def test_a_damaged_file_warns_and_counts_as_missing(tmp_path: Path, damage: str) -> None:
    store = Store(tmp_path)
    store.save("x", RESULT | {"array": np.random.default_rng(0).standard_normal(500)})
    path = store.path("x")
    content = bytearray(path.read_bytes())
    if damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "flip":
        content[len(content) // 3] ^= 0xFF
        path.write_bytes(content)
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "text":
        path.write_text("not an archive")
    else:
        np.savez(path, __json__=np.array([{"object": 1}], dtype=object))
    with pytest.warns(CorruptTaskWarning, match=r"x\.npz"):
        assert store.load("x") is None


def test_objects_are_not_stored(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Object arrays"):
        Store(tmp_path).save("x", {"a": np.array([object()])})
    with pytest.raises(ValueError, match="JSON"):
        Store(tmp_path).save("x", {"a": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "f"
    write_atomically(path, b"old")

    def refuse(*_: object) -> None:
        raise OSError

    monkeypatch.setattr("os.fsync", refuse)
    with pytest.raises(OSError):  # noqa: PT011
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["f"]


def test_the_key_follows_what_was_computed() -> None:
    base = key("e", {"a": 1, "b": 2}, "code")
    assert key("e", {"b": 2, "a": 1}, "code") == base
    others = [
        key("f", {"a": 1, "b": 2}, "code"),
        key("e", {"a": 1, "b": 3}, "code"),
        key("e", {"a": 1, "b": 2}, "other"),
    ]
    assert len({base, *others}) == 4

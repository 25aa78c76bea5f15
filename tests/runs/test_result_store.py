import errno
import io
import json
import os
import signal
import time
import warnings
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from hessium._files import remove_unfinished, replace_atomically, write_atomically
from hessium.runs.result_store import Computation, CorruptTaskWarning, Store, key

RESULT = {
    "array": np.arange(6.0).reshape(2, 3),
    "count": 3,
    "value": 0.1,
    "words": ["a", "ü"],
    "yes": True,
}


def of(name: str) -> Computation:
    return Computation("e", {"name": name}, "code")


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    store, name = Store(tmp_path / "deep" / "er"), key(*of("x"))
    assert store.load(name) is None
    store.save(of("x"), RESULT)
    loaded = store.load(name)
    assert loaded is not None
    np.testing.assert_array_equal(loaded.pop("array"), RESULT["array"])
    assert loaded == {k: v for k, v in RESULT.items() if k != "array"}
    assert [p.name for p in store.folder.iterdir()] == [f"{name}.npz"]
    assert store.names() == [name]


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "text", "pickle"])
def test_a_damaged_file_warns_and_counts_as_missing(tmp_path: Path, damage: str) -> None:
    store, name = Store(tmp_path), key(*of("x"))
    store.save(of("x"), RESULT | {"array": np.random.default_rng(0).standard_normal(500)})
    path = store.path(name)
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
        with zipfile.ZipFile(path) as archive:
            document = archive.read("document.json")
        np.savez(path, array=np.array([{"object": 1}], dtype=object))
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr("document.json", document)
    with pytest.warns(CorruptTaskWarning, match=rf"{name}\.npz"):
        assert store.load(name) is None


def test_objects_are_not_stored(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Object arrays"):
        Store(tmp_path).save(of("x"), {"a": np.array([object()])})
    with pytest.raises(ValueError, match="JSON"):
        Store(tmp_path).save(of("x"), {"a": float("nan")})
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


FIRST, SECOND = key(*of("a")), key(*of("b"))


def exchanged(first: Path, second: Path) -> None:
    first.rename(first.with_name("c"))
    second.rename(first)
    first.with_name("c").rename(second)


def copied(first: Path, second: Path) -> None:
    first.write_bytes(second.read_bytes())


def from_another_run(first: Path, second: Path) -> None:
    other = Store(first.parent / "other")
    other.save(of("z"), RESULT)
    other.path(key(*of("z"))).rename(first)


def half_copied(first: Path, second: Path) -> None:
    first.write_bytes(first.read_bytes()[:200] + second.read_bytes()[200:])


def filled_with_zeros(first: Path, second: Path) -> None:
    content = first.read_bytes()
    first.write_bytes(content[:150] + bytes(len(content) - 150))


def of_older_code(first: Path, second: Path) -> None:
    np.savez_compressed(first, __json__=np.array(json.dumps({"count": 3})))


def written(path: Path, document: str | None, **arrays: bytes) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        if document is not None:
            archive.writestr("document.json", document)
        for name, content in arrays.items():
            archive.writestr(f"{name}.npy", content)


def document_of(path: Path) -> str:
    with zipfile.ZipFile(path) as archive:
        return archive.read("document.json").decode()


def of_a_list(first: Path, second: Path) -> None:
    written(first, "[1, 2]")


def of_nested_lists(first: Path, second: Path) -> None:
    written(first, "[" * 100_000)


def of_arrays_alone(first: Path, second: Path) -> None:
    np.savez_compressed(first, array=np.arange(3.0))


def that_unfolds(first: Path, second: Path) -> None:
    content = io.BytesIO()
    np.save(content, np.zeros(2**24))
    written(first, document_of(first), array=content.getvalue())


def with_a_header_that_lies(first: Path, second: Path) -> None:
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000000,), }"
    header = header.ljust(117) + b"\n"
    content = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    written(first, document_of(first), array=content)


def a_folder(first: Path, second: Path) -> None:
    first.unlink()
    first.mkdir()


DAMAGES = [
    exchanged,
    copied,
    from_another_run,
    half_copied,
    filled_with_zeros,
    of_older_code,
    of_a_list,
    of_nested_lists,
    of_arrays_alone,
    that_unfolds,
    with_a_header_that_lies,
    a_folder,
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_file_that_is_not_this_computation_is_none(
    tmp_path: Path, damage: Callable[[Path, Path], None]
) -> None:
    store = Store(tmp_path)
    for name, value in (("a", 1.0), ("b", 2.0)):
        store.save(of(name), RESULT | {"array": np.full(300, value)})
    assert {FIRST, SECOND} == set(store.names())
    damage(store.path(FIRST), store.path(SECOND))
    with pytest.warns(CorruptTaskWarning, match=rf"{FIRST}\.npz cannot be used"):
        assert store.load(FIRST) is None


def test_large_results_are_kept_as_they_are_and_read_again(tmp_path: Path) -> None:
    """What compresses a thousandfold must not be mistaken for a file that claims to unfold."""
    store = Store(tmp_path)
    store.save(of("a"), {"zeros": np.zeros(2**23 + 1)})
    assert store.path(FIRST).stat().st_size > 2**26
    assert store.load(FIRST) is not None


def left_by_a_killed_process(folder: Path) -> Path:
    """A real one: killed in the middle of its file."""
    folder.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of fork beside threads
        child = os.fork()
    if child == 0:

        def write(path: Path) -> None:
            path.write_bytes(b"half")
            time.sleep(60)

        replace_atomically(folder / "f", write)
    while not (found := [p for p in folder.glob(".unfinished-*") if p.stat().st_size]):
        time.sleep(0.01)
    remove_unfinished(folder)  # its writer lives
    assert found[0].exists()
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert found[0].exists()
    return found[0]


def test_what_killed_processes_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    left = [left_by_a_killed_process(tmp_path / place) for place in ("", "tasks/e", "figures")]
    (tmp_path / ".unfinished-nameless").write_bytes(b"of an older version")
    (tmp_path / ".unfinished-folder").mkdir()
    (tmp_path / ".unfinished-link").symlink_to(tmp_path / "precious")
    (tmp_path / "precious").write_text("precious")
    elsewhere = tmp_path.parent / f"{tmp_path.name}-elsewhere"
    elsewhere.mkdir()
    (elsewhere / ".unfinished-theirs").write_text("precious")
    (tmp_path / "link").symlink_to(elsewhere)
    os.mkfifo(tmp_path / ".unfinished-pipe")
    remove_unfinished(tmp_path)
    assert not any(path.exists() for path in left)
    assert not (tmp_path / ".unfinished-nameless").exists()
    assert (tmp_path / "precious").exists()
    assert (elsewhere / ".unfinished-theirs").exists()


def test_a_writer_is_not_disturbed_by_those_who_tidy_up(tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        writes = [pool.submit(write_atomically, tmp_path / str(i % 9), b"x") for i in range(300)]
        while not all(one.done() for one in writes):
            remove_unfinished(tmp_path)
    for one in writes:
        one.result()
    assert not list(tmp_path.glob(".unfinished-*"))


def test_what_the_disk_refuses_names_the_file(tmp_path: Path) -> None:
    def full(unfinished: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def rename(unfinished: Path) -> None:
        (tmp_path / "d").mkdir()

    for name, write in (("f", full), ("d", rename)):
        with pytest.raises(OSError, match=r"\[Errno") as caught:
            replace_atomically(tmp_path / name, write)
        assert caught.value.filename == str(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["d"]

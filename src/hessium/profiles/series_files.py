"""The checkpoints of a series: their order, their steps, and what identifies them."""

from __future__ import annotations

import hashlib
import inspect
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hessium import _arguments
from hessium.errors import InputError

_BLOCK = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointFile:
    """A checkpoint of a series.

    Attributes:
        path: of a file or a folder.
        step: of the training.
        digest: hash of its contents.
    """

    path: Path
    step: int
    digest: str


def files_of(
    checkpoints: Iterable[str | Path], steps: Sequence[int] | None = None
) -> list[CheckpointFile]:
    """Checkpoints in the order of their steps.

    The step is the last number in the name, if each name has one and all differ; otherwise the
    place among those given, from zero.

    Args:
        checkpoints: paths.
        steps: instead of the numbers in the names.

    Raises:
        InputError: if there are none, one is missing or given twice, or `steps` do not fit.
    """
    if isinstance(checkpoints, (str, Path)):
        checkpoints = [checkpoints]
    paths = [Path(one) for one in checkpoints]
    if not paths:
        msg = "checkpoints: none; at least one path is required"
        raise InputError(msg)
    for path in paths:
        if not path.exists():
            msg = f"checkpoints: {path} does not exist; the paths of files or folders are required"
            raise InputError(msg)
    if len({path.resolve() for path in paths}) < len(paths):
        msg = f"checkpoints: {len(paths)} paths, some of the same file; give each once"
        raise InputError(msg)
    if steps is None:
        numbers = [re.findall(r"\d+", path.stem if path.is_file() else path.name) for path in paths]
        named = [int(found[-1]) if found else -1 for found in numbers]
        told = named if min(named) >= 0 and len(set(named)) == len(named) else None
        places = list(range(len(paths))) if told is None else told
    else:
        places = [_arguments.count("steps", one, 0) for one in steps]
        if len(places) != len(paths) or len(set(places)) < len(places):
            msg = f"steps: {len(places)} for {len(paths)} checkpoints; a different one for each"
            raise InputError(msg + " is required")
    return [
        CheckpointFile(path=path, step=step, digest=contents(path))
        for step, path in sorted(zip(places, paths, strict=True))
    ]


def contents(path: Path) -> str:
    """Hash of a file, or of all files in a folder with their names."""
    digest = hashlib.sha256()
    if path.is_file():
        _add(digest, path)
    for file in sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else ():
        digest.update(f"\0{file.relative_to(path)}\0".encode("utf-8", "surrogateescape"))
        _add(digest, file)
    return digest.hexdigest()[:32]


def _add(digest: Any, path: Path) -> None:
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)


def digest_of(function: Callable[..., Any]) -> str:
    """What a function says of its version: its `digest`, or a hash of its source file."""
    own = getattr(function, "digest", None)
    if callable(own):
        return str(own())
    try:
        source = inspect.getsourcefile(inspect.unwrap(function))
        text = Path(source).read_bytes() if source else b""
    except (TypeError, OSError):
        text = b""
    if not text:
        code = getattr(function, "__code__", None)
        text = repr((code.co_code, code.co_consts, code.co_names) if code else function).encode()
    return hashlib.sha256(text).hexdigest()[:16]

"""The parts of one profile: each is stored when it is finished, and resumes if it was stopped."""

from __future__ import annotations

import contextlib
import shutil
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from hessium._files import held
from hessium.errors import InputError
from hessium.runs.experiment import Result
from hessium.runs.result_store import Computation, CorruptTaskWarning, Store, key


class PartCache:
    """Computes a part once: a part that an earlier run finished is loaded.

    Args:
        store: where parts are kept, or None to keep them in memory alone.
        of: what is measured; parts of anything else are never found.
        code: fingerprint of the code that computes.
        agree: whether a statement is true in all processes that compute together. A part is loaded
            only if all of them find it.
        writes: whether this process writes; one of them does.

    Attributes:
        found: parts by name, in the order in which they were asked for.
        loaded: names of those that came from disk.
    """

    def __init__(
        self,
        store: Store | None,
        of: Mapping[str, Any],
        code: str = "",
        *,
        agree: Callable[[bool], bool] | None = None,
        writes: bool = True,
    ) -> None:
        self._store, self._of, self._code = store, dict(of), code
        self._agree, self._writes = agree, writes
        self.found: dict[str, Result] = {}
        self.loaded: list[str] = []

    def __call__(
        self,
        part: str,
        settings: Mapping[str, Any],
        compute: Callable[[], Result],
        *,
        on_disk: bool = True,
    ) -> Result:
        """The part computed with these settings, from disk or now, with its `seconds`."""
        return self.resumable(
            part, settings, lambda _: compute(), on_disk=on_disk, checkpointed=False
        )

    def resumable(
        self,
        part: str,
        settings: Mapping[str, Any],
        compute: Callable[[Path | None], Result],
        *,
        on_disk: bool = True,
        checkpointed: bool = True,
    ) -> Result:
        """The same, for a computation that resumes from its checkpoint.

        Args:
            part: its name.
            settings: with which it is computed.
            compute: takes the folder of the checkpoint, or None for no checkpoint. The folder
                belongs to this process, or to those that compute together, and is removed when the
                part is stored. `seconds` are those of this process, unless the result has its own.
            on_disk: whether the part is kept on disk.
            checkpointed: whether it has a checkpoint.
        """
        store = self._store if on_disk else None
        task = {"of": self._of, "part": part, **settings}
        computation = Computation("spectrum", task, self._code)
        name = key(*computation)
        folder = store.checkpoint(name) if store and checkpointed else None
        result = store.load(name) if store else None
        if self._agree is not None and not self._agree(result is not None):
            result = None
        if result is None:
            with self._own(folder) as mine:
                start = time.perf_counter()
                # several processes cannot start over one by one: a damaged state is an error
                found = _resumed(compute, mine) if self._agree is None else compute(mine)
                result = {"seconds": time.perf_counter() - start, **found}
                if store and self._writes:
                    store.save(computation, result)
                if mine is not None and self._writes:
                    shutil.rmtree(mine, ignore_errors=True)
        else:
            self.loaded.append(part)
        self.found[part] = result
        return result

    @contextlib.contextmanager
    def _own(self, checkpoint: Path | None) -> Iterator[Path | None]:
        """The folder of a checkpoint if it belongs to this process, or to all together."""
        if self._agree is None or checkpoint is None:
            with own(checkpoint) as mine:
                yield mine
            return
        with own(checkpoint if self._writes else None) as mine:
            owned = self._agree(not self._writes or mine is not None)
            # a process that does not see the state would start over while the others resume
            begun = any(checkpoint.rglob("state.json"))
            seen = self._agree(begun) or self._agree(not begun)
            yield checkpoint if owned and seen else None

    def tidy(self) -> None:
        """Remove the checkpoints of this code and of older code: all parts are stored."""
        if self._store is None or not self._writes:
            return
        for suffix in ("checkpoint", "lock"):
            for path in self._store.folder.glob(f"*.{suffix}"):
                with own(path.with_suffix(".checkpoint")) as mine:
                    if mine is not None:
                        shutil.rmtree(mine, ignore_errors=True)


@contextlib.contextmanager
def own(checkpoint: Path | None) -> Iterator[Path | None]:
    """The folder of a checkpoint, or None if another process works in it."""
    if checkpoint is None:
        yield None
        return
    lock = checkpoint.with_suffix(".lock")
    with held(lock) as mine:
        yield checkpoint if mine else None
        if mine:
            lock.unlink(missing_ok=True)


def _resumed(compute: Callable[[Path | None], Result], folder: Path | None) -> Result:
    """Resume from the checkpoint; start again, with a warning, if it is not valid."""
    if folder is None or not folder.exists():
        return compute(folder)
    try:
        return compute(folder)
    except InputError as error:
        if not str(error).startswith("checkpoint:"):
            raise
        warnings.warn(
            f"{folder.name} cannot be used ({error}); its computation starts again",
            CorruptTaskWarning,
            stacklevel=4,
        )
    shutil.rmtree(folder)
    return compute(folder)
